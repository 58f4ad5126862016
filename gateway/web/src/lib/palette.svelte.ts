// The palette over the composer: which commands fit what is typed behind the `/`, and which one is chosen.
import { orders, type Context, type Order } from './commands.svelte';

export class Palette {
  chosen = $state(0);
  /** Put away by Escape, until the field begins anew. */
  #isAway = $state(false);
  readonly #text: () => string;
  readonly #context: () => Context;

  constructor(text: () => string, context: () => Context) {
    this.#text = text;
    this.#context = context;
  }

  /** The name, and what stands behind it. */
  get typed(): { name: string; rest: string } | null {
    const found = /^\/(\S*)(?:[ \t]+(.*))?$/.exec(this.#text());
    return found ? { name: found[1] ?? '', rest: (found[2] ?? '').trim() } : null;
  }

  get found(): Order[] {
    const { typed } = this;
    if (!typed || this.#isAway) return [];
    const fit = orders(typed.name, this.#context());
    // With something behind the name it is a command only if it is one that takes it.
    const hasRest = /^\/\S*\s/.test(this.#text());
    return hasRest ? fit.filter((order) => order.takes && order.name === typed.name.toLowerCase()) : fit;
  }

  /** Something that looks like a command and is none. */
  get isUnknown(): boolean {
    return !this.#isAway && this.found.length === 0 && /^\/[a-z]+$/i.test(this.#text());
  }

  /** The field changed. */
  typing() {
    this.chosen = 0;
    if (!this.#text().startsWith('/')) this.#isAway = false;
  }

  /** What a key does here: true when it was meant for the palette, an order when it takes one. */
  key(event: KeyboardEvent): Order | boolean {
    const { found } = this;
    if (event.key === 'Escape' && (found.length > 0 || this.isUnknown)) {
      this.#isAway = true;
      return true;
    }
    if (found.length === 0) return false;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) this.chosen = (this.chosen + step + found.length) % found.length;
    else if (event.key === 'Home' && this.chosen > 0) this.chosen = 0;
    else if (event.key === 'Enter' || (event.key === 'Tab' && !event.shiftKey)) return found[this.chosen] ?? true;
    else return false;
    return true;
  }
}
