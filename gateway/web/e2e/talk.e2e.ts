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
/** What a tool said is foreign text: from then on, whatever has effects asks. */
const look = { call: 'effects__look', args: { key: 'around' } };

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
  if (size === 'phone') await message.locator('.b p').last().tap();
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
    // The newest messages are there first.
    await md(page, 'First words').waitFor();
    expect(await page.getByText('Stopped.', { exact: true }).count()).toBe(2);
    expect(await page.locator('.md').getByText('never said').count()).toBe(0);
    expect(await fits(page)).toBe(true);
    expect(faults).toEqual([]);
    await context.close();
  });

  it('an edited message keeps its files and its old branch, and Esc leaves it as it is', async () => {
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
    // Changed where it stands: the first one stays the first.
    await queued.filter({ hasText: 'one' }).getByRole('button', { name: 'Edit' }).click();
    expect(await composer(page).inputValue()).toBe('echo one');
    await composer(page).fill('echo one, better');
    await page.keyboard.press(sends);
    await expect.poll(texts).toEqual(['echo one, better', 'echo two']);
    expect(await composer(page).inputValue()).toBe('');
    await page.getByRole('radio', { name: 'Now' }).check();
    await composer(page).fill('echo joined');
    await act(page, 'Steer this answer').click();
    const joined = queued.filter({ hasText: 'joined' });
    await joined.getByText('Joins this answer at its next step').waitFor();
    // Taken back and given back, it still joins.
    await joined.getByRole('button', { name: 'Remove' }).click();
    await joined.waitFor({ state: 'detached' });
    await act(page, 'Undo').last().click();
    await joined.getByText('Joins this answer at its next step').waitFor();
    await control('release');
    await answered(page, 'echo two');
    expect(await queued.count()).toBe(0);
    const expected = ['Looking', 'echo joined', 'echo joined', 'echo one, better', 'echo one, better'];
    const whole = [expect.stringContaining('play'), ...expected, 'echo two', 'echo two'];
    expect(await order(page)).toEqual(whole);
    await page.reload();
    await answered(page, 'echo two');
    // What a window does not show at once comes a moment later.
    await expect.poll(() => order(page)).toEqual(whole);
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

  it('a tool that is denied with a reason tells the model why', async () => {
    const { context, page, faults } = await visit(browser, { size });
    await page.goto('/chat/new');
    await play(page, [look], ['I would. ', { call: 'effects__effect', args: { key: 'paint' } }], ['Then I will not.']);
    await act(page, 'Deny with a reason').click();
    const reason = page.getByRole('textbox', { name: 'What should the assistant know?' });
    expect(await reason.evaluate((field) => field === document.activeElement)).toBe(true);
    await page.keyboard.press('Escape');
    await reason.waitFor({ state: 'detached' });
    await act(page, 'Deny with a reason').click();
    await reason.fill('Only on Mondays.');
    await picture(page, `deny-${size}`);
    expect(await broken(page)).toEqual([]);
    await page.keyboard.press('Enter');
    await answered(page, 'Then I will not.');
    const card = page.locator('details.tool', { hasText: 'Denied' });
    await card.locator('summary').click();
    await card.getByText(/Only on Mondays\./).waitFor();
    expect(await told(await threadOf(page))).toContain('Only on Mondays.');
    expect(faults).toEqual([]);
    await context.close();
  });

  it('keys allow and deny what has waited longest, one at a time', async () => {
    const { context, page, faults } = await visit(browser, { size });
    await page.goto('/chat/new');
    const calls = ['one', 'two'].map((key) => ({ call: 'effects__effect', args: { key } }));
    await play(page, [look], calls, ['Both are decided.']);
    await slip(page).nth(1).waitFor();
    const first = slip(page).first().getByRole('button', { name: 'Allow once' });
    // Where there is no room for two, the first stroke brings what it is about onto the screen.
    if (await first.isDisabled()) {
      await page.keyboard.press('Control+Alt+Enter');
      await expect.poll(() => first.isEnabled()).toBe(true);
      expect(await slip(page).count()).toBe(2);
    }
    await page.keyboard.press('Control+Alt+Enter');
    await expect.poll(() => slip(page).count()).toBe(1);
    expect(await slip(page).textContent()).toContain('two');
    await page.keyboard.press('Control+Alt+Backspace');
    await answered(page, 'Both are decided.');
    const cards = page.locator('details.tool summary');
    expect(await cards.nth(1).textContent()).toMatch(/one.*Done/s);
    expect(await cards.nth(2).textContent()).toMatch(/two.*Denied/s);
    expect(faults).toEqual([]);
    await context.close();
  });

  it('what is allowed for good is asked twice, and not again', async () => {
    const { context, page, faults } = await visit(browser, { size });
    await page.goto('/chat/new');
    const policy = (method: 'PUT' | 'DELETE', data?: object) =>
      page.request.fetch('/api/policies/effects/effect', {
        method,
        headers: { Origin: URL_OF },
        ...(data && { data }),
      });
    expect((await policy('PUT', { policy: 'ask' })).ok()).toBe(true);
    await play(page, [{ call: 'effects__effect', args: { key: 'a' } }], ['It is done once.']);
    await act(page, 'Always for this agent').click();
    await page.getByText('From now on effect of Effects runs without asking you.').waitFor();
    await act(page, 'Back').click();
    await act(page, 'Always for this agent').click();
    await picture(page, `always-${size}`);
    expect(await broken(page)).toEqual([]);
    await act(page, 'Always allow').click();
    await answered(page, 'It is done once.');
    await play(page, [{ call: 'effects__effect', args: { key: 'b' } }], ['It is done twice.']);
    await answered(page, 'It is done twice.');
    expect(await page.locator('details.tool summary', { hasText: 'Done' }).count()).toBe(2);
    await page.request.delete('/api/consents/effects/effect', { headers: { Origin: URL_OF } });
    await play(page, [{ call: 'effects__effect', args: { key: 'c' } }], ['It is done thrice.']);
    await slip(page).getByRole('button', { name: 'Deny', exact: true }).click();
    await answered(page, 'It is done thrice.');
    expect((await policy('DELETE')).ok()).toBe(true);
    expect(faults).toEqual([]);
    await context.close();
  });

  it('an approval waits over a reload and a restart, and what another device decides shows here', async () => {
    const { context, page, faults } = await visit(browser, { size });
    const other = await visit(browser, { size });
    await page.goto('/chat/new');
    await play(page, [look], [{ call: 'effects__effect', args: { key: 'patient' } }], ['It was worth it.']);
    // Why it is asked, wherever it is asked.
    const why = (where: Page) => slip(where).getByText('This run has read text that you did not write.').waitFor();
    await why(page);
    await threadOf(page);
    await page.reload();
    await why(page);
    await control('stop');
    await page.getByText(/^Offline\./).waitFor();
    await control('start');
    await page.getByText(/^Offline\./).waitFor({ state: 'detached' });
    await other.page.goto('/needs-you');
    await why(other.page);
    await other.page.goto(page.url());
    await why(other.page);
    await slip(page).getByText('patient', { exact: true }).waitFor();
    await slip(other.page).getByRole('button', { name: 'Allow once' }).click();
    await answered(page, 'It was worth it.');
    expect(await slip(page).count()).toBe(0);
    const card = page.locator('details.tool', { hasText: 'patient' });
    await card.locator('summary').click();
    await card.getByText('You allowed it once.').waitFor();
    await answered(other.page, 'It was worth it.');
    expect(faults).toEqual([]);
    expect(other.faults).toEqual([]);
    await context.close();
    await other.context.close();
  });

  it('hostile and huge arguments are shown whole, as text, and are seen before they are allowed', async () => {
    const { context, page, faults } = await visit(browser, { size });
    await page.goto('/chat/new');
    const key = `<img src=x onerror=alert(1)> pay\u202egnp.exe ${'line\n'.repeat(300)}the very end`;
    const args = { key, To: 'me', to: '\u200byou', deep: [{ a: { b: [1, 2] } }] };
    await play(page, [look], [{ call: 'effects__effect', args }], ['That was a lot.']);
    await slip(page).waitFor();
    const allow = slip(page).getByRole('button', { name: 'Allow once' });
    expect(await allow.isDisabled()).toBe(true);
    expect(await slip(page).getByRole('button', { name: 'Deny', exact: true }).isEnabled()).toBe(true);
    await page.getByText('It is longer than the screen.').waitFor();
    await picture(page, `huge-${size}`);
    expect(await broken(page)).toEqual([]);
    // The keys do not get round it either.
    await page.keyboard.press('Control+Alt+Enter');
    await slip(page).locator('dt').first().waitFor();
    await expect.poll(() => allow.isEnabled()).toBe(true);
    const rows = await slip(page).locator('.args > div').allTextContents();
    expect(rows.join('|')).toContain('pay⟨U+202E⟩gnp.exe');
    expect(rows.join('|')).toContain('the very end');
    expect(rows.map((row) => row.trim().replace(/\s+/g, ' '))).toEqual(
      expect.arrayContaining(
        ['to ⟨U+200B⟩you', 'To me', 'deep › 1 › A › B 1 2'].map((row) => expect.stringContaining(row)),
      ),
    );
    expect(await slip(page).locator('img').count()).toBe(0);
    expect(await fits(page)).toBe(true);
    await allow.click();
    await answered(page, 'That was a lot.');
    expect(faults).toEqual([]);
    await context.close();
  });

  it('a question is a form: it says what is missing where it is missing, and its answer goes on with the run', async () => {
    const { context, page, faults } = await visit(browser, { size });
    await page.goto('/chat/new');
    const order = [{ call: 'shop__order', args: { item: 'tea' } }];
    await play(page, order, ['The tea is ordered.']);
    const form = page.getByRole('form', { name: 'A question from shop' });
    await form.getByRole('heading', { name: 'Details of tea?' }).waitFor();
    await form.getByRole('button', { name: 'Answer' }).click();
    expect(await form.getByText('This is needed.').count()).toBe(3);
    expect(await form.getByText('Choose one.').count()).toBe(1);
    const who = form.getByRole('textbox', { name: /^For whom\?/ });
    expect(await who.evaluate((field) => field === document.activeElement)).toBe(true);
    expect(await who.getAttribute('aria-invalid')).toBe('true');
    await picture(page, `form-${size}`);
    expect(await broken(page)).toEqual([]);
    await who.fill('Ida');
    await form.getByRole('radio', { name: 'l', exact: true }).check();
    await form.getByRole('checkbox', { name: 'Gift' }).check();
    await form.getByRole('textbox', { name: /^Pieces/ }).fill('12');
    await form.getByText('9 or less.').waitFor();
    await form.getByRole('textbox', { name: /^Pieces/ }).fill('2');
    await form.getByRole('textbox', { name: /^Weight/ }).fill('1.5');
    expect(await form.getByRole('textbox', { name: /^Weight/ }).getAttribute('aria-invalid')).toBe('false');
    await page.keyboard.press('Enter');
    await answered(page, 'The tea is ordered.');
    const thread = await threadOf(page);
    expect(await told(thread)).toContain('accept: 2 tea (l) for Ida');
    expect(await page.locator('details.tool summary .meta').last().textContent()).toMatch(/^Done, \d/);

    // By now this chat has read what a tool said: the order itself asks first.
    await play(page, order, ['No tea, then.']);
    await slip(page).getByRole('button', { name: 'Allow once' }).click();
    await form.getByRole('button', { name: 'Decline' }).click();
    await answered(page, 'No tea, then.');
    expect(await told(thread)).toContain('decline');

    // The same from the inbox, while the chat waits.
    await play(page, order, ['Tea after all.']);
    await slip(page).getByRole('button', { name: 'Allow once' }).click();
    await form.waitFor();
    await page.locator('.talk > header .st', { hasText: 'Waiting for you' }).waitFor({ state: 'attached' });
    const { items } = await rest<{ items: { id: string; threadId: string }[] }>('/api/questions?state=pending');
    const inbox = await context.newPage();
    await inbox.goto(`/needs-you/${items.find((item) => item.threadId === thread)?.id}`);
    await inbox.getByRole('heading', { name: 'Details of tea?' }).waitFor();
    const again = inbox.getByRole('form', { name: 'A question from shop' });
    await again.getByRole('textbox', { name: /^For whom\?/ }).fill('Jo');
    await again.getByRole('radio', { name: 's', exact: true }).check();
    await again.getByRole('textbox', { name: /^Pieces/ }).fill('1');
    await again.getByRole('textbox', { name: /^Weight/ }).fill('0');
    await picture(inbox, `form-inbox-${size}`);
    expect(await fits(inbox)).toBe(true);
    await again.getByRole('button', { name: 'Answer' }).click();
    await page.bringToFront();
    await answered(page, 'Tea after all.');
    expect(await told(thread)).toContain('accept: 1 tea (s) for Jo');
    expect(faults).toEqual([]);
    await context.close();
  });

  it('a call whose server of ours dies says that its outcome is unknown, and is not repeated', async () => {
    const { context, page, faults } = await visit(browser, { size });
    await page.goto('/chat/new');
    await play(page, [{ call: 'shop__order', args: { item: 'lost' } }], ['I do not know.']);
    await page.getByRole('form', { name: 'A question from shop' }).waitFor();
    await control('stop');
    await control('start');
    await answered(page, 'I do not know.');
    const card = page.locator('details.tool', { hasText: 'Outcome unknown' });
    await card.locator('summary').click();
    await card.getByText(/it may have happened or not\. I did not try again\./).waitFor();
    await picture(page, `unknown-${size}`);
    expect(await broken(page)).toEqual([]);
    expect(await page.getByRole('form', { name: 'A question from shop' }).count()).toBe(0);
    expect(faults).toEqual([]);
    await context.close();
  });

  /** As a browser without scroll anchoring. */
  const unanchored = () => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync('.scroll { overflow-anchor: none !important }');
    document.adoptedStyleSheets = [sheet];
    CSS.supports = () => false;
  };

  it.each(['', ', where the browser does not see to it'])(
    'who reads further up stays there while text comes, and is led back; who is at the end follows%s',
    async (where) => {
      const { context, page, faults } = await visit(browser, { size });
      await page.goto('/chat/new');
      const lines = (word: string) => Array.from({ length: 60 }, (_, line) => `${word} ${line}`).join('\n\n');
      await play(page, [`${lines('first')}\n\n`, hold, `${lines('second')}\n\n`, hold, 'The very end.']);
      await md(page, 'first 59').waitFor();
      const scroll = page.getByRole('region', { name: 'Conversation' });
      if (where) await page.evaluate(unanchored);
      const distance = () => scroll.evaluate((box) => Math.abs(Math.round(box.scrollTop)));
      expect(await distance()).toBe(0);
      await scroll.evaluate((box) => box.scrollBy(0, -600));
      await expect.poll(distance).toBeGreaterThan(500);
      expect(await act(page, 'New text below').count()).toBe(0);
      const mark = page.locator('.md p', { hasText: /^first 40$/ });
      const before = (await mark.boundingBox())?.y ?? 0;
      await control('release');
      await page.locator('.md p', { hasText: /^second 59$/ }).waitFor({ state: 'attached' });
      const below = act(page, 'New text below');
      await below.waitFor();
      expect(Math.abs(((await mark.boundingBox())?.y ?? 0) - before)).toBeLessThan(4);
      await picture(page, `below-${size}`);
      expect(await broken(page)).toEqual([]);
      await below.click();
      await expect.poll(distance).toBe(0);
      await below.waitFor({ state: 'detached' });
      await control('release');
      await answered(page, 'The very end.');
      expect(await distance()).toBe(0);
      expect(await md(page, 'The very end.').evaluate((box) => box.getBoundingClientRect().bottom < innerHeight)).toBe(
        true,
      );
      expect(faults).toEqual([]);
      await context.close();
    },
  );

  it('Enter sends with a keyboard, breaks the line on touch, and never sends what is being composed', async () => {
    const { context, page, faults } = await visit(browser, { size });
    await page.goto('/chat/new');
    const field = composer(page);
    await field.focus();
    const ime = await context.newCDPSession(page);
    await ime.send('Input.imeSetComposition', { text: 'にほん', selectionStart: 3, selectionEnd: 3 });
    expect(await field.inputValue()).toBe('にほん');
    // The Enter that takes over what was composed, as a browser tells it: within the composition, and just behind it.
    await field.evaluate((box) => {
      const enter = (isComposing: boolean) =>
        box.dispatchEvent(
          new KeyboardEvent('keydown', { key: 'Enter', keyCode: 229, isComposing, bubbles: true, cancelable: true }),
        );
      enter(true);
      box.dispatchEvent(new CompositionEvent('compositionend', { data: 'にほん', bubbles: true }));
      enter(false);
    });
    // Neither sent it, which would have emptied the field.
    expect(await field.inputValue()).toBe('にほん');
    await ime.send('Input.insertText', { text: '日本' });
    expect(await field.inputValue()).toBe('日本');
    expect(await page.locator('.log article').count()).toBe(0);
    await field.fill('echo one');
    await page.keyboard.press('Shift+Enter');
    await page.keyboard.type('two');
    expect(await field.inputValue()).toBe('echo one\ntwo');
    await page.keyboard.press('Enter');
    if (size === 'phone') {
      expect(await field.inputValue()).toBe('echo one\ntwo\n');
      expect(await page.locator('.log article').count()).toBe(0);
      await act(page, 'Send').click();
    }
    await answered(page, /echo one\s+two/);
    expect(await page.locator('.entry.mine').count()).toBe(1);
    expect(await field.inputValue()).toBe('');
    expect(faults).toEqual([]);
    await context.close();
  });

  it('a screen reader hears once that it writes, waits and is complete', async () => {
    const { context, page, faults } = await visit(browser, { size });
    await page.goto('/chat/new');
    await say(page, 'echo before');
    await answered(page, 'echo before');
    // A log is live by itself: then every word would be read as it comes.
    expect(await page.getByRole('log').getAttribute('aria-live')).toBe('off');
    await page.evaluate(() => {
      const heard: string[] = [];
      const status = document.querySelector('.talk > [role=status]');
      new MutationObserver(() => heard.push(status?.textContent ?? '')).observe(status as Node, {
        childList: true,
        subtree: true,
        characterData: true,
      });
      Object.assign(globalThis, { heard });
    });
    const heard = () => page.evaluate(() => (globalThis as unknown as { heard: string[] }).heard);
    await play(
      page,
      ['Some. ', { call: 'effects__look', args: { key: 'a' } }],
      ['More. ', { call: 'effects__effect', args: { key: 'b' } }],
      ['The last words.'],
    );
    await slip(page).getByRole('button', { name: 'Allow once' }).click();
    await answered(page, 'The last words.');
    await expect.poll(heard).toEqual(['Writing', 'Waiting for you', 'The answer is complete.']);
    // Opening a chat says nothing of answers that are long complete.
    await page.reload();
    await answered(page, 'The last words.');
    expect(await page.locator('.talk > [role=status]').textContent()).toBe('');
    expect(faults).toEqual([]);
    await context.close();
  });

  it('every action of a message is reached and used by keyboard alone, and is seen when it is', async () => {
    const { context, page, faults } = await visit(browser, { size });
    await page.goto('/chat/new');
    await say(page, 'echo old');
    await answered(page, 'echo old');
    await play(page, [{ think: 'Hm.' }, 'New. ', { call: 'effects__look', args: { key: 'a' } }], ['Last.']);
    await answered(page, 'Last.');
    await composer(page).focus();
    interface Stop {
      name: string;
      isSeen: boolean;
      hasRing: boolean;
    }
    const stops: Stop[] = [];
    const stop = () =>
      page.evaluate((): Stop => {
        const focused = document.activeElement as HTMLElement;
        const box = focused.getBoundingClientRect();
        let opacity = 1;
        for (let up: Element | null = focused; up; up = up.parentElement)
          opacity *= Number(getComputedStyle(up).opacity);
        return {
          name: focused.getAttribute('aria-label') ?? focused.textContent?.trim() ?? '',
          isSeen: opacity > 0.9 && box.height > 15 && box.top >= 0 && box.bottom <= innerHeight,
          hasRing: getComputedStyle(focused).boxShadow !== 'none',
        };
      });
    for (let step = 0; step < 40 && stops.at(-1)?.name !== 'Conversation'; step += 1) {
      await page.keyboard.press('Shift+Tab');
      // What fades in is seen when it has.
      await expect.poll(async () => (await stop()).isSeen).toBe(true);
      stops.push(await stop());
    }
    const names = stops.map((one) => one.name);
    for (const name of ['Copy', 'Edit', 'Fork from here', 'Try again', 'Try again with another model']) {
      expect(names.filter((other) => other === name).length, name).toBeGreaterThanOrEqual(2);
    }
    expect(names.some((name) => name.startsWith('Thought'))).toBe(true);
    expect(names.some((name) => name.startsWith('Effects'))).toBe(true);
    expect(stops.filter((one) => !one.hasRing)).toEqual([]);
    await page.locator('details.tool summary').focus();
    await page.keyboard.press('Enter');
    await page.locator('details.tool').getByText('did a').waitFor();
    await page.getByRole('button', { name: 'Copy' }).last().focus();
    await page.keyboard.press('Enter');
    await expect.poll(() => page.evaluate(() => navigator.clipboard.readText())).toBe('New. \n\nLast.');
    await page.getByRole('button', { name: 'Edit' }).first().focus();
    await page.keyboard.press('Enter');
    await expect.poll(() => composer(page).inputValue()).toBe('echo old');
    expect(await composer(page).evaluate((field) => field === document.activeElement)).toBe(true);
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Try again with another model' }).last().focus();
    await page.keyboard.press('Enter');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.getByRole('group', { name: 'Answer' }).last().getByText('2/2').waitFor();
    expect(faults).toEqual([]);
    await context.close();
  });

  it('a run that fails says what happened and what is kept, and is tried again', async () => {
    const { context, page, faults } = await visit(browser, { size });
    await page.goto('/chat/new');
    await say(page, 'fail');
    const alert = page.getByRole('alert').filter({ hasText: 'Failed.' });
    await alert.getByText('Your message is kept.').waitFor();
    expect(await alert.textContent()).toMatch(/The model provider refuses the request \(HTTP 400\)\./);
    await picture(page, `failed-${size}`);
    expect(await broken(page)).toEqual([]);
    const thread = await threadOf(page);
    const runs = async () =>
      (await rest<{ items: RunItem[] }>('/api/runs?limit=100')).items.filter((run) => run.threadId === thread).length;
    await alert.getByRole('button', { name: 'Try again' }).click();
    await expect.poll(runs).toBe(2);
    await alert.waitFor();
    await page.reload();
    await alert.waitFor();
    // Cut off within the text: that is kept, and says what it is.
    await play(page, ['Half of a', { cut: true }]);
    await md(page, 'Half of a').waitFor();
    await alert.getByText('What was written so far is kept.').waitFor();
    await page.getByText('Cut off.').waitFor();
    await say(page, 'echo on we go');
    await answered(page, 'echo on we go');
    expect(faults).toEqual([]);
    await context.close();
  });

  it('a run that crashed the server twice waits for a word: again, or no more', { timeout: 120_000 }, async () => {
    const { context, page, faults } = await visit(browser, { size });
    await page.goto('/chat/new');
    await play(page, ['Some words', hold, ' and the rest.']);
    await md(page, 'Some words').waitFor();
    const thread = await threadOf(page);
    const { items } = await rest<{ items: RunItem[] }>('/api/runs?limit=100');
    const id = items.find((run) => run.threadId === thread)?.id;
    const run = () => rest<{ state: string; crashes: number }>(`/api/runs/${id}`);
    for (const crashes of [1, 2]) {
      await control('stop');
      await control('start');
      await expect.poll(async () => (await run()).crashes, { timeout: 20_000 }).toBe(crashes);
    }
    await page.getByText('Stopped after two crashes.').waitFor();
    await page.getByText('nothing is repeated before you say so').waitFor();
    await picture(page, `quarantined-${size}`);
    expect(await broken(page)).toEqual([]);
    if (size === 'desktop') {
      await page.locator('.log').getByRole('button', { name: 'Try again' }).click();
      await md(page, 'Some words').waitFor();
      await control('release');
      await answered(page, 'Some words and the rest.');
    } else {
      await act(page, 'Give up').click();
      await page.getByText('Stopped after two crashes.').waitFor({ state: 'detached' });
      await expect.poll(async () => (await run()).state).toBe('discarded');
    }
    await say(page, 'echo after all');
    await answered(page, 'echo after all');
    expect(faults).toEqual([]);
    await context.close();
  });
});
