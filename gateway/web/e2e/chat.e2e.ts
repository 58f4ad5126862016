// Talking: what UI.md lists as 1 to 11, 16 to 18, 20 to 23 and 33 to 36.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Rest } from './rest';
import {
  answered,
  broken,
  composer,
  control,
  crowded,
  fits,
  launch,
  picture,
  say,
  SIZES,
  visit,
  type Size,
} from './support';

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(async () => {
  await browser.close();
});

const sizes = Object.keys(SIZES) as Size[];

/** Watches every state of the first answer: how many there were, and the texts of those in which syntax was to be seen. */
async function watchSyntax(page: Page): Promise<() => Promise<{ raw: string[]; states: number }>> {
  await page.evaluate(() => {
    const raw: string[] = [];
    const all = new Set<string>();
    const inline = /\*\*|~~|`|\]\(|!?\[|\|\s*-{3}/;
    const atStart = /^\s*(?:[-+*>#|]+|\d+[.)])(?:\s|$)/m;
    new MutationObserver(() => {
      const md = document.querySelector('.md');
      if (!md) return;
      all.add(md.innerHTML);
      const walk = document.createTreeWalker(md, NodeFilter.SHOW_TEXT);
      for (let text = walk.nextNode(); text; text = walk.nextNode()) {
        const shown = text.nodeValue ?? '';
        const isCode = text.parentElement?.closest('pre, code');
        if (isCode ? shown.includes('`') : inline.test(shown) || atStart.test(shown)) raw.push(shown);
      }
    }).observe(document.body, { childList: true, subtree: true, characterData: true });
    Object.assign(globalThis, { watched: () => ({ raw, states: all.size }) });
  });
  type Watched = { watched: () => { raw: string[]; states: number } };
  return () => page.evaluate(() => (globalThis as unknown as Watched).watched());
}

/** Milliseconds from that event until so many answers are seen to be stopped, by the page's own clock. */
async function watchStop(page: Page, means: string, count: number): Promise<() => Promise<number>> {
  await page.evaluate(
    ([means, count]) => {
      const stopped = new Promise<number>((resolve) => {
        addEventListener(means, ({ timeStamp: begun }) => Object.assign(globalThis, { begun }), {
          capture: true,
          once: true,
        });
        const watch = new MutationObserver(() => {
          if ((document.querySelector('.log')?.textContent.split('Stopped.').length ?? 0) <= count) return;
          watch.disconnect();
          requestAnimationFrame((now) => resolve(now - (globalThis as unknown as { begun: number }).begun));
        });
        watch.observe(document.body, { childList: true, subtree: true, characterData: true });
      });
      Object.assign(globalThis, { stopped });
    },
    [means, count] as const,
  );
  return () => page.evaluate(() => (globalThis as unknown as { stopped: Promise<number> }).stopped);
}

