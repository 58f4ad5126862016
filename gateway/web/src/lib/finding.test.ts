import { describe, expect, it } from 'vitest';
import { codeBlocks, fenced } from './fences';
import { plainName } from './fileName';
import { wordsOf } from './matching';

describe('names of files', () => {
  it('are plain, whatever the title is', () => {
    expect(plainName('Hamburg in January', 'chat')).toBe('Hamburg in January');
    expect(plainName('../../etc/passwd', 'chat')).toBe('etc passwd');
    expect(plainName('a<b>:"c"|d?*\u202Egpj.exe\n', 'chat')).toBe('a b c d gpj exe');
    expect(plainName('Grüße, 日本', 'chat')).toBe('Grüße 日本');
    expect(plainName('CON', 'chat')).toBe('chat');
    expect(plainName('-..--', 'chat')).toBe('chat');
    expect(new TextEncoder().encode(plainName('𠀀'.repeat(200), 'chat')).length).toBeLessThanOrEqual(240);
  });
});

describe('blocks of code', () => {
  it('are found as they are fenced', () => {
    expect(codeBlocks('a\n\n```rust\nfn x() {}\n```\n\nb\n~~~\none\n\ntwo\n~~~\n')).toEqual([
      'fn x() {}',
      'one\n\ntwo',
    ]);
    expect(codeBlocks('````md\n```\nin\n```\n````')).toEqual(['```\nin\n```']);
    expect(codeBlocks('```\ncut')).toEqual(['cut']);
    expect(codeBlocks('no ``` code')).toEqual([]);
  });

  it('are fenced by more than they hold', () => {
    expect(fenced('x', 'json')).toBe('```json\nx\n```');
    expect(fenced('```\nx\n```\n')).toBe('````\n```\nx\n```\n````');
  });
});

describe('words of a search', () => {
  it('are those that can be marked', () => {
    expect(wordsOf('Zürich "night train" or bus -plane')).toEqual(['zurich', 'night', 'train', 'bus']);
    expect(wordsOf(' ')).toEqual([]);
  });
});
