// What can be said by `/` in the composer, in the command box, and by key.
import { archive, move, moveSomewhere, remove, tell } from './chatDeeds';
import type { Id } from './combos';
import { compacting } from './compacting.svelte';
import { desk } from './desk.svelte';
import { print, save } from './exporting';
import type { Run } from './message.svelte';
import { router } from './router.svelte';
import { isDark, setTheme } from './theme';
import type { Thread } from './threads.svelte';
import { t, type Key } from './words';

export interface Context {
  /** The chat that is open; null where none is, or it is not begun. */
  thread: Thread | null;
  run: Run | undefined;
  /** Only where something is written. */
  steer?: () => void;
  attach?: () => void;
}

export interface Order {
  name: string;
  word: Key;
  keys?: Id | 'stop';
  /** Where it can be said; everywhere without it. */
  fits?: (context: Context) => boolean;
  /** It takes what stands behind its name. */
  takes?: boolean;
  act(context: Context, rest: string): void;
}

/** The command box and the sheet of keys, each open or not; which chat is renamed in its header. */
export const box = $state({ isOpen: false, sheet: false, typed: '', renames: null as string | null });

export function openCommands(typed = '') {
  box.typed = typed;
  box.isOpen = true;
}

const hasThread = ({ thread }: Context) => thread !== null;
const isListed = ({ thread }: Context) => thread !== null && !thread.temporary;

function to(deed: (thread: Thread) => Promise<unknown>): Order['act'] {
  return ({ thread }) => {
    if (thread) void tell(() => deed(thread) as Promise<void>);
  };
}

const all: Order[] = [
  { name: 'new', word: 'order.new', keys: 'new', act: () => router.go('/chat/new') },
  { name: 'temporary', word: 'order.temporary', act: () => router.go('/chat/new?temporary') },
  {
    name: 'stop',
    word: 'order.stop',
    keys: 'stop',
    fits: ({ run }) => run !== undefined,
    act: ({ run }) => run && desk.cancel(run.id),
  },
  {
    name: 'steer',
    word: 'order.steer',
    fits: ({ run, steer }) => run !== undefined && steer !== undefined,
    act: ({ steer }) => steer?.(),
  },
  {
    name: 'file',
    word: 'composer.file',
    fits: ({ attach }) => attach !== undefined,
    act: ({ attach }) => attach?.(),
  },
  {
    name: 'again',
    word: 'order.again',
    fits: ({ thread, run }) => thread !== null && run === undefined && lastSaid(thread.id) !== undefined,
    act: ({ thread }) => {
      const last = thread && lastSaid(thread.id);
      if (last) desk.tryAgain(thread.id, last);
    },
  },
  {
    name: 'compact',
    word: 'order.compact',
    fits: ({ thread, run }) => thread !== null && run === undefined,
    act: ({ thread }) => thread && void compacting.begin(thread.id),
  },
  {
    name: 'rename',
    word: 'order.rename',
    fits: isListed,
    takes: true,
    act: ({ thread }, title) => {
      if (!thread) return;
      if (title === '') box.renames = thread.id;
      else void tell(() => desk.threads.change(thread.id, { title: title.slice(0, 200) }));
    },
  },
  {
    name: 'pin',
    word: 'order.pin',
    fits: isListed,
    act: to(({ id, pinned }) => desk.threads.change(id, { pinned: !pinned })),
  },
  {
    name: 'archive',
    word: 'order.archive',
    fits: isListed,
    act: to((thread) => archive([thread], !thread.archived)),
  },
  {
    name: 'folder',
    word: 'order.folder',
    fits: ({ thread }) => thread !== null && !thread.temporary && !thread.archived,
    takes: true,
    act: ({ thread }, name) => {
      if (thread) void tell(() => (name ? move([thread], name) : moveSomewhere([thread])));
    },
  },
  { name: 'delete', word: 'order.delete', fits: hasThread, act: to((thread) => remove([thread])) },
  { name: 'export', word: 'order.export', fits: hasThread, act: to((thread) => save(thread, 'markdown')) },
  { name: 'json', word: 'order.json', fits: hasThread, act: to((thread) => save(thread, 'json')) },
  { name: 'print', word: 'order.print', fits: hasThread, act: to(({ id }) => print(id)) },
  {
    name: 'find',
    word: 'order.find',
    keys: 'find',
    takes: true,
    act: (_, words) => openCommands(words),
  },
  { name: 'today', word: 'order.today', act: () => router.go('/') },
  { name: 'needs', word: 'order.needs', act: () => router.go('/needs-you') },
  { name: 'settings', word: 'order.settings', act: () => router.go('/settings') },
  { name: 'theme', word: 'order.theme', act: () => setTheme(isDark() ? 'light' : 'dark') },
  { name: 'keys', word: 'order.keys', keys: 'keys', act: () => (box.sheet = true) },
];

function lastSaid(thread: string): string | undefined {
  const messages = desk.conversations.get(thread)?.transcript.messages ?? [];
  return messages.filter((message) => message.role === 'user').at(-1)?.id;
}

/** What can be said of what is open on the page. */
export function here(): Context {
  const { thread } = router.chat;
  const conversation = thread === null ? undefined : desk.conversations.get(thread);
  return { thread: (thread && desk.threads.find(thread)) || null, run: conversation?.transcript.current };
}

/** Those whose name begins so, else those that hold it. */
export function orders(typed: string, context: Context): Order[] {
  const low = typed.toLowerCase();
  const fit = all.filter((order) => order.fits?.(context) ?? true);
  const first = fit.filter((order) => order.name.startsWith(low));
  return first.length > 0 ? first : fit.filter((order) => order.name.includes(low));
}

/** Those whose words hold all that was typed, for the command box. */
export function ordersSaying(matches: (words: string[]) => boolean, context: Context): Order[] {
  return all.filter((order) => (order.fits?.(context) ?? true) && matches([order.name, t(order.word)]));
}
