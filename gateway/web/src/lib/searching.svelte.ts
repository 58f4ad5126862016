// Full-text search over all messages of the profile, a page at a time.
import { answer, api, type Schemas } from './api';

export type Hit = Schemas['HitView'];

const PAGE = 30;
/** As many signs as the server takes. */
export const LONGEST = 400;

export const hitAddress = (hit: Hit, words: string) =>
  `/chat/${hit.threadId}?${new URLSearchParams({ message: hit.messageId, words }).toString()}`;

export const searchAddress = (words: string) => `/chat/search?${new URLSearchParams({ q: words }).toString()}`;

export class Search {
  hits = $state.raw<Hit[]>([]);
  /** What they were found by; null before anything was looked for. */
  asked = $state<string | null>(null);
  next = $state<string | null>(null);
  busy = $state(false);
  failure = $state.raw<unknown>(null);
  #turn = 0;

  async ask(words: string) {
    const q = words.trim();
    const turn = (this.#turn += 1);
    if (q === '') {
      [this.hits, this.asked, this.next, this.failure, this.busy] = [[], null, null, null, false];
      return;
    }
    this.busy = true;
    await this.#read(turn, q, null);
  }

  async more() {
    if (this.next === null || this.asked === null || this.busy) return;
    this.busy = true;
    await this.#read(this.#turn, this.asked, this.next);
  }

  async #read(turn: number, q: string, before: string | null) {
    try {
      const query = { q, limit: PAGE, ...(before && { before }) };
      const page = await answer(api.GET('/api/search', { params: { query } }));
      if (turn !== this.#turn) return;
      this.hits = before ? [...this.hits, ...page.items] : page.items;
      [this.asked, this.next, this.failure] = [q, page.next ?? null, null];
    } catch (error) {
      if (turn === this.#turn) this.failure = error;
    } finally {
      if (turn === this.#turn) this.busy = false;
    }
  }
}
