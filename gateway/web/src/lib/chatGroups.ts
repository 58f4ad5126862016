// How the list of all chats is parted: what is pinned, then by time. What is in a folder is shown there, unless it is pinned.
import type { Thread } from './shelf.svelte';
import { daysAgo } from './time';
import type { Key } from './words';

export interface Group {
  word: Key | null;
  items: Thread[];
}

export function grouped(threads: Thread[]): Group[] {
  const groups: Group[] = [
    { word: 'chats.pinned', items: [] },
    { word: 'chats.now', items: [] },
    { word: 'chats.week', items: [] },
    { word: 'chats.earlier', items: [] },
  ];
  for (const thread of threads) {
    if (thread.folder && !thread.pinned) continue;
    const days = daysAgo(thread.updatedAt);
    groups[thread.pinned ? 0 : days < 1 ? 1 : days < 7 ? 2 : 3]?.items.push(thread);
  }
  return groups.filter((group) => group.items.length > 0);
}
