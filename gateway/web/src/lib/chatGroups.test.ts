import { describe, expect, it } from 'vitest';
import { grouped } from './chatGroups';
import type { Thread } from './shelf.svelte';

const daysBack = (days: number) => new Date(Date.now() - days * 86_400_000).toISOString();
const chat = (id: string, days: number, other: Partial<Thread> = {}) =>
  ({ id, updatedAt: daysBack(days), pinned: false, folder: null, ...other }) as Thread;

describe('the list of chats', () => {
  it('is parted by time, with what is pinned on top', () => {
    const groups = grouped([chat('a', 0), chat('b', 3), chat('c', 30), chat('d', 40, { pinned: true })]);
    expect(groups.map(({ word, items }) => [word, ...items.map(({ id }) => id)])).toEqual([
      ['chats.pinned', 'd'],
      ['chats.now', 'a'],
      ['chats.week', 'b'],
      ['chats.earlier', 'c'],
    ]);
  });

  it('leaves out what is in a folder and not pinned', () => {
    const groups = grouped([chat('a', 0, { folder: 'Trips' }), chat('b', 0, { folder: 'Trips', pinned: true })]);
    expect(groups.map(({ word, items }) => [word, ...items.map(({ id }) => id)])).toEqual([['chats.pinned', 'b']]);
    expect(grouped([])).toEqual([]);
  });
});
