// The keys of the whole page, as ChatGPT and Open WebUI have them. Those of an approval are handled at the slip.
import { ALT, box, MOD, openCommands, SHIFT } from './commands.svelte';
import { desk } from './desk.svelte';
import { codeBlocks } from './fences';
import { router } from './router.svelte';
import { side } from './side.svelte';
import { toasts } from './toasts.svelte';
import { t, type Key } from './words';

export interface Shortcut {
  keys: string;
  word: Key;
  /** Absent where it belongs to a part of the page. */
  is?: (event: KeyboardEvent, mod: boolean) => boolean;
  act?: () => void;
}

/** By its place on the keyboard, or by its sign where the layout puts it elsewhere. */
const letter = (event: KeyboardEvent, sign: string) =>
  event.key.toLowerCase() === sign || event.code === `Key${sign.toUpperCase()}`;

export const shortcuts: Shortcut[] = [
  {
    keys: `${MOD} K`,
    word: 'keys.find',
    is: (event, mod) => mod && !event.shiftKey && letter(event, 'k'),
    act: () => (box.isOpen ? (box.isOpen = false) : openCommands()),
  },
  {
    keys: `${MOD} ${SHIFT} O`,
    word: 'order.new',
    is: (event, mod) => mod && event.shiftKey && letter(event, 'o'),
    act: () => router.go('/chat/new'),
  },
  {
    keys: `${SHIFT} Esc`,
    word: 'keys.focus',
    is: (event) => event.shiftKey && event.key === 'Escape',
    act: focusField,
  },
  {
    keys: `${MOD} ${SHIFT} S`,
    word: 'keys.side',
    is: (event, mod) => mod && event.shiftKey && letter(event, 's'),
    act: () => side.toggle(),
  },
  {
    keys: `${MOD} ${SHIFT} C`,
    word: 'keys.copyAnswer',
    is: (event, mod) => mod && event.shiftKey && letter(event, 'c'),
    act: () => void copyLast(false),
  },
  {
    keys: `${MOD} ${SHIFT} ;`,
    word: 'keys.copyCode',
    is: (event, mod) => mod && event.shiftKey && (event.code === 'Semicolon' || event.key === ';'),
    act: () => void copyLast(true),
  },
  { keys: `${MOD} ${ALT} Enter`, word: 'approval.once' },
  { keys: `${MOD} ${ALT} ⌫`, word: 'approval.deny' },
  { keys: 'Esc', word: 'order.stop' },
  {
    keys: `${MOD} /`,
    word: 'order.keys',
    is: (event, mod) => mod && (event.key === '/' || event.code === 'Slash') && !event.altKey,
    act: () => (box.sheet = !box.sheet),
  },
];

/** What a key means on the page as it is now. */
export function meant(event: KeyboardEvent): Shortcut | undefined {
  // A key that composes a sign is no command, nor is AltGr.
  if (event.isComposing || event.repeat || event.getModifierState('AltGraph')) return undefined;
  const mod = (event.metaKey || event.ctrlKey) && !event.altKey;
  const found = shortcuts.find((shortcut) => shortcut.is?.(event, mod));
  // Over an open dialog only what opens and closes these two means something.
  const isOwn = found?.word === 'keys.find' || found?.word === 'order.keys';
  return document.querySelector('dialog[open]') && !isOwn ? undefined : found;
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
  try {
    await navigator.clipboard.writeText(text);
    toasts.say(t(isCode ? 'keys.copiedCode' : 'keys.copiedAnswer'));
  } catch {
    toasts.say(t('keys.notCopied'));
  }
}
