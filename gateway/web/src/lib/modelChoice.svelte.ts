// Which model a chat is to ask, where somebody picked one: it stays with the chat, also over a reload.
import { SvelteMap } from 'svelte/reactivity';
import { session } from './session.svelte';

const KEPT = 'adjutant.model/';
const key = (thread: string) => `${KEPT}${session.scope}/${thread}`;

class ModelChoice {
  #of = new SvelteMap<string, string>();

  /** Empty where none was picked. */
  of(thread: string): string {
    return this.#of.get(thread) ?? localStorage.getItem(key(thread)) ?? '';
  }

  set(thread: string, model: string) {
    this.#of.set(thread, model);
    if (model === '') return localStorage.removeItem(key(thread));
    try {
      localStorage.setItem(key(thread), model);
    } catch {
      // No room: it holds while the page is open.
    }
  }

  /** What was picked under one name goes on under another. */
  move(from: string, to: string) {
    const model = this.of(from);
    if (model === '') return;
    this.set(to, model);
    this.set(from, '');
  }
}

export const modelChoice = new ModelChoice();
