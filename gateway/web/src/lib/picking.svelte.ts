// Which chats of the list are picked, to do something with all of them.
import { SvelteSet } from 'svelte/reactivity';

class Picking {
  isOn = $state(false);
  ids = new SvelteSet<string>();
  #last: string | null = null;

  begin(id?: string) {
    this.isOn = true;
    this.ids.clear();
    this.#last = id ?? null;
    if (id) this.ids.add(id);
  }

  end() {
    this.isOn = false;
    this.ids.clear();
  }

  /** Picks one or leaves it; with `through`, all between the last one and this. */
  toggle(id: string, through: boolean, order: string[]) {
    const from = this.#last === null ? -1 : order.indexOf(this.#last);
    const to = order.indexOf(id);
    this.#last = id;
    if (through && from >= 0 && to >= 0) {
      for (const other of order.slice(Math.min(from, to), Math.max(from, to) + 1)) this.ids.add(other);
    } else if (!this.ids.delete(id)) this.ids.add(id);
  }
}

export const picking = new Picking();