describe.each(sizes)('on a %s', (size) => {
  it('an answer streams as Markdown that never shows its syntax', async () => {
    const { context, page, faults } = await visit(browser, { size });
    await page.goto('/chat/new');
    const watched = await watchSyntax(page);
    await say(page, 'markdown');
    await answered(page, 'The end of it.');
    expect((await watched()).raw).toEqual([]);
    const md = page.locator('.md').last();
    expect(await md.locator('h2').count()).toBe(1);
    expect(await md.locator('strong').first().textContent()).toBe('bold');
    expect(await md.locator('table tr').count()).toBe(3);
    expect(await md.locator('pre code').textContent()).toContain('fn main()');
    expect(await fits(page)).toBe(true);
    await picture(page, `chat-${size}`);
    expect(await broken(page)).toEqual([]);
    expect(faults).toEqual([]);
    await context.close();
  });

  it('an answer that is cut anywhere shows no syntax either', async () => {
    const { context, page, faults } = await visit(browser, { size });
    await page.goto('/chat/new');
    const watched = await watchSyntax(page);
    // What can be seen before each cut comes in one piece with what must not be seen.
    const cuts = [
      ['[a](htt', 'See a'],
      ['b `c', 'b c'],
      ['d ~~e', 'd e'],
      ['f **g', 'f g'],
      ['h *i', 'h i'],
      ['j.\n\n- ', 'j.'],
      ['k\n- ', 'k'],
      ['l\n\n> ', 'l'],
      ['m\n\n#', 'm'],
      ['n\n\n1. ', 'n'],
      ['o\n\n```', 'o'],
      ['js\np;\n`', 'p;'],
    ] as const;
    const goOn = ['ps://example.org/) ', '` ', '~~ ', '** ', '* ', '', '', '', '# ', '', '', '``\n\nThe end of it.'];
    const pieces = cuts.flatMap(([piece], at) => [piece, { hold: true }, ...(goOn[at] ? [goOn[at]] : [])]);
    await say(page, `play ${JSON.stringify([['See ', ...pieces]])}`);
    for (const [, shown] of cuts) {
      await page.locator('.md', { hasText: shown }).waitFor();
      await control('release');
    }
    await answered(page, 'The end of it.');
    const { raw, states } = await watched();
    expect(raw).toEqual([]);
    expect(states).toBeGreaterThanOrEqual(cuts.length);
    const md = page.locator('.md').last();
    for (const tag of ['a[href]', 'p code', 'del', 'strong', 'em', 'blockquote', 'h2', 'ol', 'pre'])
      expect(await md.locator(tag).count(), tag).toBe(1);
    expect(await md.locator('ul > li').count()).toBe(2);
    expect(faults).toEqual([]);
    await context.close();
  });

  it('stop keeps what was said, and the next message works', async () => {
    const { context, page, faults } = await visit(browser, { size });
    await page.goto('/chat/new');
    for (const [at, means] of ['click', 'keydown'].entries()) {
      await say(page, 'hold after some words');
      await page.locator('.md', { hasText: 'Some words' }).nth(at).waitFor();
      const took = await watchStop(page, means, at + 1);
      if (means === 'click') await page.getByRole('button', { name: 'Stop' }).click();
      else await page.keyboard.press('Escape');
      await page.getByText('Stopped.').nth(at).waitFor();
      expect(await page.locator('.md').last().textContent()).toContain('Some words');
      // A second is the goal. No journey is judged by the clock.
      console.log(`FIGURES stopped by ${means} on a ${size}: seen after ${await took()} ms`);
    }
    await say(page, 'echo again');
    await answered(page, 'echo again');
    expect(faults).toEqual([]);
    await context.close();
  });

  it('an answer goes on after a reload, and in a second tab, without loss or doubling', async () => {
    const { context, page, faults } = await visit(browser, { size });
    await page.goto('/chat/new');
    await say(page, 'hold after some words');
    await page.locator('.md', { hasText: 'Some words' }).waitFor();
    await page.waitForURL(/\/chat\/[0-9a-f-]{36}$/);
    await page.reload();
    await page.locator('.md', { hasText: 'Some words' }).waitFor();
    const second = await context.newPage();
    await second.goto(page.url());
    await second.locator('.md', { hasText: 'Some words' }).waitFor();
    await control('release');
    for (const tab of [page, second]) {
      await answered(tab, 'Some words and the rest.');
      expect(await tab.locator('.md').count()).toBe(1);
      expect((await tab.locator('.md').textContent())?.match(/Some words/g)).toHaveLength(1);
    }
    expect(faults).toEqual([]);
    await context.close();
  });

  it('an edited message stands beside the old one, and both can be shown', async () => {
    const { context, page, faults } = await visit(browser, { size });
    await page.goto('/chat/new');
    await say(page, 'echo first');
    await answered(page, 'echo first');
    const mine = page.locator('.entry.mine').first();
    await mine.click();
    await mine.getByRole('button', { name: 'Edit' }).click();
    await composer(page).fill('echo second');
    await page.keyboard.press(size === 'phone' ? 'Control+Enter' : 'Enter');
    await answered(page, 'echo second');
    await page.locator('.entry.mine', { hasText: '2/2' }).waitFor();
    await page.locator('.entry.mine').first().click();
    await page.getByRole('button', { name: 'The version before' }).click();
    await page.locator('.entry.mine', { hasText: 'echo first' }).waitFor();
    await page.locator('.entry.mine', { hasText: '1/2' }).waitFor();
    expect(faults).toEqual([]);
    await context.close();
  });

  it('an edited message is saved beside the old one with its files, and answered when that is wanted', async () => {
    const { context, page, faults } = await visit(browser, { size });
    await page.goto('/chat/new');
    await page.locator('.composer input[type=file][multiple]').setInputFiles({
      name: 'note.txt',
      mimeType: 'text/plain',
      buffer: Buffer.from('The tea is in the blue tin.'),
    });
    await page.locator('.composer .file', { hasText: 'note.txt' }).waitFor();
    await say(page, 'echo first');
    await answered(page, 'echo first');
    await page.waitForURL(/\/chat\/[0-9a-f-]{36}$/);
    const other = await visit(browser);
    await other.page.goto(page.url());
    await answered(other.page, 'echo first');
    const mine = page.locator('.entry.mine').first();
    await mine.click();
    await mine.getByRole('button', { name: 'Edit' }).click();
    await composer(page).fill('echo second');
    await picture(page, `save-${size}`);
    expect(await broken(page)).toEqual([]);
    expect(await crowded(page, '.composer')).toEqual([]);
    await page.getByRole('button', { name: 'Save', exact: true }).click();
    await page.getByRole('button', { name: 'Answer this' }).waitFor();
    await page.locator('.entry.mine', { hasText: 'echo second' }).locator('.file', { hasText: 'note.txt' }).waitFor();
    await page.locator('.entry.mine', { hasText: '2/2' }).waitFor({ state: 'attached' });
    expect(await page.locator('.log .md').count()).toBe(0);
    // Another device shows the same, and a reload does.
    await other.page.getByRole('button', { name: 'Answer this' }).waitFor();
    await other.page.locator('.entry.mine', { hasText: '2/2' }).waitFor({ state: 'attached' });
    await page.reload();
    await page.getByRole('button', { name: 'Answer this' }).waitFor();
    expect(await composer(page).inputValue()).toBe('');
    await picture(page, `saved-${size}`);
    expect(await broken(page)).toEqual([]);
    expect(await fits(page)).toBe(true);
    await page.getByRole('button', { name: 'Answer this' }).click();
    await answered(page, 'echo second');
    await answered(other.page, 'echo second');
    expect(await page.getByRole('button', { name: 'Answer this' }).count()).toBe(0);
    expect([...faults, ...other.faults]).toEqual([]);
    await context.close();
    await other.context.close();
  });

  it('a tool that asks is allowed, and its card says what it did', async () => {
    const { context, page, faults } = await visit(browser, { size });
    await page.goto('/chat/new');
    await say(page, 'effect one');
    const slip = page.getByRole('group', { name: /effect\?$/i });
    await slip.waitFor();
    expect(await slip.textContent()).toContain('one');
    await picture(page, `approval-${size}`);
    expect(await broken(page)).toEqual([]);
    await slip.getByRole('button', { name: 'Allow once' }).click();
    await answered(page, 'did effect one');
    await page.locator('details.tool summary', { hasText: 'Done' }).nth(1).waitFor();
    expect(faults).toEqual([]);
    await context.close();
  });
});

