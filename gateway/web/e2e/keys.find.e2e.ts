// By keyboard alone: the palette of the composer, the command box, and the keys of the page (UI.md 16 to 18).
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Rest } from './rest';
import { answered, broken, composer, fits, launch, picture, say, SIZES, visit, type Size } from './support';

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(async () => {
  await browser.close();
});

const sizes = Object.keys(SIZES) as Size[];
const CHAT = /\/chat\/[0-9a-f]{8}-[0-9a-f-]{27}$/;
const options = (page: Page) => page.getByRole('listbox', { name: 'Commands' }).getByRole('option');
const box = (page: Page) => page.getByRole('combobox', { name: 'Find anything' });
const clipboard = (page: Page) => page.evaluate(() => navigator.clipboard.readText());
const isFocused = (page: Page) => composer(page).evaluate((field) => field === document.activeElement);

/** What a screen reader is told to be chosen. */
async function active(page: Page, field: ReturnType<typeof composer>): Promise<string> {
  const id = await field.getAttribute('aria-activedescendant');
  return id ? ((await page.locator(`#${id}`).textContent()) ?? '') : '';
}

describe.each(sizes)('on a %s', (size) => {
  it('the palette filters, and arrows, Tab, Enter and Escape do what they do elsewhere', async () => {
    const rest = await Rest.person();
    const { context, page, faults } = await visit(browser, { size, key: rest.key });
    const id = await rest.ask('echo the palette is open');
    await page.goto(`/chat/${id}`);
    await answered(page, 'the palette is open');
    const field = composer(page);
    await field.fill('/');
    await expect.poll(() => options(page).count()).toBeGreaterThan(10);
    expect(await field.getAttribute('aria-controls')).toBe('orders');
    expect(await active(page, field)).toContain('/new');
    await page.keyboard.press('ArrowDown');
    expect(await active(page, field)).not.toContain('/new');
    await page.keyboard.press('ArrowUp');
    await page.keyboard.press('ArrowUp');
    // Around to the last one, which has come into view.
    expect(await active(page, field)).toContain('/keys');
    expect(await options(page).last().getAttribute('aria-selected')).toBe('true');
    const shown = await options(page)
      .last()
      .evaluate((it) => {
        const list = it.parentElement?.getBoundingClientRect();
        return list !== undefined && it.getBoundingClientRect().bottom <= list.bottom + 1;
      });
    expect(shown).toBe(true);
    await picture(page, `palette-${size}`);
    expect(await broken(page)).toEqual([]);
    expect(await fits(page)).toBe(true);
    await field.pressSequentially('pi');
    expect(await options(page).allTextContents()).toEqual([expect.stringContaining('/pin')]);
    // Escape puts it away and keeps what was typed.
    await page.keyboard.press('Escape');
    expect(await options(page).count()).toBe(0);
    expect(await field.inputValue()).toBe('/pi');
    expect(await field.getAttribute('aria-activedescendant')).toBeNull();
    await field.fill('');
    await field.pressSequentially('/th');
    await page.keyboard.press('Tab');
    await expect.poll(() => page.evaluate(() => document.documentElement.dataset['theme'])).toBe('dark');
    expect(await field.inputValue()).toBe('');
    expect(await isFocused(page)).toBe(true);
    // What is no command is said to be none, and is a message.
    await field.pressSequentially('/nonsense');
    await page.getByText('There is no command /nonsense. It is sent as a message.').waitFor();
    await field.fill('/tmp is full of files');
    expect(await options(page).count()).toBe(0);
    await page.locator('.composer button[type=submit]').click();
    await answered(page, 'I heard: /tmp is full of files');
    expect(faults).toEqual([]);
    await context.close();
  });
});

