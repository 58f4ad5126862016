import { describe, expect, it, vi } from 'vitest';

// The sanitizer needs a browser, and is judged in one; here is only what is cut.
vi.mock('dompurify', () => ({ default: { addHook: () => {}, sanitize: (html: string) => html } }));
const { blocks, decided } = await import('./markdown');

describe('a growing text', () => {
  it('shows no syntax that is not yet decided', () => {
    for (const [text, shown] of [
      ['all **', 'all '],
      ['all **bo', 'all **bo'],
      ['one\n\n##', 'one\n\n'],
      ['one\n\n| a | b', 'one\n'],
      ['one\n\n| a | b |\n| --', 'one\n'],
      ['one\n\n| a | b |\n| --- | --- |\n| 1 ', 'one\n\n| a | b |\n| --- | --- |\n| 1 '],
      ['one\n\n```', 'one\n\n'],
      ['see [', 'see '],
      ['3 - 2 ', '3 - 2 '],
    ] as const) {
      expect(decided(text)).toBe(shown);
    }
  });

  it('keeps the blocks that did not change', () => {
    const before = blocks('one\n\ntwo', [], true);
    const after = blocks('one\n\ntwo **three', before, true);
    expect(after[0]).toBe(before[0]);
    expect(after[1]?.html).toContain('<strong>three</strong>');
  });
});
