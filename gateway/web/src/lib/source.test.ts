import { describe, expect, it } from 'vitest';
import { Deed, Source } from './source.svelte';

describe('Source', () => {
  it('keeps what was read when reading it again fails, and forgets the failure when it works', async () => {
    const answers: (string | Error)[] = ['first', new Error('away'), 'second'];
    const source = new Source(async () => {
      const next = answers.shift();
      if (next instanceof Error) throw next;
      return next;
    });
    await source.load();
    await source.load();
    expect([source.value, String(source.failure)]).toEqual(['first', 'Error: away']);
    await source.load();
    expect([source.value, source.failure]).toEqual(['second', null]);
  });

  it('takes the answer that was asked for last, whichever comes last', async () => {
    const open: ((value: string) => void)[] = [];
    const source = new Source(() => new Promise<string>((done) => open.push(done)));
    const [first, second] = [source.load(), source.load()];
    open[1]?.('new');
    await second;
    open[0]?.('old');
    await first;
    expect(source.value).toBe('new');
  });
});

describe('Deed', () => {
  it('does one thing at a time and tells why it failed', async () => {
    const deed = new Deed();
    let finish = () => {};
    const first = deed.run(() => new Promise<void>((done) => (finish = done)));
    expect([deed.busy, await deed.run(async () => {})]).toEqual([true, false]);
    finish();
    expect(await first).toBe(true);
    expect(await deed.run(() => Promise.reject(new Error('no')))).toBe(false);
    expect([deed.busy, String(deed.problem)]).toEqual([false, 'Error: no']);
  });
});
