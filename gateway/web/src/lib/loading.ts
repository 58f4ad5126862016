// A thread as REST reads it, as the messages that a page shows. What happens from there on is the socket's.
import type { Schemas } from './api';
import { answer, api } from './api';
import { Call, Message, type Attached } from './message.svelte';
import { partsOf } from './modelNames';
import type { Transcript } from './transcript.svelte';

/** Messages that are read and drawn when a chat opens: what a window shows of usual ones. */
const FIRST = 4;
/** Messages that are read when a window shows more than that: few, so that nothing waits for their drawing. */
export const STEP = 6;
/** Messages that are read at once when somebody reads further up. */
export const PAGE = 20;
/** Messages that are read to find the calls of results: odd, because calls and results take turns. */
const FEW = 5;
/** As many as the server gives at once. */
const MOST = 100;

type Read = Schemas['MessageView'];
type Page = Schemas['Page_MessageView'];

export interface Loaded {
  /** Where older messages begin; null at the beginning of the branch. */
  older: string | null;
}

/**
 * Reads the end of the branch that is shown into a transcript, and says from which event on the socket tells the rest.
 * `before`: the messages that it had; what came since, while this was read, stands behind.
 */
export async function load(transcript: Transcript, before?: Set<string>): Promise<Loaded> {
  const isFirst = transcript.last === null;
  // Who reads further up stays where they are.
  const limit = Math.min(Math.max(PAGE, before?.size ?? 0), MOST);
  const [page, thread] = isFirst ? await newest(transcript.id) : [await end(transcript.id, limit), null];
  take(transcript, page.items, before ? transcript.messages.filter((message) => !before.has(message.id)) : []);
  if (transcript.last === null) {
    // From the newest message of the person on, so that what is open in its run is told again.
    const said = page.items.filter((message) => message.role === 'user').map((message) => message.seq);
    transcript.last = Math.max(0, ...said) - (said.length > 0 ? 1 : 0);
    transcript.until(thread?.lastSeq ?? 0);
  }
  return { older: page.next ?? null };
}

type Newest = [Page, Schemas['ThreadView']];

/** What was asked for before the page was there to show it. */
let ahead: { id: string; read: Promise<Newest> } | null = null;

/** Asks for the end of a thread that is about to be shown. */
export function readAhead(id: string) {
  const read = ask(id);
  // Whoever shows it asks again.
  read.catch(() => {});
  ahead = { id, read };
}

/** Its newest messages, and the thread as it was then. */
async function newest(id: string): Promise<Newest> {
  const begun = ahead?.id === id ? ahead.read : null;
  ahead = null;
  return begun ? begun.catch(() => ask(id)) : ask(id);
}

const ask = (id: string): Promise<Newest> =>
  Promise.all([end(id, FIRST), answer(api.GET('/api/threads/{id}', { params: { path: { id } } }))]);

/** What stands before that message, about `limit` messages, oldest first, and where there is more. */
export async function older(
  id: string,
  before: string,
  limit: number,
): Promise<{ items: Read[]; older: string | null }> {
  const page = await whole(id, await read(id, limit, before));
  return { items: page.items, older: page.next ?? null };
}

/** The newest messages, as far back as the newest one of the person: a run with many tools can be longer than a page. */
async function end(id: string, limit: number): Promise<Page> {
  let page = await whole(id, await read(id, limit));
  while (page.next && !page.items.some((message) => message.role === 'user'))
    page = await whole(id, joined(await read(id, PAGE, page.next), page));
  return page;
}

/** With the calls whose results it begins with: they stand at the end of the page before. */
async function whole(id: string, page: Page): Promise<Page> {
  while (page.next && page.items[0]?.role === 'tool') page = joined(await read(id, FEW, page.next), page);
  return page;
}

const joined = (older: Page, newer: Page): Page => ({ ...older, items: [...older.items, ...newer.items] });

async function read(id: string, limit: number, before?: string): Promise<Page> {
  const query = { branch: 'head', limit, ...(before && { before }) };
  return answer(api.GET('/api/threads/{id}/messages', { params: { path: { id }, query } }));
}

/** Shows these messages, and behind them `behind`, or what is being written or waits. */
export function take(transcript: Transcript, items: Read[], behind: Message[]) {
  const shown: Message[] = [];
  for (const item of items) {
    if (item.role === 'tool') {
      results(item, shown);
      continue;
    }
    const message =
      transcript.find(item.id) ??
      new Message(item.id, item.role === 'user' || item.role === 'assistant' ? item.role : 'system');
    fill(message, item);
    message.model = item.model ? partsOf(item.model).name : (transcript.runs.get(message.runId ?? '')?.model ?? null);
    shown.push(message);
  }
  const known = new Set(shown.map((message) => message.id));
  const rest = transcript.messages.filter((message) => behind.includes(message) || message.queued || !message.done);
  transcript.messages = [...shown, ...rest.filter((message) => !known.has(message.id))];
}

function fill(message: Message, item: Read) {
  message.runId = item.runId ?? null;
  message.parentId = item.parentId ?? null;
  message.siblingIds = item.siblingIds;
  message.clientMessageId = item.clientMessageId ?? null;
  message.createdAt = item.createdAt;
  message.partial = item.partial;
  message.done = true;
  message.text = item.content.map((part) => (part.type === 'text' ? part.text : '')).join('');
  message.thinking = item.content.map((part) => (part.type === 'thinking' ? part.text : '')).join('');
  if (item.thoughtMs !== undefined) message.thought = Math.round(item.thoughtMs / 1000);
  message.files = item.content.flatMap((part): Attached[] => (part.type === 'file' ? [part] : []));
  for (const part of item.content) {
    if (part.type !== 'tool_call' || message.call(part.id)) continue;
    const call = new Call(part.id, part.name);
    call.args = JSON.stringify(part.arguments);
    message.calls.push(call);
  }
}

/** Results stand at the calls they belong to. */
function results(item: Read, shown: Message[]) {
  for (const part of item.content) {
    if (part.type !== 'tool_result') continue;
    const call = shown.flatMap((message) => message.calls).find((call) => call.id === part.callId);
    if (!call) continue;
    call.result = { content: part.content, outcome: part.outcome, truncated: part.truncated ?? false };
    call.took = item.tookMs ?? null;
  }
}
