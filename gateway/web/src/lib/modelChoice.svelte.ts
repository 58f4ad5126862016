// Which model a chat is to ask, where somebody picked one: it stays with the chat, also over a reload.
import { SvelteMap } from 'svelte/reactivity';
import { session } from './session.svelte';

const KEPT = 'adjutant.model/';
/** The chat that is not begun yet. */
const NEW = 'new';

const key = (thread: string) => `${KEPT}${session.scope}/${thread}`;

class ModelChoice {
  #of = new SvelteMap<string, string>();

  /** Empty where none was picked. */
  of(thread: string | null): string {
    const name = thread ?? NEW;
    return this.#of.get(name) ?? localStorage.getItem(key(name)) ?? '';
  }

  set(thread: string | null, model: string) {
    const name = thread ?? NEW;
    this.#of.set(name, model);
    if (model === '') return localStorage.removeItem(key(name));
    try {
      localStorage.setItem(key(name), model);
    } catch {
      // No room: it holds while the page is open.
    }
  }

  /** What was picked for the new chat is that chat's. */
  begun(thread: string) {
    const model = this.of(null);
    if (model === '') return;
    this.set(thread, model);
    this.set(null, '');
  }
}

export const modelChoice = new ModelChoice();
