// A chat as a file: the branch that is shown as Markdown to read, or all of it as JSON to work with. And on paper.
import { tick } from 'svelte';
import { answer, api, type Schemas } from './api';
import { chatName } from './chatName';
import { desk } from './desk.svelte';
import { plainName } from './fileName';
import { fenced } from './fences';
import { fullTime } from './time';
import type { Thread } from './threads.svelte';
import { t } from './words';

type Message = Schemas['MessageView'];

export async function save(thread: Thread, form: 'markdown' | 'json') {
  const messages = await all(thread.id, form === 'markdown' ? 'head' : undefined);
  const title = chatName(thread);
  const text = form === 'json' ? `${JSON.stringify({ thread, messages }, null, 2)}\n` : markdown(title, messages);
  const type = form === 'json' ? 'application/json' : 'text/markdown';
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  link.download = `${plainName(title, t('export.name'))}.${form === 'json' ? 'json' : 'md'}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Puts the chat on paper: all of it, also what was not read yet. */
export async function print(id: string) {
  const conversation = desk.open(id);
  while (conversation.older !== null) await desk.more(conversation);
  await tick();
  globalThis.print();
}

async function all(id: string, branch: string | undefined): Promise<Message[]> {
  let messages: Message[] = [];
  let before: string | null | undefined;
  do {
    const query = { limit: 100, ...(branch && { branch }), ...(before && { before }) };
    const page = await answer(api.GET('/api/threads/{id}/messages', { params: { path: { id }, query } }));
    messages = [...page.items, ...messages];
    before = page.next;
  } while (before);
  return messages;
}

export function markdown(title: string, messages: Message[]): string {
  const parts = [`# ${title.replace(/\s+/g, ' ')}`];
  for (const message of messages) {
    const texts: string[] = [];
    for (const part of message.content) {
      if (part.type === 'text') texts.push(part.text);
      if (part.type === 'file') texts.push(`*${part.name.replace(/[\\*_`[\]<>]/g, '\\$&')}*`);
      if (part.type === 'tool_call')
        texts.push(`\`${part.name}\``, fenced(JSON.stringify(part.arguments, null, 2), 'json'));
      if (part.type === 'tool_result') texts.push(fenced(part.content));
    }
    if (texts.length === 0) continue;
    const who =
      message.role === 'user' ? t('chat.you') : message.role === 'tool' ? t('chat.toolSaid') : t('chat.agent');
    parts.push(`**${who}**, ${fullTime(message.createdAt)}`, ...texts);
    if (message.partial) parts.push(`*${t('chat.partial')}*`);
  }
  return `${parts.join('\n\n')}\n`;
}
