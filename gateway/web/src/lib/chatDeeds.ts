// What can be done with chats, one or many, and taken back.
import { sentence } from './api';
import { chatName } from './chatName';
import { desk } from './desk.svelte';
import { folderChoice } from './folderChoice.svelte';
import { router, shelfAddress } from './router.svelte';
import type { Thread } from './threads.svelte';
import { toasts } from './toasts.svelte';
import { t, type Key } from './words';

export interface Outcome {
  done: Thread[];
  /** Those to which it was not done, and why. */
  left: Thread[];
  problem: unknown;
}

/** Does it to each. One that fails leaves the others done. */
async function each(threads: Thread[], deed: (thread: Thread) => Promise<void>): Promise<Outcome> {
  const ends = await Promise.allSettled(threads.map(deed));
  const fate = (status: PromiseSettledResult<void>['status']) => threads.filter((_, at) => ends[at]?.status === status);
  const failed = ends.find((end) => end.status === 'rejected');
  return { done: fate('fulfilled'), left: fate('rejected'), problem: failed?.reason };
}

/** Takes it back, and says so where that fails. */
async function undo(threads: Thread[], deed: (thread: Thread) => Promise<void>) {
  const { left, problem } = await each(threads, deed);
  if (left.length > 0) toasts.say(sentence(problem), { word: t('action.retry'), act: () => void undo(left, deed) });
}

function say(threads: Thread[], one: Key, many: Key, back: () => void, folder = '') {
  const [only] = threads;
  if (!only) return;
  const text =
    threads.length === 1 ? t(one, { title: chatName(only), folder }) : t(many, { count: threads.length, folder });
  toasts.say(text, { word: t('action.undo'), act: back });
}

/** Deletes them. Whoever looks at one of them is led to a new chat, and back if they take it back. */
export async function remove(threads: Thread[]): Promise<Outcome> {
  const outcome = await each(threads, (thread) => desk.threads.delete(thread));
  const { thread: openId, shelf, folder } = router.chat;
  const open = outcome.done.find((thread) => thread.id === openId);
  const address = location.pathname;
  if (open) router.go(shelfAddress(shelf, folder), 'replace');
  const left = location.pathname;
  say(outcome.done, 'chats.deleted', 'chats.deletedMany', () => {
    void undo(outcome.done, (thread) => desk.threads.restore(thread)).then(() => {
      if (open && location.pathname === left) router.go(address, 'replace');
    });
  });
  return outcome;
}

export async function archive(threads: Thread[], archived: boolean): Promise<Outcome> {
  const outcome = await each(threads, ({ id }) => desk.threads.change(id, { archived }));
  const back = () => void undo(outcome.done, ({ id }) => desk.threads.change(id, { archived: !archived }));
  if (archived) say(outcome.done, 'chats.archived', 'chats.archivedMany', back);
  else say(outcome.done, 'chats.unarchived', 'chats.unarchivedMany', back);
  return outcome;
}

/** Puts them into the folder of this name, or with null into none. */
export async function move(threads: Thread[], folder: string | null): Promise<Outcome> {
  const outcome = await each(threads, ({ id }) => desk.threads.change(id, { folder }));
  const back = () =>
    void undo(outcome.done, ({ id, folder: before }) => desk.threads.change(id, { folder: before ?? null }));
  if (folder === null) say(outcome.done, 'folders.tookOut', 'folders.tookOutMany', back);
  else say(outcome.done, 'folders.moved', 'folders.movedMany', back, folder);
  return outcome;
}

/** Asks for the folder first. */
export async function moveSomewhere(threads: Thread[]): Promise<Outcome> {
  const folder = await folderChoice.ask(threads);
  return folder === undefined ? { done: [], left: [], problem: null } : move(threads, folder);
}

export async function restore(threads: Thread[]): Promise<Outcome> {
  return each(threads, (thread) => desk.threads.restore(thread));
}

/** For one chat from a menu, a key or a command: a refusal is told. */
export async function tell(deed: () => Promise<Outcome | void>) {
  try {
    const outcome = await deed();
    if (outcome && outcome.left.length > 0) toasts.say(sentence(outcome.problem));
  } catch (error) {
    toasts.say(sentence(error));
  }
}
