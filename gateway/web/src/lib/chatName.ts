// What a chat is called: its title, or how it begins until it has one.
import { t } from './words';

/** Letters of a beginning that are shown. */
const LONGEST = 120;

export interface Named {
  temporary?: boolean | undefined;
  title?: string | null | undefined;
  said?: string | null | undefined;
}

export function chatName(thread: Named | null | undefined): string {
  if (thread?.temporary) return t('temporary.label');
  return thread?.title?.trim() || beginning(thread?.said ?? '') || t('chats.untitled');
}

function beginning(text: string): string {
  const flat = text.replace(/\s+/g, ' ').trim();
  return flat.length > LONGEST ? `${flat.slice(0, LONGEST).trimEnd()}…` : flat;
}
