// The lists of threads, what goes on in each, and what becomes of them.
import type { EventFrame } from '../wire/frames';
import { SvelteMap, SvelteSet } from 'svelte/reactivity';
import { answer, api, Problem, type Schemas } from './api';
import { keptList } from './reading';
import { Shelf, type Thread } from './shelf.svelte';

export type { Thread } from './shelf.svelte';
export type Doing = 'running' | 'waiting' | 'quarantined';

/** Milliseconds without an answer, after which what was kept is better than nothing. */
export const LATE = 1_500;

export class Threads {
  shelves = {
    chats: new Shelf({}),
    archive: new Shelf({ archived: 'true' }),
    deleted: new Shelf({ deleted: true }),
  };
  doing = new SvelteMap<string, Doing>();
  /** Threads that were asked for and are not there: deleted, or somebody else's. */
  gone = new SvelteSet<string>();
  /** Threads that stand further down than the lists were read. */
  #others = new SvelteMap<string, Thread>();

  get items(): Thread[] {
    return this.shelves.chats.items;
  }

  get loaded(): boolean {
    return this.shelves.chats.loaded;
  }

  get failure(): unknown {
    return this.shelves.chats.failure;
  }

  async load() {
    const { chats, archive } = this.shelves;
    const late = setTimeout(() => void this.#showKept(), LATE);
    await Promise.all([chats.load(), archive.loaded ? archive.load() : undefined]);
    clearTimeout(late);
    if (chats.failure) await this.#showKept();
  }

  async #showKept() {
    const kept = await keptList();
    if (kept) this.shelves.chats.showKept(kept);
  }

  find(id: string): Thread | undefined {
    return this.shelves.chats.find(id) ?? this.shelves.archive.find(id) ?? this.#others.get(id);
  }

  /** Reads a thread that no list has. */
  async want(id: string) {
    if (this.find(id)) return;
    try {
      this.#others.set(id, await answer(api.GET('/api/threads/{id}', { params: { path: { id } } })));
      this.gone.delete(id);
    } catch (error) {
      if (error instanceof Problem && (error.status === 404 || error.status === 400)) this.gone.add(id);
    }
  }

  async change(id: string, body: Schemas['ThreadPatch']) {
    this.#put(await answer(api.PATCH('/api/threads/{id}', { params: { path: { id } }, body })));
  }

  async delete({ id }: Thread) {
    try {
      await api.DELETE('/api/threads/{id}', { params: { path: { id } } });
    } catch (error) {
      // Deleted elsewhere a moment ago: that is what was wanted.
      if (!(error instanceof Problem && error.status === 404)) throw error;
    }
    this.#drop(id);
  }

  async restore({ id }: Thread) {
    const thread = await answer(api.POST('/api/threads/{id}/restore', { params: { path: { id } } }));
    this.gone.delete(id);
    this.shelves.deleted.drop(id);
    this.#put(thread);
  }

  event({ threadId, event, seq }: EventFrame) {
    if (event.type === 'RUN_STARTED') this.doing.set(threadId, 'running');
    if (event.type === 'RUN_FINISHED' || event.type === 'RUN_ERROR') this.doing.delete(threadId);
    if (event.type === 'CUSTOM' && event.name === 'run.state') {
      const { state } = event.value;
      if (state === 'running' || state === 'waiting' || state === 'quarantined') this.doing.set(threadId, state);
    }
    const isChanged = event.type === 'CUSTOM' && event.name === 'thread.changed';
    if (isChanged && event.value.deletedAt !== null) return this.#drop(threadId);
    if (isChanged) this.gone.delete(threadId);
    const changes = event.type === 'RUN_STARTED' || event.type === 'RUN_FINISHED' || event.type === 'RUN_ERROR';
    if (changes || isChanged) void this.#read(threadId, seq);
  }

  async #read(id: string, seq: number | undefined) {
    const known = this.find(id);
    // Told again, of what the list has already.
    if (known && seq !== undefined && seq < known.lastSeq) return;
    try {
      this.#put(await answer(api.GET('/api/threads/{id}', { params: { path: { id } } })));
    } catch {
      // Deleted meanwhile, or no network: the next load says.
    }
  }

  #put(thread: Thread) {
    // In no list.
    if (thread.temporary) return this.#others.set(thread.id, thread);
    const { chats, archive } = this.shelves;
    const [to, from] = thread.archived ? [archive, chats] : [chats, archive];
    from.drop(thread.id);
    to.put(thread);
    this.#others.delete(thread.id);
  }

  #drop(id: string) {
    this.shelves.chats.drop(id);
    this.shelves.archive.drop(id);
    this.#others.delete(id);
    this.doing.delete(id);
    this.gone.add(id);
    if (this.shelves.deleted.loaded) void this.shelves.deleted.load();
  }
}
