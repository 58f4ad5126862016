// Where a message stands in the tree of its thread.
import { answer, api, Problem, type Schemas } from './api';

type Read = Schemas['MessageView'];

/** Pages of the tree that are looked through at most. */
const PAGES = 50;

async function page(id: string, query: { branch?: string; before?: string }): Promise<Schemas['Page_MessageView']> {
  return answer(api.GET('/api/threads/{id}/messages', { params: { path: { id }, query: { ...query, limit: 100 } } }));
}

/** A message by its id; null where the thread has none. */
export async function placeOf(thread: string, message: string): Promise<Read | null> {
  try {
    const { items } = await page(thread, { branch: message });
    return items.find((item) => item.id === message) ?? null;
  } catch (error) {
    if (error instanceof Problem && (error.status === 404 || error.status === 400)) return null;
    throw error;
  }
}

/** The end of the branch that a message leads to: behind each message the newest one. */
export async function endBelow(thread: string, message: string, seq: number): Promise<string> {
  const newest = new Map<string, Read>();
  let before: string | undefined;
  for (let pages = 0; pages < PAGES; pages += 1) {
    const { items, next } = await page(thread, before ? { before } : {});
    for (const item of items) {
      const known = item.parentId ? newest.get(item.parentId) : undefined;
      if (item.parentId && (!known || known.seq < item.seq)) newest.set(item.parentId, item);
    }
    // What stands behind a message came after it.
    if (!next || (items[0]?.seq ?? 0) <= seq) break;
    before = next;
  }
  let end = message;
  for (let next = newest.get(end); next; next = newest.get(end)) end = next.id;
  return end;
}
