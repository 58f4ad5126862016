import { describe, expect, it } from 'vitest';
import { changes, description } from './definition';

const definition = (text: string, more = {}) =>
  JSON.stringify({ name: 'hold_seat', description: text, inputSchema: { type: 'object' }, ...more });

describe('definitions of tools', () => {
  it('tells what changed, the description first', () => {
    const before = definition('Holds a seat.', { annotations: { readOnlyHint: true } });
    const now = definition('Sells a seat.', { annotations: { readOnlyHint: false } });
    expect(changes(before, now).map((change) => change.key)).toEqual(['description', 'annotations']);
    expect(changes(now, now)).toEqual([]);
  });

  it('tells all of a definition that has none before it', () => {
    expect(changes(null, definition('New.')).map((change) => change.label)).toEqual([
      'Description',
      'Name',
      'Input schema',
    ]);
  });

  it('shows signs that cannot be seen', () => {
    expect(description(definition('Reads\u200b mail\u202e'))).toBe('Reads⟨U+200B⟩ mail⟨U+202E⟩');
  });

  it('shows a definition that was cut as it is', () => {
    const [change] = changes('{"name":"a","desc', '{"name":"b","desc');
    expect(change?.key).toBe('');
    expect(change?.pieces.some((piece) => piece.kind === 'added' && piece.text.includes('b'))).toBe(true);
  });
});
