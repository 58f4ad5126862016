// The keys of the whole page. Those of an approval are handled at the slip.
import { bindings } from './bindings.svelte';
import type { Id } from './combos';
import { box, openCommands } from './commands.svelte';
import { copy } from './copying';
import { desk } from './desk.svelte';
import { codeBlocks } from './fences';
import { router } from './router.svelte';
import { side } from './side.svelte';
import { toasts } from './toasts.svelte';
import { t, type Key } from './words';

/** In the order of the sheet. */
export const shortcuts: { id: Id | 'stop'; word: Key }[] = [
  { id: 'find', word: 'keys.find' },
  { id: 'new', word: 'order.new' },
  { id: 'focus', word: 'keys.focus' },
  { id: 'side', word: 'keys.side' },
  { id: 'copyAnswer', word: 'keys.copyAnswer' },
  { id: 'copyCode', word: 'keys.copyCode' },
  { id: 'allow', word: 'approval.once' },
  { id: 'deny', word: 'approval.deny' },
  { id: 'stop', word: 'order.stop' },
  { id: 'keys', word: 'order.keys' },
];

const acts = {
  find: () => (box.isOpen ? (box.isOpen = false) : openCommands()),
  new: () => router.go('/chat/new'),
  focus: focusField,
  side: () => side.toggle(),
  copyAnswer: () => void copyLast(false),
  copyCode: () => void copyLast(true),
  keys: () => (box.sheet = !box.sheet),
};
const ids = Object.keys(acts) as (keyof typeof acts)[];

/** What the keys do on the page as it is now. */
export function meant(event: KeyboardEvent): (() => void) | undefined {
  const id = bindings.meant(event, ids);
  // Over an open dialog only what opens and closes these two means something.
  const isShut = id !== 'find' && id !== 'keys' && document.querySelector('dialog[open]');
  return id && !isShut ? acts[id] : undefined;
}

function focusField() {
  const field = document.querySelector<HTMLElement>('.composer textarea');
  if (field) field.focus();
  else router.go('/chat/new');
}

/** The last answer, as it was written, or its last block of code. */
async function copyLast(isCode: boolean) {
  const messages = desk.conversations.get(router.chat.thread ?? '')?.transcript.messages ?? [];
  const answers = messages.filter((message) => message.role === 'assistant' && message.text);
  const texts = isCode
    ? answers.flatMap((message) => codeBlocks(message.text))
    : answers.map((message) => message.text);
  const text = texts.at(-1);
  if (text === undefined) return toasts.say(t(isCode ? 'keys.noCode' : 'keys.noAnswer'));
  if (await copy(text)) toasts.say(t(isCode ? 'keys.copiedCode' : 'keys.copiedAnswer'));
}
