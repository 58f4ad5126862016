// What somebody began to write: it survives a reload, a new version and a session that ran out. In the local storage,
// because its writes are done when they return: a database's are not, when the page goes away behind them.
import { DRAFTS } from './keep';
import type { Attached } from './message.svelte';
import { session } from './session.svelte';

/** What stands in a composer. */
export interface Draft {
  text: string;
  files: Attached[];
  /** It was sent under this id, and is here only until the outbox has it. */
  sentAs?: string;
}

const key = (name: string) => `${DRAFTS}${session.scope}/${name}`;

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

/** What is written for one chat goes on for another. */
export function moveDraft(from: string, to: string) {
  const draft = draftOf<Draft>(from);
  if (draft && !draft.sentAs) keepDraft(to, draft);
  forgetDraft(from);
}
