// One list of threads, newest first, as far down as it was read.
import { answer, api, type Schemas } from './api';

export type Thread = Schemas['ThreadView'];

/** Threads that are read at once. */
const PAGE = 50;
/** Milliseconds for one reading: what hangs, as when the network changes, must not hold up the next. */
const PATIENCE = 20_000;

interface Kind {
  archived?: string;
  deleted?: boolean;
  folder?: string;
}

export class Shelf {
  items = $state.raw<Thread[]>([]);
  next = $state<string | null>(null);
  loaded = $state(false);
  busy = $state(false);
  failure = $state.raw<unknown>(null);
  /** It is as this browser kept it: the server could not be asked. */
  isKept = $state(false);
  readonly #kind: Kind;
  /** How many pages were read. */
  #pages = 1;
  /** What is read, one after the other: a list that is read anew does not lose the page that came meanwhile. */
  #reads: Promise<void> = Promise.resolve();
  /** A reading that has not begun: whoever asks for another one means this. */
  #next: Promise<void> | null = null;
  /** What came and went while it was read: the answer may be older. */
  #came: Thread[] = [];
  #went = new Set<string>();

  constructor(kind: Kind) {
    this.#kind = kind;
  }

  /** Reads it anew, as far as it was read before; what is shown stays until then, or when that fails. */
  load(): Promise<void> {
    this.#next ??= this.#reads = this.#reads.then(() => {
      this.#next = null;
      return this.#load();
    });
    return this.#next;
  }

  async #load() {
    this.#came = [];
    this.#went.clear();
    try {
      const items: Thread[] = [];
      let next: string | null = null;
      let goesOn = false;
      for (let page = 0; page < this.#pages && (page === 0 || next !== null); page += 1) {
        const read = await this.#page(next);
        items.push(...read.items);
        next = read.next ?? null;
        goesOn ||= next !== null;
      }
      if (goesOn && this.#isMain) items.push(...(await this.#pinned()));
      [this.items, this.next, this.failure] = [sorted(this.#asItIs(items)), next, null];
      this.isKept = false;
    } catch (error) {
      this.failure = error;
    }
    this.loaded = true;
  }

  /** Shows what was kept, until there is an answer. */
  showKept(items: Thread[]) {
    if (this.items.length > 0) return;
    [this.items, this.failure, this.isKept, this.loaded] = [sorted(items), null, true, true];
  }

  more(): Promise<void> {
    if (this.busy) return this.#reads;
    this.busy = true;
    return (this.#reads = this.#reads.then(() => this.#more()));
  }

  async #more() {
    this.#came = [];
    this.#went.clear();
    try {
      if (this.next === null) return;
      const page = await this.#page(this.next);
      this.items = sorted([...this.items, ...this.#asItIs(page.items)]);
      [this.next, this.failure] = [page.next ?? null, null];
      this.#pages += 1;
    } catch (error) {
      this.failure = error;
    } finally {
      this.busy = false;
    }
  }

  /** Whether a chat that is not deleted belongs here. */
  takes(thread: Thread): boolean {
    const { archived, deleted, folder } = this.#kind;
    const isHere = folder === undefined || folder === thread.folder;
    return !deleted && isHere && thread.archived === (archived === 'true');
  }

  find(id: string): Thread | undefined {
    return this.items.find((thread) => thread.id === id);
  }

  put(thread: Thread) {
    this.#came.push(thread);
    this.#went.delete(thread.id);
    if (this.loaded) this.items = sorted([thread, ...this.items]);
  }

  drop(id: string) {
    this.#came = this.#came.filter((thread) => thread.id !== id);
    this.#went.add(id);
    this.items = this.items.filter((thread) => thread.id !== id);
  }

  #asItIs(read: Thread[]): Thread[] {
    const newer = ({ id, lastSeq }: Thread) => !read.some((other) => other.id === id && other.lastSeq >= lastSeq);
    return [...this.#came.filter(newer).reverse(), ...read.filter(({ id }) => !this.#went.has(id))];
  }

  get #isMain(): boolean {
    return Object.keys(this.#kind).length === 0;
  }

  #page(before: string | null) {
    // The newest of all chats are read first. Behind them the list goes on with those that it shows: in no folder.
    const rest = before && { before, ...(this.#isMain && { folder: '' }) };
    const query = { ...this.#kind, limit: PAGE, ...rest };
    return answer(api.GET('/api/threads', { params: { query }, signal: AbortSignal.timeout(PATIENCE) }));
  }

  /** Those that are pinned stand above all others, however old they are. */
  async #pinned(): Promise<Thread[]> {
    const query = { pinned: true, limit: 100 };
    const signal = AbortSignal.timeout(PATIENCE);
    return (await answer(api.GET('/api/threads', { params: { query }, signal }))).items;
  }
}

/** Newest first, each once: the first of two with one id counts. */
function sorted(threads: Thread[]): Thread[] {
  const once = new Map<string, Thread>();
  for (const thread of threads) if (!once.has(thread.id)) once.set(thread.id, thread);
  return [...once.values()].sort((one, other) => (one.updatedAt < other.updatedAt ? 1 : -1));
}
