import { describe, expect, it, vi } from 'vitest';

// The sanitizer needs a browser, and is judged in one; here is only what is cut.
vi.mock('dompurify', () => ({ default: { addHook: () => {}, sanitize: (html: string) => html } }));
const { blocks, decided, whole } = await import('./markdown');
type Drawn = ReturnType<typeof blocks>;

const shown = (drawn: Drawn) => drawn.blocks.map(({ key, html, code }) => ({ key, html, code }));

const LETTER = `## Heading\r
one *two* **three** \`four\`

- a
- b

  with more
1. c

| x | y |
| - | - |
| 1 | **2** |

> quoted

\`\`\`rust
fn main() {}

// still
\`\`\`
Setext
======

    indented

***
`;

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
    const before = blocks('one\n\ntwo', undefined, true);
    const after = blocks('one\n\ntwo **three', before, true);
    expect(after.blocks[0]).toBe(before.blocks[0]);
    expect(after.blocks[1]?.html).toContain('<strong>three</strong>');
  });

  it('is the same read piece by piece as read at once, however it is cut', () => {
    const text = LETTER.repeat(3);
    for (const step of [1, 7, 40]) {
      let drawn = blocks('', undefined, true);
      for (let length = step; length < text.length; length += step) {
        drawn = blocks(text.slice(0, length), drawn, true);
        // The last ones are still guessed at.
        const settled = shown(drawn).slice(0, -2);
        expect(settled).toEqual(shown(blocks(text)).slice(0, settled.length));
      }
      expect(shown(blocks(text, drawn))).toEqual(shown(blocks(text)));
    }
  });

  it('reads again what a later line gives a meaning to', () => {
    const drawn = blocks('see [it]\n\nmore\n\nand more', undefined, true);
    const whole = blocks('see [it]\n\nmore\n\nand more\n\n[it]: https://example.org/', drawn);
    expect(whole.blocks[0]?.html).toContain('https://example.org/');
  });

  it('begins anew when another text stands in its place', () => {
    const drawn = blocks('one\n\ntwo\n\nthree\n\nfour', undefined, true);
    const other = blocks('1\n\n2\n\n3\n\n4\n\nand much more than before', drawn, true);
    expect(shown(other)).toEqual(shown(blocks('1\n\n2\n\n3\n\n4\n\nand much more than before', undefined, true)));
  });
});

describe('a finished text', () => {
  it('is the same read at once as block by block', () => {
    for (const text of [LETTER.repeat(3), 'see [it]\n\n[it]: https://example.org/', '', '\n\n', '```\na\n```\n\n\nb']) {
      const join = (drawn: Drawn) =>
        drawn.blocks.map(({ html, code }) => (code ? `\n${code.language}:${code.text}\n` : html)).join('');
      expect(join(whole(text))).toBe(join(blocks(text)));
    }
    const { blocks: read } = whole(LETTER);
    expect(read.map(({ code }) => code?.language ?? 'prose')).toEqual(['prose', 'rust', 'prose', '', 'prose']);
    // Where one ends the next begins, so that what comes behind it can be read on.
    expect(read.at(-1)?.end).toBe(whole(LETTER).text.length);
    for (const { raw, end } of read) expect(whole(LETTER).text.slice(0, end).endsWith(raw)).toBe(true);
  });

  it('goes on when more comes', () => {
    const drawn = blocks(`${LETTER}\n\nand more`, whole(LETTER), true);
    expect(drawn.blocks.at(-1)?.html).toContain('and more');
    expect(drawn.blocks.filter(({ raw }) => raw.includes('Heading'))).toHaveLength(1);
  });
});
