import { describe, expect, it } from 'vitest';
import { cleanName, halves, safeName } from './fileName';

describe('names of files', () => {
  it('lose what turns them around or hides in them', () => {
    expect(cleanName('gpj.\u202eexe\r\n\u0000')).toBe('gpj.exe');
    expect(cleanName(' \u200b ')).toBe('file');
    expect(cleanName('<img src=x>.png')).toBe('<img src=x>.png');
  });

  it('are shortened in the middle, so that the ending stays', () => {
    const name = cleanName(`${'a'.repeat(251)}.png`);
    expect([...name]).toHaveLength(200);
    expect(name.endsWith('aaaaaaaa.png')).toBe(true);
  });

  it('are cut between letters, not within them', () => {
    const [start, end] = halves(`${'x'.repeat(30)}👩‍🚀.png`);
    expect(start + end).toBe(`${'x'.repeat(30)}👩🚀.png`);
    expect(halves('notes.md')).toEqual(['', 'notes.md']);
    expect(halves(`${'🐈'.repeat(40)}.txt`)[1]).toBe('🐈🐈🐈🐈🐈🐈🐈🐈.txt');
  });

  it('are safe on a disk', () => {
    expect(safeName('../../<b>evil</b>:name?.html')).toBe('_.._<b>evil<_b>_name_.html'.replace(/[<>]/g, '_'));
    expect(safeName('.bashrc')).toBe('bashrc');
    expect(safeName('CON.txt')).toBe('_CON.txt');
    expect(safeName('trailing. ')).toBe('trailing');
    expect(safeName('...')).toBe('file');
  });
});
