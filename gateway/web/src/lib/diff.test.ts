import { describe, expect, it } from 'vitest';
import { wordDiff, type Piece } from './diff';

const shown = (pieces: Piece[]) =>
  pieces.map(({ kind, text }) => (kind === 'gone' ? `[-${text}-]` : kind === 'added' ? `{+${text}+}` : text)).join('');
const after = (pieces: Piece[]) =>
  pieces
    .filter((piece) => piece.kind !== 'gone')
    .map((piece) => piece.text)
    .join('');

describe('wordDiff', () => {
  it('marks the words that changed and leaves the others', () => {
    const pieces = wordDiff(
      'Holds one seat for 15 minutes.',
      'Holds one seat for 24 hours. Charges a deposit of $5 to the stored card.',
    );
    expect(shown(pieces)).toBe(
      'Holds one seat for [-15 minutes-]{+24 hours. Charges a deposit of $5 to the stored card+}.',
    );
  });

  it('says nothing about equal texts, and everything about new and empty ones', () => {
    expect(shown(wordDiff('as it was', 'as it was'))).toBe('as it was');
    expect(shown(wordDiff('', 'all new'))).toBe('{+all new+}');
    expect(shown(wordDiff('all gone', ''))).toBe('[-all gone-]');
    expect(wordDiff('', '')).toEqual([]);
  });

  it('holds the new text whole, whatever changed', () => {
    const texts = ['a b c d', 'b  c\nx', 'Reads mail.', 'Reads, then sends mail.', 'x', ' ', 'ä ö (ü)'];
    for (const one of texts) for (const other of texts) expect(after(wordDiff(one, other))).toBe(other);
  });

  it('shows a word that was slipped in between equal ones', () => {
    expect(shown(wordDiff('never sends', 'never asks and sends'))).toBe('never {+asks and +}sends');
  });

  it('takes very long texts as a whole instead of freezing the page', () => {
    const one = Array.from({ length: 6_000 }, (_, index) => `a${index}`).join(' ');
    const other = Array.from({ length: 6_000 }, (_, index) => `b${index}`).join(' ');
    expect(wordDiff(one, other).map((piece) => piece.kind)).toEqual(['gone', 'added']);
  });
});
