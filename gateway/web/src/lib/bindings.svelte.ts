// Which keys the shortcuts have here. What a person changed is kept in this browser, and other tabs follow.
import { changesOf, choose, comboOf, hits, names, readings, spelled, USUAL } from './combos';
import type { Changes, Choice, Combo, Id } from './combos';

const KEPT = 'adjutant.shortcuts';
export const isApple = /^(Mac|iP)/.test(navigator.platform);

/** AltGr writes a sign; on a Mac some browsers call Option so. */
const isWriting = (event: KeyboardEvent) => !isApple && event.key.length === 1 && event.getModifierState('AltGraph');

class Bindings {
  #changes = $state.raw<Changes>(changesOf(localStorage.getItem(KEPT), isApple));

  constructor() {
    window.addEventListener('storage', (event) => {
      if (event.key === KEPT || event.key === null) this.#changes = changesOf(localStorage.getItem(KEPT), isApple);
    });
  }

  get isChanged(): boolean {
    return Object.keys(this.#changes).length > 0;
  }

  /** As it stands on the keys. Esc stops the answer, whatever else is changed. */
  names(id: Id | 'stop'): string[] {
    return id === 'stop' ? ['Esc'] : names(comboOf(id, this.#changes), isApple);
  }

  text(id: Id | 'stop'): string {
    return this.names(id).join(' ');
  }

  spelled(id: Id): string {
    return spelled(comboOf(id, this.#changes), isApple);
  }

  /** Those it has where nobody changed them, if somebody did. */
  usual(id: Id): string | undefined {
    return this.#changes[id] && names(USUAL[id], isApple).join(' ');
  }

  /** Which of these the keys mean. */
  meant<T extends Id>(event: KeyboardEvent, ids: readonly T[]): T | undefined {
    // A key that composes a sign is no command, nor is one that is held down.
    if (event.isComposing || event.repeat || isWriting(event)) return undefined;
    for (const read of readings(event, isApple)) {
      const found = ids.find((id) => hits(read, comboOf(id, this.#changes)));
      if (found) return found;
    }
    return undefined;
  }

  choose(id: Id, event: KeyboardEvent): Choice | undefined {
    return choose(id, readings(event, isApple), this.#changes, isApple, isWriting(event));
  }

  /** Whether this browser could keep it: else it holds until the page is left. */
  set(id: Id, combo: Combo): boolean {
    const { [id]: _, ...others } = this.#changes;
    return this.#keep(hits(combo, USUAL[id]) ? others : { ...others, [id]: combo });
  }

  reset() {
    this.#keep({});
  }

  #keep(changes: Changes): boolean {
    this.#changes = changes;
    try {
      if (this.isChanged) localStorage.setItem(KEPT, JSON.stringify(changes));
      else localStorage.removeItem(KEPT);
      return true;
    } catch {
      return false;
    }
  }
}

export const bindings = new Bindings();
