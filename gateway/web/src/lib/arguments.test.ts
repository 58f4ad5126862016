import { describe, expect, it } from 'vitest';
import { rows } from './arguments';

const shown = (value: unknown) => rows(value).map(({ label, value }) => [label, value]);

describe('arguments as rows', () => {
  it('show what is nested under the way to it, and leave nothing out', () => {
    expect(shown({ sendTo: { name: 'Ida', tags: ['a', 'b'] }, items: [{ id: 1 }, { id: 2 }], none: [] })).toEqual([
      ['Send to › Name', 'Ida'],
      ['Send to › Tags', 'a\nb'],
      ['Items › 1 › Id', '1'],
      ['Items › 2 › Id', '2'],
      ['None', ''],
    ]);
  });

  it('show the exact names where two would read the same', () => {
    expect(shown({ to: 'me', To: 'you' })).toEqual([
      ['to', 'me'],
      ['To', 'you'],
    ]);
  });

  it('show signs that hide or turn others around, in names too', () => {
    expect(shown({ 'a\u202eb': 'c\u200bd' })).toEqual([['A⟨U+202E⟩b', 'c⟨U+200B⟩d']]);
  });

  it('take JSON that is whole, and nothing of what is not', () => {
    expect(shown('{"a":true}')).toEqual([['A', 'true']]);
    expect(shown('{"a":tr')).toEqual([]);
    expect(shown('[{"a":1}]')).toEqual([['1 › A', '1']]);
  });
});