describe('every command', () => {
  it('does what it says, and is offered where it can be done', async () => {
    const rest = await Rest.person();
    const { context, page, faults } = await visit(browser, { key: rest.key });
    const id = await rest.ask('echo commands are all here');
    const run = async (text: string) => {
      await composer(page).fill('');
      await composer(page).pressSequentially(`/${text}`);
      await options(page).first().waitFor();
      await page.keyboard.press('Enter');
    };
    const offered = async () => {
      await composer(page).fill('/');
      const all = (await options(page).locator('b').allTextContents()).map((name) => name.slice(1));
      await composer(page).fill('');
      return all;
    };
    await page.goto('/chat/new');
    expect(await offered()).toEqual(['new', 'find', 'today', 'needs', 'settings', 'theme', 'keys']);
    await page.goto(`/chat/${id}`);
    await answered(page, 'commands are all here');
    expect(await offered()).not.toContain('stop');
    await run('rename A name by command');
    await page.getByRole('heading', { name: 'A name by command', level: 1 }).waitFor();
    await run('rename');
    await page.getByRole('textbox', { name: 'Title of “A name by command”' }).fill('Another name');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Another name', level: 1 }).waitFor();
    await run('pin');
    await page.getByRole('heading', { name: 'Pinned' }).waitFor();
    await run('pin');
    await page.getByRole('heading', { name: 'Pinned' }).waitFor({ state: 'detached' });
    const exported = page.waitForEvent('download');
    await run('export');
    expect((await exported).suggestedFilename()).toBe('Another name.md');
    const dumped = page.waitForEvent('download');
    await run('json');
    expect((await dumped).suggestedFilename()).toBe('Another name.json');
    await page.evaluate(() =>
      Object.assign(globalThis, {
        printed: 0,
        print: () => ((globalThis as never as { printed: number }).printed += 1),
      }),
    );
    await run('print');
    await expect.poll(() => page.evaluate(() => (globalThis as never as { printed: number }).printed)).toBe(1);
    await run('again');
    await page.getByText('2/2').waitFor();
    await run('find commands');
    await box(page).waitFor();
    expect(await box(page).inputValue()).toBe('commands');
    await page.keyboard.press('Escape');
    await run('keys');
    await page.getByRole('dialog', { name: 'Keyboard shortcuts' }).waitFor();
    await page.keyboard.press('Escape');
    await run('archive');
    await page.locator('.toasts p', { hasText: 'is in the archive.' }).waitFor();
    await run('archive');
    await page.locator('.toasts p', { hasText: 'among the chats again' }).waitFor();
    await say(page, 'hold on to this');
    await page.locator('.md', { hasText: 'Some words' }).waitFor();
    expect(await offered()).toEqual(expect.arrayContaining(['stop', 'steer']));
    await run('steer');
    expect(await page.getByRole('radio', { name: 'Now' }).isChecked()).toBe(true);
    await run('stop');
    await page.getByText('Stopped.').waitFor();
    await run('new');
    await page.waitForURL('**/chat/new');
    await run('needs');
    await page.waitForURL('**/needs-you');
    await page.goto('/chat/new');
    await run('settings');
    await page.waitForURL('**/settings');
    await page.goto('/chat/new');
    await run('today');
    await page.waitForURL((url) => url.pathname === '/');
    await page.goto(`/chat/${id}`);
    await answered(page, 'commands are all here');
    await run('delete');
    await page.locator('.toasts p', { hasText: '“Another name” is deleted.' }).waitFor();
    await page.waitForURL('**/chat');
    expect(faults).toEqual([]);
    await context.close();
  });
});

describe.each(sizes)('the command box on a %s', (size) => {
  it('finds chats, settings, commands and messages, by the keyboard alone', async () => {
    const rest = await Rest.person();
    const { context, page, faults } = await visit(browser, { size, key: rest.key });
    const [older = ''] = await rest.chats(['echo older walrus in here']);
    const [newer = ''] = await rest.chats(['echo newer matter at hand']);
    await page.goto('/');
    await page.locator('#main').waitFor();
    await page.keyboard.press('Control+k');
    await box(page).waitFor();
    const lines = page.getByRole('listbox', { name: 'Find anything' }).getByRole('option');
    await page.getByText('Recent chats').waitFor();
    expect(await lines.nth(0).textContent()).toContain('About echo newer matter');
    expect(await lines.nth(1).textContent()).toContain('About echo older walrus');
    expect(await active(page, box(page))).toContain('About echo newer matter');
    await picture(page, `box-${size}`);
    expect(await broken(page)).toEqual([]);
    expect(await fits(page)).toBe(true);
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await page.waitForURL(`**/chat/${older}`);
    await page.keyboard.press('Control+k');
    await page.keyboard.type('profile');
    await expect.poll(() => active(page, box(page))).toContain('Profile');
    await page.keyboard.press('Enter');
    await page.waitForURL('**/settings/profile');
    // What was typed last is there, and is written over.
    await page.keyboard.press('Control+k');
    expect(await box(page).inputValue()).toBe('');
    await page.keyboard.type('walrus');
    await expect.poll(() => lines.count()).toBe(4);
    await page.getByText('Messages', { exact: true }).waitFor();
    expect(await lines.locator('mark').allTextContents()).toEqual(['walrus', 'walrus']);
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await page.locator('article.is-found', { hasText: 'older walrus' }).waitFor();
    await page.keyboard.press('Control+k');
    await page.keyboard.type('walrus');
    await expect.poll(() => lines.count()).toBe(4);
    await page.keyboard.press('ArrowUp');
    expect(await active(page, box(page))).toContain('Search all messages for “walrus”');
    await page.keyboard.press('Enter');
    await page.waitForURL('**/chat/search?q=walrus');
    await page.keyboard.press('Control+k');
    await page.keyboard.type('xyzzy nothing');
    await page.getByText('No message holds these words.').waitFor();
    await page.route('**/api/search**', (route) => route.abort());
    await page.keyboard.type(' now');
    await page.getByText('The search did not work.').first().waitFor();
    // What needs no server is still found.
    await box(page).fill('theme');
    await page.getByText('The search did not work.').first().waitFor();
    await page.keyboard.press('Escape');
    await box(page).waitFor({ state: 'hidden' });
    await page.unroute('**/api/search**');
    await page.keyboard.press('Control+k');
    await box(page).fill('start a new');
    await page.keyboard.press('Enter');
    await page.waitForURL('**/chat/new');
    expect(newer).toMatch(/-/);
    expect(faults).toEqual([]);
    await context.close();
  });
});

