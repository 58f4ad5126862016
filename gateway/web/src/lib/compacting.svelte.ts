// A summary in place of the older part of a chat: for the model, while people go on reading what was said.
import { SvelteSet } from 'svelte/reactivity';
import { tell } from './chatDeeds';
import { desk } from './desk.svelte';
import { toasts } from './toasts.svelte';
import { t } from './words';

class Compacting {
  #going = new SvelteSet<string>();

  isGoing(thread: string): boolean {
    return this.#going.has(thread);
  }

  /** Takes as long as the model; a second press meanwhile asks for nothing more. */
  async begin(thread: string) {
    if (this.isGoing(thread)) return;
    this.#going.add(thread);
    await tell(async () => {
      await desk.threads.compact(thread);
      toasts.say(t('compact.done'), { word: t('compact.undo'), act: () => void this.undo(thread) });
    });
    this.#going.delete(thread);
  }

  async undo(thread: string) {
    await tell(() => desk.threads.removeSummary(thread));
  }
}

export const compacting = new Compacting();
