// What somebody began to write: it survives a reload, a new version and a session that ran out. In the local storage,
// because its writes are done when they return: a database's are not, when the page goes away behind them.
// Tabs that show the same chat show the same draft. What is written for a chat without a name belongs to its tab; when
// that is gone, to the next one.
import { FRESH } from './fresh';
import { newId } from './ids';
import { DRAFTS } from './keep';
import type { Attached } from './message.svelte';
import { session } from './session.svelte';

/** What stands in a composer. */
export interface Draft {
  text: string;
  files: Attached[];
  /** Names of files that were on their way. */
  lost?: string[];
}

/** A message that was said before, as somebody is rewriting it. */
export interface Rewriting extends Draft {
  message: string;
  /** Milliseconds since 1970: of several, the newest is taken up. */
  at: number;
}

/** What is written for a chat that has no name yet. */
export const NEW = 'new';
const TAB = 'adjutant.tab';
const tab = sessionStorage.getItem(TAB) ?? newId();
sessionStorage.setItem(TAB, tab);
hold(tab);

/** Others see whose draft is nobody's: one of a tab that is gone, or of a chat that began nowhere and is not open. */
function hold(owner: string): () => void {
  let leave = () => {};
  const left = new Promise<void>((resolve) => (leave = resolve));
  void navigator.locks?.request(`${TAB}/${owner}`, { mode: 'shared' }, () => left);
  return leave;
}

const named = (name: string) => (name === NEW ? `${FRESH}${tab}` : name);
const key = (name: string) => `${DRAFTS}${session.scope}/${named(name)}`;

export function draftOf<T>(name: string): T | undefined {
  const kept = localStorage.getItem(key(name));
  return kept === null ? undefined : (JSON.parse(kept) as T);
}

export function keepDraft(name: string, draft: unknown) {
  try {
    localStorage.setItem(key(name), JSON.stringify(draft));
  } catch {
    // No room: it is on the page, and only there.
  }
}

export function forgetDraft(name: string) {
  localStorage.removeItem(key(name));
}

const rewritten = (thread: string, message: string) => `${thread}/rewritten/${message}`;

export function rewritingOf(thread: string, message: string): Rewriting | undefined {
  return draftOf<Rewriting>(rewritten(thread, message));
}

/** All that is being rewritten in a chat, the newest first. */
export function rewritingsOf(thread: string): Rewriting[] {
  return keysOf(key(rewritten(thread, '')))
    .map((name) => JSON.parse(localStorage.getItem(name) ?? 'null') as Rewriting)
    .sort((one, other) => other.at - one.at);
}

export function keepRewriting(thread: string, message: string, draft: Draft) {
  keepDraft(rewritten(thread, message), { ...draft, message, at: Date.now() } satisfies Rewriting);
}

export function forgetRewriting(thread: string, message: string) {
  forgetDraft(rewritten(thread, message));
}

const keysOf = (prefix: string) => Object.keys(localStorage).filter((name) => name.startsWith(prefix));

/** What is written for one chat goes on for another. */
export function moveDraft(from: string, to: string) {
  const draft = draftOf<Draft>(from);
  if (draft) keepDraft(to, draft);
  forgetDraft(from);
}

/** Takes over what was begun as a new chat in a tab that is gone. What waits to be sent in its chat is no such thing. */
export async function adoptNew(waits: (name: string) => boolean): Promise<Draft | undefined> {
  const prefix = `${DRAFTS}${session.scope}/`;
  const others = keysOf(prefix + FRESH).filter((name) => name !== key(NEW) && !waits(name.slice(prefix.length)));
  if (others.length === 0) return undefined;
  const held = (await navigator.locks?.query())?.held ?? [];
  const living = new Set(held.map(({ name }) => name));
  const left = others.find((name) => !living.has(`${TAB}/${name.slice((prefix + FRESH).length)}`));
  const draft = left && localStorage.getItem(left);
  // Meanwhile something else may have been begun.
  if (!draft || draftOf(NEW)) return undefined;
  localStorage.setItem(key(NEW), draft);
  localStorage.removeItem(left);
  return draftOf<Draft>(NEW);
}

/** Hears what other tabs make of a draft: null when it was sent or emptied. */
export function heedDraft(name: string, heard: (draft: Draft | null) => void): () => void {
  const listen = (event: StorageEvent) => {
    if (event.key === key(name)) heard(JSON.parse(event.newValue ?? 'null') as Draft | null);
  };
  addEventListener('storage', listen);
  const leave = name.startsWith(FRESH) ? hold(name.slice(FRESH.length)) : () => {};
  return () => {
    removeEventListener('storage', listen);
    leave();
  };
}
