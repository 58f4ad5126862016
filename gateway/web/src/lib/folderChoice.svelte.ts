// Which folder chats are to be moved to: one question at a time, asked by a dialog of the page of chats.
import type { Thread } from './threads.svelte';

/** The name of a folder; null: out of it; undefined: nobody chose. */
type Choice = string | null | undefined;

class FolderChoice {
  /** Those that are to be moved; empty where nothing is asked. */
  threads = $state.raw<Thread[]>([]);
  #tell: (choice: Choice) => void = () => {};

  ask(threads: Thread[]): Promise<Choice> {
    this.answer(undefined);
    this.threads = threads;
    return new Promise((tell) => (this.#tell = tell));
  }

  answer(choice: Choice) {
    this.#tell(choice);
    this.#tell = () => {};
    this.threads = [];
  }
}

export const folderChoice = new FolderChoice();
