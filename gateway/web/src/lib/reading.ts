// What can be read without a network: the list of chats, and the newest ones with their last messages. Kept in this
// browser for the one who is signed in and the profile that is open, read anew when a chat has changed, and no more.
import { answer, api, Problem, type Schemas } from './api';
import { forget, forgetOthers, keep, kept, keysKept } from './keep';
import { session } from './session.svelte';
import type { Thread } from './shelf.svelte';

/** Chats in the list that is kept. */
const LISTED = 50;
/** Of these, the newest with their messages. */
const CHATS = 20;
const MESSAGES = 60;
/** Messages that are read where the rest is kept already. */
const NEWS = 12;
/** Letters of a chat, as JSON; of the result of one tool. */
const CHAT_CHARS = 400_000;
const RESULT_CHARS = 8_000;

type Read = Schemas['MessageView'];

interface List {
  items: Thread[];
  /** Up to which event each chat is kept. */
  seqs: Record<string, number>;
}

const SEEN = 'adjutant.seen';
const prefix = () => `${session.scope}/`;

/** The server was there at this moment: what is kept was right then. */
export function sawServer() {
  if (session.isLeaving) return;
  localStorage.setItem(SEEN, new Date().toISOString());
}

export const lastSeen = () => localStorage.getItem(SEEN) ?? new Date().toISOString();

/** What belongs to somebody else, or to another profile, is not kept beside. */
export async function beginReading() {
  await forgetOthers('chats', prefix());
  await forgetOthers('talks', prefix());
}

export async function keptList(): Promise<Thread[] | null> {
  return (await kept<List>('chats', prefix()).catch(() => undefined))?.items ?? null;
}

export async function keptTalk(id: string): Promise<Read[] | null> {
  return (await kept<Read[]>('talks', `${prefix()}${id}`).catch(() => undefined)) ?? null;
}

let wanted: readonly Thread[] = [];
let isGoing = false;
/** Something changed since the last look at what is wanted. */
let isChanged = false;
/** Milliseconds after which what failed is tried again. */
const AGAIN_AFTER = 5_000;
let again: ReturnType<typeof setTimeout> | undefined;

interface Moment {
  /** Something is being written in that chat: it waits for its end. */
  isBusy: (id: string) => boolean;
  /** The server is there. */
  isOpen: () => boolean;
}

/** Keeps these readable, newest first, in quiet moments. */
export function keepReadable(threads: readonly Thread[], moment: Moment) {
  wanted = threads;
  isChanged = true;
  clearTimeout(again);
  if (!isGoing) void untilAllIs(moment);
}

/** What changes while the last of it is tidied up wants another look. */
async function untilAllIs(moment: Moment) {
  isGoing = true;
  try {
    while (isChanged) {
      isChanged = false;
      await work(moment.isBusy);
    }
  } catch {
    // What is there stays. When the server comes back, this begins anew anyway.
    again = setTimeout(() => moment.isOpen() && keepReadable(wanted, moment), AGAIN_AFTER);
  } finally {
    isGoing = false;
  }
}

const quiet = () =>
  new Promise<void>((resolve) =>
    'requestIdleCallback' in globalThis ? requestIdleCallback(() => resolve()) : setTimeout(resolve, 200),
  );

async function work(isBusy: (id: string) => boolean) {
  await quiet();
  const seqs = (await kept<List>('chats', prefix()))?.seqs ?? {};
  const write = () => keep('chats', prefix(), { items: wanted.slice(0, LISTED), seqs } satisfies List);
  const missing = new Set<string>();
  const next = () =>
    wanted.slice(0, CHATS).find(({ id, lastSeq }) => seqs[id] !== lastSeq && !isBusy(id) && !missing.has(id));
  await write();
  for (let thread = next(); thread; thread = next()) {
    await quiet();
    const { id, lastSeq } = thread;
    try {
      const talk = bounded(await newest(id));
      // Forgotten meanwhile, with whoever signed out: what was read before that is nobody's.
      if (!(await kept('chats', prefix()))) return;
      await keep('talks', `${prefix()}${id}`, talk);
      seqs[id] = lastSeq;
    } catch (error) {
      if (!(error instanceof Problem && error.status === 404)) throw error;
      missing.add(id);
    }
  }
  const here = new Set(wanted.slice(0, CHATS).map(({ id }) => prefix() + id));
  for (const key of await keysKept('talks')) {
    if (here.has(key)) continue;
    await forget('talks', key);
    delete seqs[key.slice(prefix().length)];
  }
  await write();
}

/** The end of a chat. What stands before a message never changes: only what is new is read. */
async function newest(id: string): Promise<Read[]> {
  const before = (await keptTalk(id)) ?? [];
  if (before.length > 0) {
    const page = await read(id, NEWS);
    const at = before.findIndex((message) => message.id === page.items[0]?.id);
    if (!page.next || at >= 0) return [...before.slice(0, Math.max(0, at)), ...page.items].slice(-MESSAGES);
  }
  return (await read(id, MESSAGES)).items;
}

function read(id: string, limit: number) {
  return answer(api.GET('/api/threads/{id}/messages', { params: { path: { id }, query: { branch: 'head', limit } } }));
}

/** As much of the end as there is room for. */
function bounded(items: Read[]): Read[] {
  const kept: Read[] = [];
  let chars = 0;
  for (const item of items.toReversed()) {
    const short = { ...item, content: item.content.map(shortened) };
    chars += JSON.stringify(short).length;
    if (chars > CHAT_CHARS && kept.length > 0) break;
    kept.unshift(short);
  }
  return kept;
}

function shortened(part: Schemas['Part']): Schemas['Part'] {
  if (part.type !== 'tool_result' || part.content.length <= RESULT_CHARS) return part;
  return { ...part, content: part.content.slice(0, RESULT_CHARS), truncated: true };
}
