// Something that is read from the server and shown: what was read stays while it is read again, or when that fails.

/** A shorter wait is not worth a mark. */
const PATIENCE = 300;

export class Source<T> {
  value = $state.raw<T | null>(null);
  failure = $state.raw<unknown>(null);
  isSlow = $state(false);
  /** It was asked for, and the answer is not there. */
  isUnderway = false;
  readonly #read: () => Promise<T>;
  #latest = 0;

  constructor(read: () => Promise<T>) {
    this.#read = read;
  }

  async load(): Promise<void> {
    const turn = (this.#latest += 1);
    this.isUnderway = true;
    const timer = setTimeout(() => (this.isSlow = turn === this.#latest), PATIENCE);
    try {
      const value = await this.#read();
      if (turn !== this.#latest) return;
      this.value = value;
      this.failure = null;
    } catch (error) {
      if (turn === this.#latest) this.failure = error;
    } finally {
      clearTimeout(timer);
      if (turn === this.#latest) [this.isSlow, this.isUnderway] = [false, false];
    }
  }
}

/** A deed of one button: whether it goes on, and why it failed. */
export class Deed {
  busy = $state(false);
  problem = $state.raw<unknown>(null);

  /** True when it was done. */
  async run(act: () => Promise<unknown>): Promise<boolean> {
    if (this.busy) return false;
    this.busy = true;
    this.problem = null;
    try {
      await act();
      return true;
    } catch (error) {
      this.problem = error;
      return false;
    } finally {
      this.busy = false;
    }
  }
}
