// What can be said by `/` in the composer, in the command box, and by key.
import { desk } from './desk.svelte';
import type { Run } from './message.svelte';
import { router } from './router.svelte';
import { setTheme, theme } from './theme';
import type { Key } from './words';

export interface Context {
  name: string;
  isNew: boolean;
  run: Run | undefined;
  steer(): void;
}

export interface Order {
  name: string;
  word: Key;
  keys?: string;
  act(context: Context): void;
}

const isMac = navigator.platform.startsWith('Mac');
export const MOD = isMac ? '⌘' : 'Ctrl';

const all: Order[] = [
  { name: 'new', word: 'order.new', keys: `${MOD} ⇧ O`, act: () => router.go('/chat/new') },
  { name: 'stop', word: 'order.stop', keys: 'Esc', act: ({ run }) => run && desk.cancel(run.id) },
  { name: 'again', word: 'order.again', act: ({ name }) => again(name) },
  { name: 'steer', word: 'order.steer', act: ({ steer }) => steer() },
  { name: 'find', word: 'order.find', keys: `${MOD} K`, act: () => openCommands() },
  { name: 'needs', word: 'order.needs', act: () => router.go('/needs-you') },
  { name: 'settings', word: 'order.settings', act: () => router.go('/settings') },
  { name: 'theme', word: 'order.theme', act: () => setTheme(theme() === 'dark' ? 'light' : 'dark') },
  { name: 'keys', word: 'order.keys', keys: `${MOD} /`, act: () => (box.sheet = true) },
];

function again(thread: string) {
  const messages = desk.conversations.get(thread)?.transcript.messages ?? [];
  const last = messages.filter((message) => message.role === 'user').at(-1);
  if (last) desk.tryAgain(thread, last.id);
}

/** Those whose name begins so, else those that hold it. */
export function orders(typed: string): Order[] {
  const low = typed.toLowerCase();
  const first = all.filter((order) => order.name.startsWith(low));
  return first.length > 0 ? first : all.filter((order) => order.name.includes(low));
}

/** The command box and the sheet of keys, each open or not. */
export const box = $state({ isOpen: false, sheet: false });

export function openCommands() {
  box.isOpen = true;
}
