import { describe, expect, it } from 'vitest';
import { fileName } from './fileName';
import { written } from './headers';
import { matches } from './matching';
import { moved, partsOf } from './modelNames';

describe('finding a setting', () => {
  it('wants every word somewhere, without case and accents', () => {
    expect(matches('ANTHRO key', ['Anthropic', 'Your key ••••9f3c'])).toBe(true);
    expect(matches('zurich', ['Time zone', 'Europe/Zürich'])).toBe(true);
    expect(matches('anthropic server', ['Anthropic', 'Your key'])).toBe(false);
    expect(matches('', ['anything', null, undefined])).toBe(true);
  });
});

describe('the order of models', () => {
  it('moves one by a place and stops at the ends', () => {
    expect(moved(['a', 'b', 'c'], 2, -1)).toEqual(['a', 'c', 'b']);
    expect(moved(['a', 'b', 'c'], 0, 1)).toEqual(['b', 'a', 'c']);
    expect(moved(['a', 'b'], 0, -1)).toEqual(['a', 'b']);
    expect(moved(['a', 'b'], 1, 1)).toEqual(['a', 'b']);
  });

  it('knows a provider by what stands before the first slash', () => {
    expect(partsOf('openai/org/gpt')).toEqual({ provider: 'openai', name: 'org/gpt' });
    expect(partsOf('gpt')).toEqual({ provider: '', name: 'gpt' });
  });
});

describe('the name of an export', () => {
  it('is what the server says', () => {
    expect(fileName('attachment; filename="adjutant-owner.zip"')).toBe('adjutant-owner.zip');
    expect(fileName('attachment; filename=a.json; x=y')).toBe('a.json');
    expect(fileName(null)).toBe(null);
  });
});

describe('the headers of a server', () => {
  it('leave out rows without a name, and the service where it is the server\u2019s own', () => {
    const rows = [
      { service: '', header: ' X-Key ', scheme: '' },
      { service: 'other', header: 'Authorization', scheme: 'Bearer' },
      { service: 'lost', header: ' ', scheme: '' },
    ];
    expect(written(rows)).toEqual([
      { header: 'X-Key', scheme: '' },
      { service: 'other', header: 'Authorization', scheme: 'Bearer' },
    ]);
  });
});
