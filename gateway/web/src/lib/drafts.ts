// What somebody began to write, per chat: it survives a reload, a new version and a session that ran out.
import { forget, keep, kept } from './keep';
import type { Attached } from './message.svelte';
import { session } from './session.svelte';

interface Draft {
  text: string;
  files: Attached[];
}

const PAUSE = 250;
let timer: ReturnType<typeof setTimeout> | undefined;
let pending: (() => void) | undefined;

const key = (name: string) => `${session.scope}/${name}`;

export function draftOf(name: string): Promise<Draft | undefined> {
  return kept<Draft>('drafts', key(name));
}

/** Keeps it in a moment, and at once when the page goes away. */
export function keepDraft(name: string, text: string, files: Attached[]) {
  const at = key(name);
  clearTimeout(timer);
  pending = () => {
    pending = undefined;
    void (text === '' && files.length === 0 ? forget('drafts', at) : keep('drafts', at, { text, files }));
  };
  timer = setTimeout(() => pending?.(), PAUSE);
}

addEventListener('pagehide', () => pending?.());
addEventListener('visibilitychange', () => document.visibilityState === 'hidden' && pending?.());
