// Full-text search over all messages of the profile, a page at a time.
import { answer, api, type Schemas } from './api';

export type Hit = Schemas['HitView'];

const PAGE = 30;
/** As many signs as the server takes. */
export const LONGEST = 400;

export const hitAddress = (hit: Hit, words: string) =>
  `/chat/${hit.threadId}?${new URLSearchParams({ message: hit.messageId, words }).toString()}`;

/** The side that spoke. */
export const ROLES = ['', 'user', 'assistant'] as const;
/** How many days back. */
const SPANS = { '': 0, week: 7, month: 30, year: 365 } as const;
export const TIMES = Object.keys(SPANS) as Time[];
type Time = keyof typeof SPANS;

/** What narrows a search; empty where it does not. */
export interface Filters {
  role: (typeof ROLES)[number];
  time: Time;
  thread: string;
}
export const NO_FILTERS: Filters = { role: '', time: '', thread: '' };

export function filtersOf(query: URLSearchParams): Filters {
  // An address may be typed by hand: what nobody knows filters nothing.
  const role = ROLES.find((one) => one === query.get('role')) ?? '';
  const time = TIMES.find((one) => one === query.get('time')) ?? '';
  return { role, time, thread: query.get('thread') ?? '' };
}

export function searchAddress(words: string, filters: Filters = NO_FILTERS): string {
  const set = Object.entries({ q: words, ...filters }).filter(([, value]) => value !== '');
  return set.length === 0 ? '/chat/search' : `/chat/search?${new URLSearchParams(set).toString()}`;
}

/** As the server takes it. */
function asked(q: string, { role, time, thread }: Filters) {
  const since = time && new Date(Date.now() - SPANS[time] * 86_400_000).toISOString();
  return { q, limit: PAGE, ...(role && { role }), ...(since && { since }), ...(thread && { thread }) };
}

export class Search {
  hits = $state.raw<Hit[]>([]);
  /** What they were found by; null before anything was looked for. */
  asked = $state<string | null>(null);
  next = $state<string | null>(null);
  busy = $state(false);
  /** Whether what was found was narrowed. */
  isFiltered = $state(false);
  failure = $state.raw<unknown>(null);
  #turn = 0;
  /** Further pages are of the same moment. */
  #query: ReturnType<typeof asked> | null = null;

  async ask(words: string, filters: Filters = NO_FILTERS) {
    const q = words.trim();
    const turn = (this.#turn += 1);
    if (q === '') {
      [this.hits, this.asked, this.next, this.failure, this.busy] = [[], null, null, null, false];
      return;
    }
    this.busy = true;
    await this.#read(turn, asked(q, filters), null);
  }

  async more() {
    if (this.next === null || this.#query === null || this.busy) return;
    this.busy = true;
    await this.#read(this.#turn, this.#query, this.next);
  }

  async #read(turn: number, query: ReturnType<typeof asked>, before: string | null) {
    try {
      const page = await answer(api.GET('/api/search', { params: { query: { ...query, ...(before && { before }) } } }));
      if (turn !== this.#turn) return;
      this.hits = before ? [...this.hits, ...page.items] : page.items;
      this.#query = query;
      this.isFiltered = 'role' in query || 'since' in query || 'thread' in query;
      [this.asked, this.next, this.failure] = [query.q, page.next ?? null, null];
    } catch (error) {
      if (turn === this.#turn) this.failure = error;
    } finally {
      if (turn === this.#turn) this.busy = false;
    }
  }
}
