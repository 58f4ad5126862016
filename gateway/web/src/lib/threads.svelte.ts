// The list of threads, and what goes on in each.
import type { EventFrame } from '../wire/frames';
import { SvelteMap } from 'svelte/reactivity';
import { answer, api, type Schemas } from './api';

export type Thread = Schemas['ThreadView'];
export type Doing = 'running' | 'waiting' | 'quarantined';

export class Threads {
  items = $state.raw<Thread[]>([]);
  next = $state<string | null>(null);
  loaded = $state(false);
  failure = $state.raw<unknown>(null);
  doing = new SvelteMap<string, Doing>();
  /** Threads that were deleted here a moment ago, to be taken back. */
  deleted = $state.raw<Thread | null>(null);

  async load() {
    try {
      const page = await answer(api.GET('/api/threads', { params: { query: { limit: 50 } } }));
      [this.items, this.next, this.failure] = [page.items, page.next ?? null, null];
    } catch (error) {
      this.failure = error;
    }
    this.loaded = true;
  }

  async more() {
    if (this.next === null) return;
    const query = { limit: 50, before: this.next };
    const page = await answer(api.GET('/api/threads', { params: { query } }));
    const known = new Set(this.items.map((thread) => thread.id));
    this.items = [...this.items, ...page.items.filter((thread) => !known.has(thread.id))];
    this.next = page.next ?? null;
  }

  find(id: string): Thread | undefined {
    return this.items.find((thread) => thread.id === id);
  }

  async change(id: string, body: Schemas['ThreadPatch']) {
    this.#put(await answer(api.PATCH('/api/threads/{id}', { params: { path: { id } }, body })));
  }

  async delete(thread: Thread) {
    await api.DELETE('/api/threads/{id}', { params: { path: { id: thread.id } } });
    this.items = this.items.filter((other) => other.id !== thread.id);
    this.deleted = thread;
  }

  async restore(thread: Thread) {
    this.#put(await answer(api.POST('/api/threads/{id}/restore', { params: { path: { id: thread.id } } })));
    this.deleted = null;
  }

  event({ threadId, event, seq }: EventFrame) {
    if (event.type === 'RUN_STARTED') this.doing.set(threadId, 'running');
    if (event.type === 'RUN_FINISHED' || event.type === 'RUN_ERROR') this.doing.delete(threadId);
    if (event.type === 'CUSTOM' && event.name === 'run.state') {
      const { state } = event.value;
      if (state === 'running' || state === 'waiting' || state === 'quarantined') this.doing.set(threadId, state);
    }
    if (event.type === 'CUSTOM' && event.name === 'thread.changed' && event.value.deletedAt !== null) {
      this.items = this.items.filter((thread) => thread.id !== threadId);
      return;
    }
    const changes = event.type === 'RUN_STARTED' || event.type === 'RUN_FINISHED' || event.type === 'RUN_ERROR';
    if (changes || (event.type === 'CUSTOM' && event.name === 'thread.changed')) void this.#read(threadId, seq);
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
    const others = this.items.filter((other) => other.id !== thread.id);
    const items = thread.archived ? others : [...others, thread];
    this.items = items.sort((one, other) => (one.updatedAt < other.updatedAt ? 1 : -1));
  }
}
