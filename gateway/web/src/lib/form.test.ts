import { describe, expect, it } from 'vitest';
import type { Field } from '../wire/frames';
import { beginning, filled, wrongWith } from './form';

const fields: Field[] = [
  { name: 'who', required: true, kind: 'text', minLength: 2, maxLength: 4 },
  { name: 'mail', required: false, kind: 'text', format: 'email' },
  { name: 'at', required: false, kind: 'text', format: 'date-time' },
  { name: 'pieces', required: true, kind: 'integer', minimum: 1, maximum: 9, default: 3 },
  { name: 'weight', required: false, kind: 'number', minimum: 0 },
  { name: 'gift', required: true, kind: 'boolean' },
  { name: 'size', required: true, kind: 'choice', multiple: false, options: [['s', 'Small']] },
  { name: 'extras', required: false, kind: 'choice', multiple: true, options: [['a', 'A']] },
];

const wrong = (name: string, value: unknown) => wrongWith(fields.find((field) => field.name === name) as Field, value);

describe('a form', () => {
  it('begins with what its server suggests', () => {
    const values = { who: '', mail: '', at: '', pieces: '3', weight: '', gift: false, size: '', extras: [] };
    expect(beginning(fields)).toEqual(values);
  });

  it('says what is wrong with an answer', () => {
    expect(wrong('who', '')).toBe('This is needed.');
    expect(wrong('size', '')).toBe('Choose one.');
    expect(wrong('who', 'a')).toBe('At least 2 characters.');
    expect(wrong('who', '🐈🐈🐈🐈')).toBeNull();
    expect(wrong('who', 'abcde')).toBe('At most 4 characters.');
    expect(wrong('mail', 'nobody')).toBe('This is no e-mail address.');
    expect(wrong('mail', '')).toBeNull();
    expect(wrong('pieces', '1.5')).toBe('A whole number is needed.');
    expect(wrong('pieces', '0')).toBe('1 or more.');
    expect(wrong('pieces', '10')).toBe('9 or less.');
    expect(wrong('weight', 'much')).toBe('A number is needed.');
    expect(wrong('gift', false)).toBeNull();
  });

  it('sends what was filled in, in the kinds that were asked for', () => {
    const values = { ...beginning(fields), who: 'Ida', at: '2026-11-26T10:00', size: 's' };
    const at = new Date('2026-11-26T10:00').toISOString();
    expect(filled(fields, values)).toEqual({ who: 'Ida', at, pieces: 3, gift: false, size: 's' });
  });
});
