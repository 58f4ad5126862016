import { describe, expect, it } from 'vitest';
import { answersOf, endOf } from './answers';
import { Message } from './message.svelte';

describe('answers', () => {
  it('are what the assistant says between two messages of the person', () => {
    const roles = ['user', 'assistant', 'assistant', 'user', 'user', 'assistant'] as const;
    const messages = roles.map((role, index) => new Message(String(index), role));
    const ends = [...answersOf(messages)].map(([id, answer]) => [id, answer.map((message) => message.id)]);
    expect(ends).toEqual([
      ['2', ['1', '2']],
      ['5', ['5']],
    ]);
  });
});

describe('the end of a branch', () => {
  it('is the newest of the ways on, whatever the order they are listed in', () => {
    const messages = [
      { id: 'd', parentId: 'b', seq: 9 },
      { id: 'a', seq: 1 },
      { id: 'c', parentId: 'b', seq: 4 },
      { id: 'b', parentId: 'a', seq: 2 },
    ];
    expect(endOf('a', messages)).toBe('d');
    expect(endOf('c', messages)).toBe('c');
  });
});
