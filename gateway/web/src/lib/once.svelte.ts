// What makes something new each time it is asked for: a second press of an impatient hand asks for nothing more.

/** Milliseconds after which it may be asked for again, if nothing is in sight. */
const PATIENCE = 5_000;

export class Once {
  isAsked = $state(false);

  ask(act: () => void) {
    if (this.isAsked) return;
    this.isAsked = true;
    act();
    setTimeout(() => (this.isAsked = false), PATIENCE);
  }
}
