// A chat as a file: the branch that is shown, as Markdown to read or JSON to work with.
import { answer, api, type Schemas } from './api';
import { fullTime } from './time';
import type { Thread } from './threads.svelte';
import { t } from './words';

type Message = Schemas['MessageView'];

export async function save(thread: Thread, form: 'markdown' | 'json') {
  const messages = await all(thread.id);
  const title = thread.title ?? t('chats.untitled');
  const text = form === 'json' ? JSON.stringify({ thread, messages }, null, 2) : markdown(title, messages);
  const type = form === 'json' ? 'application/json' : 'text/markdown';
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = `${title.replace(/[^\p{L}\p{N} _-]+/gu, '').trim() || 'chat'}.${form === 'json' ? 'json' : 'md'}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

async function all(id: string): Promise<Message[]> {
  let messages: Message[] = [];
  let before: string | null | undefined;
  do {
    const query = { branch: 'head', limit: 100, ...(before && { before }) };
    const page = await answer(api.GET('/api/threads/{id}/messages', { params: { path: { id }, query } }));
    messages = [...page.items, ...messages];
    before = page.next;
  } while (before);
  return messages;
}

export function markdown(title: string, messages: Message[]): string {
  const parts = [`# ${title}`];
  for (const message of messages) {
    const texts: string[] = [];
    for (const part of message.content) {
      if (part.type === 'text') texts.push(part.text);
      if (part.type === 'file') texts.push(`*${part.name}*`);
      if (part.type === 'tool_call') texts.push(`\`\`\`json\n${part.name} ${JSON.stringify(part.arguments)}\n\`\`\``);
      if (part.type === 'tool_result')
        texts.push(
          part.content
            .split('\n')
            .map((line) => `> ${line}`)
            .join('\n'),
        );
    }
    if (texts.length === 0) continue;
    const who =
      message.role === 'user' ? t('chat.you') : message.role === 'tool' ? t('chat.toolSaid') : t('chat.agent');
    parts.push(`**${who}**, ${fullTime(message.createdAt)}`, ...texts);
  }
  return `${parts.join('\n\n')}\n`;
}
