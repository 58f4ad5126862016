// How many things wait for the person, of all kinds: the number at the navigation and in the title.
import { changed } from './changed.svelte';
import { desk } from './desk.svelte';

export const waits = {
  get count(): number {
    return desk.needs.count + changed.items.length;
  },
};
