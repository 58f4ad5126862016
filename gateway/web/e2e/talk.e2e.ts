// The conversation itself: UI.md's 2, 4 to 12, 34, 35 and 38. `chat.e2e.ts` has the first of each; here is the rest.
import type { Browser, Locator, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  answered,
  broken,
  composer,
  control,
  fits,
  KEY,
  launch,
  picture,
  say,
  SIZES,
  URL_OF,
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

type Piece = string | { think: string } | { hold: true } | { call: string; args: object } | { cut: true };
/** What the model shall do, round by round. */
const play = (page: Page, ...rounds: Piece[][]) => say(page, `play ${JSON.stringify(rounds)}`);
const hold = { hold: true } as const;

const md = (page: Page, text: string) => page.locator('.md', { hasText: text }).last();
const mine = (page: Page, text: string) => page.locator('.entry.mine', { hasText: text }).last();
const slip = (page: Page) => page.getByRole('group', { name: /\?$/ });
const act = (page: Page, name: string) => page.getByRole('button', { name, exact: true });
const idle = (page: Page) => page.locator('.talk > header .st').waitFor({ state: 'detached' });

async function threadOf(page: Page): Promise<string> {
  await page.waitForURL(/\/chat\/[0-9a-f-]{36}$/);
  return page.url().split('/').at(-1) ?? '';
}

async function rest<T>(path: string): Promise<T> {
  const answer = await fetch(`${URL_OF}${path}`, { headers: { 'X-API-Key': KEY } });
  expect(answer.status, path).toBe(200);
  return (await answer.json()) as T;
}

interface RunItem {
  id: string;
  threadId: string;
  state: string;
  said: string | null;
}

/** All that the model was told in the newest run of a thread, as one text. */
async function told(thread: string): Promise<string> {
  const { items } = await rest<{ items: RunItem[] }>('/api/runs?limit=100');
  const run = items.find((item) => item.threadId === thread);
  return JSON.stringify(await rest(`/api/runs/${run?.id}/context`));
}

/** What the page shows of a conversation, in order: own messages and answers. */
const order = (page: Page) =>
  page
    .locator('.log article .b')
    .evaluateAll((all) =>
      all.map((one) =>
        [...one.querySelectorAll(':scope > :not(.vh)')].map((part) => part.textContent?.trim()).join(' '),
      ),
    );

/** Opens what can be done with a message: by tap or by pointer. */
async function actionsOf(message: Locator, size: Size) {
  if (size === 'phone') await message.locator('.b').tap();
  else await message.hover();
}

describe.each(sizes)('on a %s', (size) => {
  const sends = size === 'phone' ? 'Control+Enter' : 'Enter';

  it('Esc and the button stop an answer, what was said stays and is marked, and the next message works', async () => {
    const { context, page, faults } = await visit(browser, { size });
    await page.goto('/chat/new');
    await play(page, ['First words', hold, ' never said']);
    await md(page, 'First words').waitFor();
    await page.keyboard.press('Escape');
    await page.getByText('Stopped.', { exact: true }).waitFor();
    await idle(page);
    await play(page, ['Second words', hold, ' never said']);
    await md(page, 'Second words').waitFor();
    await act(page, 'Stop').click();
    await page.getByText('Stopped.', { exact: true }).nth(1).waitFor();
    await idle(page);
    expect(await page.locator('.md').allTextContents()).toEqual([
      expect.stringContaining('First words'),
      expect.stringContaining('Second words'),
    ]);
    // Stopped before a word was said: that is told, too, and can be tried again.
    await play(page, [hold, 'late']);
    await act(page, 'Stop').waitFor();
    await page.keyboard.press('Escape');
    await page.getByText('Stopped before anything was said.').waitFor();
    await say(page, 'echo after it');
    await answered(page, 'echo after it');
    await page.reload();
    await answered(page, 'echo after it');
    expect(await page.getByText('Stopped.', { exact: true }).count()).toBe(2);
    expect(await page.locator('.md').getByText('never said').count()).toBe(0);
    expect(await fits(page)).toBe(true);
    expect(faults).toEqual([]);
    await context.close();
  });

  it('an edited message keeps its files and its old branch, and Esc leaves it as it is', async () => {
    const { context, page, faults } = await visit(browser, { size });
    await page.goto('/chat/new');
    await page.locator('.composer input[type=file]').setInputFiles({
      name: 'note.txt',
      mimeType: 'text/plain',
      buffer: Buffer.from('The tea is in the blue tin.'),
    });
    await page.locator('.composer .file', { hasText: 'note.txt' }).waitFor();
    await say(page, 'echo first');
    await answered(page, 'echo first');
    await say(page, 'echo later');
    await answered(page, 'echo later');
    const thread = await threadOf(page);

    // A look into the edit, and out of it: what was being written is there again.
    await composer(page).fill('half a thought');
    await actionsOf(mine(page, 'echo later'), size);
    await mine(page, 'echo later').getByRole('button', { name: 'Edit' }).click();
    await page.getByText('You edit an earlier message. The old branch stays.').waitFor();
    expect(await composer(page).inputValue()).toBe('echo later');
    await page.keyboard.press('Escape');
    await page.getByText('You edit an earlier message.').waitFor({ state: 'detached' });
    await expect.poll(() => composer(page).inputValue()).toBe('half a thought');
    await composer(page).fill('');

    await actionsOf(mine(page, 'echo first'), size);
    await mine(page, 'echo first').getByRole('button', { name: 'Edit' }).click();
    await page.locator('.composer .file', { hasText: 'note.txt' }).waitFor();
    await composer(page).fill('echo second');
    expect(await act(page, 'Save and run').isEnabled()).toBe(true);
    await picture(page, `edit-${size}`);
    expect(await broken(page)).toEqual([]);
    await page.keyboard.press(sends);
    await answered(page, 'echo second');
    await mine(page, 'echo second').getByText('2/2').waitFor({ state: 'attached' });
    expect(await mine(page, 'echo second').locator('.file').textContent()).toContain('note.txt');
    expect(await told(thread)).toContain('The tea is in the blue tin.');
    expect(await page.getByText('echo later').count()).toBe(0);

    await actionsOf(mine(page, 'echo second'), size);
    await act(page, 'The version before').click();
    await mine(page, 'echo later').waitFor();
    expect(await order(page)).toEqual([
      expect.stringContaining('echo first'),
      expect.stringContaining('echo first'),
      'echo later',
      'echo later',
    ]);

    // A later message branches as well, and leaves the first one as it is.
    await actionsOf(mine(page, 'echo later'), size);
    await mine(page, 'echo later').getByRole('button', { name: 'Edit' }).click();
    await composer(page).fill('echo much later');
    await page.keyboard.press(sends);
    await answered(page, 'echo much later');
    await mine(page, 'echo much later').getByText('2/2').waitFor({ state: 'attached' });
    await mine(page, 'echo first').getByText('1/2').waitFor({ state: 'attached' });
    await page.reload();
    await mine(page, 'echo much later').getByText('2/2').waitFor({ state: 'attached' });
    expect(await page.getByText('echo second').count()).toBe(0);
    expect(await fits(page)).toBe(true);
    expect(faults).toEqual([]);
    await context.close();
  });

  it('an answer is tried again, also by another model, and each version says who wrote it', async () => {
    const { context, page, faults } = await visit(browser, { size });
    await page.goto('/chat/new');
    await play(page, ['Let me look. ', { call: 'effects__look', args: { key: 'a' } }], ['Here it is.']);
    await answered(page, 'Here it is.');
    const group = page.getByRole('group', { name: 'Answer' });
    // One answer in two messages has one row of actions.
    expect(await group.count()).toBe(1);
    await group.getByText('scripted').waitFor();
    await act(page, 'Try again').click();
    await group.getByText('2/2').waitFor();
    await act(page, 'Try again with another model').click();
    const menu = page.locator(':popover-open');
    await menu.getByText('Answered by scripted.').waitFor();
    await picture(page, `again-${size}`);
    expect(await broken(page)).toEqual([]);
    await menu.getByRole('button', { name: 'Try again with second' }).click();
    await group.getByText('3/3').waitFor();
    expect(await told(await threadOf(page))).toContain('"models":["openai/second"]');
    await act(page, 'The version before').click();
    await group.getByText('2/3').waitFor();
    await group.getByText('scripted').waitFor();
    expect(await page.locator('details.tool').count()).toBe(1);
    await page.reload();
    await group.getByText('2/3').waitFor();
    expect(await fits(page)).toBe(true);
    expect(faults).toEqual([]);
    await context.close();
  });

  it('a fork begins a new chat up to a message, says where it came from, and leaves the old one alone', async () => {
    const { context, page, faults } = await visit(browser, { size });
    await page.goto('/chat/new');
    await say(page, 'echo one');
    await answered(page, 'echo one');
    await say(page, 'echo two');
    await answered(page, 'echo two');
    const old = await threadOf(page);
    await page.getByRole('heading', { name: /^About/ }).waitFor();
    const first = page.getByRole('group', { name: 'Answer' }).first();
    await actionsOf(page.locator('article:not(.mine)').first(), size);
    await first.getByRole('button', { name: 'Fork from here' }).click();
    await page.waitForURL((url) => url.pathname.startsWith('/chat/') && !url.pathname.endsWith(old));
    await page.getByText('Forked from').waitFor();
    expect(await order(page)).toEqual(['echo one', 'echo one']);
    await say(page, 'echo three');
    await answered(page, 'echo three');
    await picture(page, `fork-${size}`);
    await page.reload();
    await answered(page, 'echo three');
    expect(await order(page)).toEqual(['echo one', 'echo one', 'echo three', 'echo three']);
    expect(await broken(page)).toEqual([]);
    await page.locator('.origin').getByRole('link').click();
    await page.waitForURL(`**/chat/${old}`);
    await answered(page, 'echo two');
    expect(await order(page)).toEqual(['echo one', 'echo one', 'echo two', 'echo two']);
    // From a message of one's own: up to it, and not answered again.
    await actionsOf(mine(page, 'echo two'), size);
    await mine(page, 'echo two').getByRole('button', { name: 'Fork from here' }).click();
    await page.waitForURL((url) => url.pathname.startsWith('/chat/') && !url.pathname.endsWith(old));
    await mine(page, 'echo two').waitFor();
    expect(await order(page)).toEqual(['echo one', 'echo one', 'echo two']);
    expect(faults).toEqual([]);
    await context.close();
  });

  it('what is said meanwhile waits or steers; until its turn it is changed and taken back; a reload keeps it', async () => {
    const { context, page, faults } = await visit(browser, { size });
    await page.goto('/chat/new');
    await play(page, ['Looking', hold, { call: 'effects__look', args: { key: 'a' } }], ['never, as it is steered']);
    await md(page, 'Looking').waitFor();
    const queued = page.getByRole('article', { name: 'Your message, queued' });
    const texts = () => queued.locator('.letter').allTextContents();
    for (const text of ['echo one', 'echo two', 'echo three']) {
      await say(page, text);
      await queued.filter({ hasText: text }).waitFor();
    }
    await picture(page, `queue-${size}`);
    expect(await broken(page)).toEqual([]);
    await queued.filter({ hasText: 'three' }).getByRole('button', { name: 'Remove' }).click();
    await expect.poll(texts).toEqual(['echo one', 'echo two']);
    await page.reload();
    await expect.poll(texts).toEqual(['echo one', 'echo two']);
    await queued.filter({ hasText: 'two' }).getByRole('button', { name: 'Edit' }).click();
    await expect.poll(texts).toEqual(['echo one']);
    expect(await composer(page).inputValue()).toBe('echo two');
    await composer(page).fill('echo two, better');
    await page.keyboard.press(sends);
    await expect.poll(texts).toEqual(['echo one', 'echo two, better']);
    await page.getByRole('radio', { name: 'Now' }).check();
    await composer(page).fill('echo joined');
    await act(page, 'Steer this answer').click();
    await queued.filter({ hasText: 'joined' }).waitFor();
    await control('release');
    await answered(page, 'echo two, better');
    expect(await queued.count()).toBe(0);
    const expected = ['Looking', 'echo joined', 'echo joined', 'echo one', 'echo one'];
    const whole = [expect.stringContaining('play'), ...expected, 'echo two, better', 'echo two, better'];
    expect(await order(page)).toEqual(whole);
    await page.reload();
    await answered(page, 'echo two, better');
    expect(await order(page)).toEqual(whole);
    // Taken back by mistake: the toast gives it back.
    await play(page, ['Again', hold]);
    await md(page, 'Again').waitFor();
    await say(page, 'echo four');
    await queued.getByRole('button', { name: 'Remove' }).click();
    await act(page, 'Undo').click();
    await queued.filter({ hasText: 'echo four' }).waitFor();
    await control('release');
    await answered(page, 'echo four');
    expect(await fits(page)).toBe(true);
    expect(faults).toEqual([]);
    await context.close();
  });

  it('a code block names its language, copies its exact text, wraps, and scrolls inside the page', async () => {
    const { context, page, faults } = await visit(browser, { size });
    await page.goto('/chat/new');
    const code = `def answer():\n\treturn "${'x'.repeat(300)}"  # <b> & 'quotes'\n\n\nprint(answer())`;
    await play(page, [`Here:\n\n\`\`\`python\n${code}\n\`\`\`\n\nAnd plain:\n\n\`\`\`\njust text\n\`\`\`\n\nThe end.`]);
    await answered(page, 'The end.');
    const [python, plain] = [page.locator('figure.code').first(), page.locator('figure.code').last()];
    expect(await python.locator('figcaption').textContent()).toContain('python');
    expect(await plain.locator('figcaption').textContent()).toContain('Text');
    await python.locator('.hljs-keyword').first().waitFor();
    await python.getByRole('button', { name: 'Copy' }).click();
    await python.getByRole('button', { name: 'Copied' }).waitFor();
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(code);
    const pre = python.locator('pre');
    const scrolls = () => pre.evaluate((block) => block.scrollWidth > block.clientWidth + 1);
    expect(await scrolls()).toBe(true);
    expect(await fits(page)).toBe(true);
    await picture(page, `code-${size}`);
    await python.getByRole('button', { name: 'Wrap' }).click();
    await expect.poll(scrolls).toBe(false);
    expect(await python.getByRole('button', { name: 'Wrap' }).getAttribute('aria-pressed')).toBe('true');
    expect(await fits(page)).toBe(true);
    // The whole answer is copied as it was written.
    await act(page, 'Copy').last().click();
    await expect.poll(() => page.evaluate(() => navigator.clipboard.readText())).toContain('```python');
    expect(await broken(page)).toEqual([]);
    expect(faults).toEqual([]);
    await context.close();
  });

  it('tool cards say their state in words, and keep what went in and came out one fold away', async () => {
    const { context, page, faults } = await visit(browser, { size });
    await page.goto('/chat/new');
    const long = 'word '.repeat(4_000);
    await play(
      page,
      [
        'Looking. ',
        { call: 'effects__look', args: { key: 'alpha' } },
        { call: 'effects__look', args: { key: long } },
        { call: 'effects__nothing', args: { to: { name: 'Ida' } } },
      ],
      [{ call: 'effects__effect', args: { key: 'beta' } }],
      ['Done with it. ', { call: 'shop__pack', args: { item: 'tea' } }],
    );
    await slip(page).getByRole('button', { name: 'Deny', exact: true }).click();
    const cards = page.locator('details.tool');
    // How far it is, while it runs: by the tool's own words, a share, and the seconds.
    await cards.nth(4).locator('summary', { hasText: 'packing tea' }).waitFor();
    await cards
      .nth(4)
      .locator('summary', { hasText: /Running, 25 %, \d+/ })
      .waitFor();
    await picture(page, `cards-running-${size}`);
    await act(page, 'Stop').click();
    await idle(page);
    const words = await cards.locator('summary .meta').allTextContents();
    expect(words.slice(0, 4)).toEqual([
      expect.stringMatching(/^Done/),
      expect.stringMatching(/^Done/),
      expect.stringMatching(/^Failed/),
      'Denied',
    ]);
    for (let index = 0; index < 5; index += 1) {
      expect(await cards.nth(index).evaluate((card: HTMLDetailsElement) => card.open)).toBe(false);
    }
    expect(await page.locator('.log details.tool').first().innerText()).not.toContain('{');
    await cards.nth(0).locator('summary').click();
    await cards.nth(0).getByText('did alpha').waitFor();
    await cards.nth(2).locator('summary').click();
    await cards.nth(2).getByText('It did not work.').waitFor();
    expect(await cards.nth(2).locator('dt').first().textContent()).toBe('To › Name');
    await cards.nth(3).locator('summary').click();
    await cards.nth(3).getByText('You denied it.').waitFor();
    await cards.nth(1).locator('summary').click();
    const out = cards.nth(1).locator('pre.io');
    expect((await out.textContent())?.length).toBeGreaterThan(19_000);
    expect(await out.evaluate((block) => block.clientHeight)).toBeLessThan(400);
    expect(await fits(page)).toBe(true);
    await picture(page, `cards-${size}`);
    expect(await broken(page)).toEqual([]);
    expect(faults).toEqual([]);
    await context.close();
  });

  it('thoughts are folded with their seconds, and stay as somebody left them', async () => {
    const { context, page, faults } = await visit(browser, { size });
    await page.goto('/chat/new');
    await play(page, [{ think: 'Tea is better than coffee.' }, hold, 'Tea it is.']);
    const think = page.locator('details.think');
    await think.locator('summary', { hasText: /Thinking, \d+ s/ }).waitFor();
    expect(await think.evaluate((one: HTMLDetailsElement) => one.open)).toBe(false);
    await control('release');
    await answered(page, 'Tea it is.');
    await think.locator('summary', { hasText: /Thought for \d+ s/ }).waitFor();
    expect(await think.getByText('Tea is better than coffee.').isVisible()).toBe(false);
    await think.locator('summary').click();
    await think.getByText('Tea is better than coffee.').waitFor();
    await play(page, [{ think: 'Or cocoa.' }, 'Cocoa it is.']);
    await answered(page, 'Cocoa it is.');
    await think.last().getByText('Or cocoa.').waitFor();
    await picture(page, `thinking-${size}`);
    expect(await broken(page)).toEqual([]);
    await page.reload();
    await think.last().getByText('Or cocoa.').waitFor();
    await think.last().locator('summary').click();
    await think.last().getByText('Or cocoa.').waitFor({ state: 'hidden' });
    await play(page, [{ think: 'Or water.' }, 'Water it is.']);
    await answered(page, 'Water it is.');
    expect(await think.last().evaluate((one: HTMLDetailsElement) => one.open)).toBe(false);
    expect(faults).toEqual([]);
    await context.close();
  });
});