it('a tool that says how far it is goes on to its end, and its card says so', async () => {
  const { context, page, faults } = await visit(browser);
  await page.goto('/chat/new');
  await say(page, `play ${JSON.stringify([[{ call: 'shop__pack', args: { item: 'tea' } }], ['All is packed.']])}`);
  const summary = page.locator('details.tool summary');
  await summary.filter({ hasText: /packing tea.*Running, 25 %/s }).waitFor();
  await control('go');
  await answered(page, 'All is packed.');
  await summary.filter({ hasText: 'Done' }).click();
  await page.locator('details.tool').getByText('packed tea').waitFor();
  expect(faults).toEqual([]);
  await context.close();
});

describe('an impatient hand', () => {
  it('that presses twice has one answer more, and one fork', async () => {
    const rest = await Rest.person();
    const { context, page, faults } = await visit(browser, { key: rest.key });
    const forks: string[] = [];
    page.on('request', (request) => request.url().endsWith('/fork') && forks.push(request.url()));
    await page.goto('/chat/new');
    await say(page, 'fail');
    const alert = page.getByRole('alert').filter({ hasText: 'Failed.' });
    const again = page.locator('.log').getByRole('button', { name: 'Try again', exact: true });
    await alert.waitFor();
    await again.dblclick();
    await page.waitForURL(/\/chat\/[0-9a-f-]{36}$/);
    // Behind all that was asked for: a thread answers one message after the other.
    await say(page, 'echo one');
    await answered(page, 'echo one');
    type Runs = { items: { threadId: string }[] };
    const runs = async () => (await rest.read<Runs>('/api/runs?limit=100')).items.length;
    expect(await runs()).toBe(3);
    await again.last().dblclick();
    await page.getByRole('group', { name: 'Answer' }).getByText('2/2').waitFor();
    await say(page, 'echo two');
    await answered(page, 'echo two');
    expect(await runs()).toBe(5);
    await page.getByRole('button', { name: 'Fork from here' }).last().dblclick();
    await page.getByText('Forked from').waitFor();
    expect(forks).toHaveLength(1);
    expect(faults).toEqual([]);
    await context.close();
  });

  it('that leaves the selection of chats by Esc stops no answer', async () => {
    const { context, page, faults } = await visit(browser);
    await page.goto('/chat/new');
    await say(page, 'hold after some words');
    await page.locator('.md', { hasText: 'Some words' }).waitFor();
    await page.getByRole('button', { name: 'Menu of the list' }).click();
    await page.getByRole('button', { name: 'Select chats' }).click();
    await page.getByRole('checkbox').first().check();
    await page.keyboard.press('Escape');
    await page.getByRole('checkbox').first().waitFor({ state: 'detached' });
    await control('release');
    await answered(page, 'Some words and the rest.');
    expect(await page.getByText('Stopped.').count()).toBe(0);
    expect(faults).toEqual([]);
    await context.close();
  });
});

it('what cannot be copied is said to be not', async () => {
  const { context, page, faults } = await visit(browser);
  await page.goto('/chat/new');
  await say(page, `play ${JSON.stringify([['Here:\n\n```js\nlet a;\n```\n\nThe end.']])}`);
  await answered(page, 'The end.');
  const said = page.getByText('This browser did not let it be copied.');
  // As over plain HTTP, where there is no clipboard.
  await page.evaluate(() => Object.defineProperty(navigator, 'clipboard', { value: undefined, configurable: true }));
  await page.locator('figure.code').getByRole('button', { name: 'Copy' }).click();
  await said.waitFor();
  await page.evaluate(() => {
    const writeText = () => Promise.reject(new DOMException('not now', 'NotAllowedError'));
    Object.defineProperty(navigator, 'clipboard', { value: { writeText } });
  });
  await page.getByRole('group', { name: 'Answer' }).getByRole('button', { name: 'Copy' }).click();
  await said.nth(1).waitFor();
  expect(await page.getByText('Copied', { exact: true }).count()).toBe(0);
  expect(faults).toEqual([]);
  await context.close();
});
