// What a chat is called: its title, or how it begins until it has one.
import { desk } from './desk.svelte';
import { t } from './words';

export function chatName(thread: { id: string; title?: string | null | undefined }): string {
  return thread.title?.trim() || desk.threads.said.get(thread.id) || t('chats.untitled');
}
