// What a chat is called: its title, or how it begins until it has one.
import { t } from './words';

/** Signs that turn round what is written behind a name, too. Titles by the server have none of them. */
const TURNS = /[\u202a-\u202e\u2066-\u2069]/g;

/** Letters of a beginning that are shown. */
const LONGEST = 120;

export interface Named {
  temporary?: boolean | undefined;
  title?: string | null | undefined;
  said?: string | null | undefined;
}

export function chatName(thread: Named | null | undefined): string {
  if (thread?.temporary) return t('temporary.label');
  return plain(thread?.title) || beginning(plain(thread?.said)) || t('chats.untitled');
}

const plain = (text: string | null | undefined) => (text ?? '').replace(TURNS, '').trim();

function beginning(text: string): string {
  const flat = text.replace(/\s+/g, ' ');
  return flat.length > LONGEST ? `${flat.slice(0, LONGEST).trimEnd()}…` : flat;
}