describe('the keys of the page', () => {
  it('are on a sheet, and each does what the sheet says', async () => {
    const rest = await Rest.person();
    const { context, page, faults } = await visit(browser, { key: rest.key });
    await page.goto('/');
    await page.locator('#main').waitFor();
    await page.keyboard.press('Control+/');
    const sheet = page.getByRole('dialog', { name: 'Keyboard shortcuts' });
    await sheet.waitFor();
    expect((await sheet.locator('dt').allTextContents()).map((keys) => keys.replace(/\s+/g, ' ').trim())).toEqual([
      'Ctrl K',
      'Ctrl Shift O',
      'Shift Esc',
      'Ctrl Shift S',
      'Ctrl Shift C',
      'Ctrl Shift ;',
      'Ctrl Alt Enter',
      'Ctrl Alt ⌫',
      'Esc',
      'Ctrl /',
    ]);
    await picture(page, 'keys');
    expect(await broken(page)).toEqual([]);
    // Over it nothing else happens.
    await page.keyboard.press('Control+Shift+o');
    expect(new URL(page.url()).pathname).toBe('/');
    await page.keyboard.press('Control+/');
    await sheet.waitFor({ state: 'hidden' });
    await page.keyboard.press('Control+Shift+o');
    await page.waitForURL('**/chat/new');
    await expect.poll(() => isFocused(page)).toBe(true);
    await say(
      page,
      `play ${JSON.stringify([['One:\n\n```js\nlet a;\n```\n\nTwo:\n\n```py\nb = 2\n\nc = 3\n```\n\nThe **end** of it.\n']])}`,
    );
    await answered(page, 'of it.');
    await page.waitForURL(CHAT);
    // While something is written the keys mean the same, and what is written stays.
    await composer(page).fill('half a word');
    await page.keyboard.press('Control+Shift+c');
    await page.getByText('The last answer is copied.').waitFor();
    expect(await clipboard(page)).toContain('The **end** of it.');
    await page.keyboard.press('Control+Shift+Semicolon');
    await page.getByText('The last code block is copied.').waitFor();
    expect(await clipboard(page)).toBe('b = 2\n\nc = 3');
    expect(await composer(page).inputValue()).toBe('half a word');
    await page.keyboard.press('Control+Shift+s');
    await page.locator('.threads').waitFor({ state: 'hidden' });
    await page.reload();
    await composer(page).waitFor();
    expect(await page.locator('.threads').isVisible()).toBe(false);
    await page.getByRole('button', { name: 'Show the chat list' }).click();
    await page.locator('.threads').waitFor();
    await page.locator('.scroll').focus();
    await page.keyboard.press('Shift+Escape');
    await expect.poll(() => isFocused(page)).toBe(true);
    await composer(page).fill('');
    for (const [keys, said] of [
      ['Control+Alt+Enter', 'Done'],
      ['Control+Alt+Backspace', 'Denied'],
    ] as const) {
      await say(page, `effect by ${said}`);
      await page.getByRole('group', { name: /effect\?$/i }).waitFor();
      await page.keyboard.press(keys);
      await page.locator('details.tool summary', { hasText: said }).last().waitFor();
      await answered(page, `did effect by ${said}`);
    }
    await say(page, 'hold it right there');
    await page.locator('.md', { hasText: 'Some words' }).waitFor();
    await page.keyboard.press('Control+k');
    await page.keyboard.press('Escape');
    // Escape closed the box, and nothing behind it.
    await page.locator('.talk > header .st', { hasText: 'Writing' }).waitFor();
    await page.keyboard.press('Escape');
    await page.getByText('Stopped.').waitFor();
    await page.goto('/chat/new');
    await composer(page).waitFor();
    await page.keyboard.press('Control+Shift+c');
    await page.getByText('There is no answer to copy here.').waitFor();
    expect(faults).toEqual([]);
    await context.close();
  });
});
