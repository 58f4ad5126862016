// The lists of threads, what goes on in each, and what becomes of them.
import type { EventFrame } from '../wire/frames';
import { SvelteMap, SvelteSet } from 'svelte/reactivity';
import { answer, api, Problem, type Schemas } from './api';
import { keptList } from './reading';
import type { Shelf as Name } from './router.svelte';
import { Shelf, type Thread } from './shelf.svelte';
import { Source } from './source.svelte';

export type { Thread } from './shelf.svelte';
export type Doing = 'running' | 'waiting' | 'quarantined';

/** Milliseconds without an answer, after which what was kept is better than nothing. */
export const LATE = 1_500;
/** Milliseconds in which changes of many chats become one reading of the folders. */
const SOON = 50;

const byName = new Intl.Collator(undefined, { numeric: true });

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
  /** The folder that was looked at last. */
  #opened: { name: string; shelf: Shelf } | null = null;
  #counted = new Source(async () => (await answer(api.GET('/api/folders'))).items);
  #soon: ReturnType<typeof setTimeout> | undefined;

  /** By name: what the server counted, and those that are known of chats that were read. */
  folders = $derived.by(() => {
    const counts = new Map<string, number>();
    for (const { folder } of this.items) if (folder) counts.set(folder, (counts.get(folder) ?? 0) + 1);
    for (const { name, threads } of this.#counted.value ?? []) counts.set(name, threads);
    return [...counts].map(([name, count]) => ({ name, count })).sort((a, b) => byName.compare(a.name, b.name));
  });

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
    const folder = this.#opened?.shelf;
    await Promise.all([
      this.#read(chats),
      archive.loaded ? archive.load() : undefined,
      folder?.loaded ? this.#read(folder) : undefined,
      this.#counted.load(),
    ]);
  }

  /** The list of this name, for which that of a folder needs its own. */
  shelf(name: Name, folder: string): Shelf {
    if (name !== 'folder') return this.shelves[name];
    if (this.#opened?.name !== folder) this.#opened = { name: folder, shelf: new Shelf({ folder }) };
    return this.#opened.shelf;
  }

  /** Reads a list that somebody looks at; that of all chats is read without being asked. */
  async look(name: Name, folder: string) {
    if (name === 'folder') await this.#read(this.shelf(name, folder));
    else if (name !== 'chats') await this.shelves[name].load();
  }

  /** What was kept stands in for a list while there is no answer. */
  async #read(shelf: Shelf) {
    const showKept = async () => {
      const kept = await keptList();
      if (!kept || (shelf.loaded && !shelf.failure)) return;
      const here = kept.filter((thread) => shelf.takes(thread));
      // That a folder is empty is not known from what was kept.
      if (here.length > 0 || shelf === this.shelves.chats) shelf.showKept(here);
    };
    const late = setTimeout(() => void showKept(), LATE);
    await shelf.load();
    clearTimeout(late);
    if (shelf.failure) await showKept();
  }

  find(id: string): Thread | undefined {
    return this.#lists.map((shelf) => shelf.find(id)).find(Boolean) ?? this.#others.get(id);
  }

  /** All but the deleted ones. */
  get #lists(): Shelf[] {
    const { chats, archive } = this.shelves;
    return [chats, archive, ...(this.#opened ? [this.#opened.shelf] : [])];
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

  /** A summary stands in for its older part, when the model has written it. */
  async compact(id: string) {
    this.#put(await answer(api.POST('/api/threads/{id}/compact', { params: { path: { id } } })));
  }

  async removeSummary(id: string) {
    this.#put(await answer(api.DELETE('/api/threads/{id}/summary', { params: { path: { id } } })));
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
    if (changes || isChanged) void this.#readOne(threadId, seq);
  }

  async #readOne(id: string, seq: number | undefined) {
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
    const was = this.find(thread.id);
    for (const shelf of this.#lists) {
      if (shelf.takes(thread)) shelf.put(thread);
      else shelf.drop(thread.id);
    }
    this.#others.delete(thread.id);
    this.#recount(was, thread);
  }

  /** Reads the folders anew where this may have changed them. What is not known may have been in one. */
  #recount(was: Thread | undefined, is: Thread | undefined) {
    const place = (thread: Thread | undefined) => (thread?.archived ? null : (thread?.folder ?? null));
    const isUnknown = !was && this.folders.length > 0;
    if (!isUnknown && place(was) === place(is)) return;
    clearTimeout(this.#soon);
    this.#soon = setTimeout(() => void this.#counted.load(), SOON);
  }

  #drop(id: string) {
    const was = this.find(id);
    for (const shelf of this.#lists) shelf.drop(id);
    this.#others.delete(id);
    this.#recount(was, undefined);
    this.doing.delete(id);
    this.gone.add(id);
    if (this.shelves.deleted.loaded) void this.shelves.deleted.load();
  }
}
