// By keyboard alone: the palette of the composer, the command box, and the keys of the page (UI.md 16 to 18).
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Rest } from './rest';
import { answered, broken, composer, crowded, fits, launch, picture, say, SIZES, visit, type Size } from './support';

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
const sheet = (page: Page) => page.getByRole('dialog', { name: 'Keyboard shortcuts' });
/** The button with the keys of a row, and what the row says of them. */
const keysOf = (page: Page, what: string) => sheet(page).getByRole('button', { name: new RegExp(`^${what}.*:`) });
const shown = (page: Page) =>
  sheet(page)
    .locator('.keys')
    .evaluateAll((all) => all.map((one) => [...one.querySelectorAll('kbd')].map((key) => key.textContent).join(' ')));
const row = (page: Page, what: string) => sheet(page).getByRole('listitem').filter({ hasText: what });
const reset = (page: Page) => sheet(page).getByRole('button', { name: 'Back to the usual keys' });
const path = (page: Page) => new URL(page.url()).pathname;
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
    expect(await offered()).toEqual([
      'new',
      'temporary',
      'file',
      'find',
      'today',
      'needs',
      'settings',
      'theme',
      'keys',
    ]);
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
    await sheet(page).waitFor();
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
    await sheet(page).waitFor();
    expect(await shown(page)).toEqual([
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
    await sheet(page).waitFor({ state: 'hidden' });
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

describe('the keys of the page, changed', () => {
  it('are others here and in other tabs, outlive a sign-out, and come back', async () => {
    const rest = await Rest.person();
    const { context, page, faults } = await visit(browser, { key: rest.key });
    const other = await context.newPage();
    await other.goto('/');
    await other.locator('#main').waitFor();
    await page.goto('/settings/appearance');
    await page.getByText('Dark', { exact: true }).click();
    await page.getByRole('button', { name: 'See and change' }).click();
    await sheet(page).waitFor();
    expect(await reset(page).count()).toBe(0);
    // Esc leaves it as it is, and the sheet open.
    await keysOf(page, 'Start a new chat').click();
    await sheet(page).getByRole('button', { name: 'Press the new keys' }).waitFor();
    await row(page, 'Start a new chat').getByText('Hold Ctrl or Alt with a key').waitFor();
    await picture(page, 'keys-listening');
    expect(await broken(page)).toEqual([]);
    await page.keyboard.press('Escape');
    await row(page, 'Start a new chat').getByText('Left as it was.').waitFor();
    // By the keyboard alone; Tab leads out of it.
    await page.keyboard.press('Enter');
    await sheet(page).getByRole('button', { name: 'Press the new keys' }).waitFor();
    await page.keyboard.press('Tab');
    await row(page, 'Start a new chat').getByText('Left as it was.').waitFor();
    await page.keyboard.press('Shift+Tab');
    await page.keyboard.press('Enter');
    // What cannot be taken is said, and the row listens on. Nothing else is done by it.
    for (const [keys, said] of [
      ['x', 'X is for writing. Hold Ctrl or Alt with it, or use a function key.'],
      ['Control+Enter', 'Ctrl Enter is needed where you write. Press other keys.'],
      ['Control+q', 'Ctrl Q belongs to the browser or the system. Press other keys.'],
      ['Control+k', 'Ctrl K is already for “Find chats, settings and commands”. Press other keys.'],
      ['Control+Alt+Enter', 'Ctrl Alt Enter is already for “Allow once”. Press other keys.'],
      ['Control+/', 'Ctrl / is already for “Keyboard shortcuts”. Press other keys.'],
    ] as const) {
      await page.keyboard.press(keys);
      await row(page, 'Start a new chat').getByRole('status').getByText(said).waitFor();
    }
    await picture(page, 'keys-refused');
    expect(await broken(page)).toEqual([]);
    expect(await box(page).isVisible()).toBe(false);
    await page.keyboard.press('Alt+j');
    await row(page, 'Start a new chat').getByText('Changed to Alt J.').waitFor();
    await row(page, 'Start a new chat').getByText('Usually Ctrl Shift O').waitFor();
    expect((await shown(page))[1]).toBe('Alt J');
    expect(await keysOf(page, 'Start a new chat').evaluate((it) => it === document.activeElement)).toBe(true);
    await page.keyboard.press('Escape');
    await sheet(page).waitFor({ state: 'hidden' });

    /** The new keys do it, and those before do nothing. */
    const isChanged = async (tab: Page) => {
      await tab.keyboard.press('Control+Shift+o');
      // What is done by a key is done at once: this one is answered behind it.
      await tab.keyboard.press('Control+k');
      await box(tab).waitFor();
      expect(path(tab)).not.toBe('/chat/new');
      await tab.keyboard.press('Escape');
      await tab.keyboard.press('Alt+j');
      await tab.waitForURL('**/chat/new');
    };
    await isChanged(page);
    await other.keyboard.press('Control+/');
    await row(other, 'Start a new chat').getByText('Usually Ctrl Shift O').waitFor();
    await other.keyboard.press('Escape');
    await sheet(other).waitFor({ state: 'hidden' });
    await isChanged(other);
    await other.close();
    await composer(page).fill('/new');
    expect(await options(page).first().textContent()).toContain('Alt J');
    await composer(page).fill('');
    await page.goto('/');
    await page.locator('#main').waitFor();
    await isChanged(page);
    await page.goto('/settings');
    await page.getByRole('button', { name: 'Personal' }).first().click();
    await page.getByRole('button', { name: 'Sign out', exact: true }).first().click();
    await page.getByRole('heading', { name: 'Your key' }).waitFor();
    await page.getByLabel('Key').fill(rest.key);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('button', { name: 'Find anything Ctrl K' }).waitFor();
    expect(await page.evaluate(() => document.documentElement.dataset['theme'])).toBe('dark');
    await isChanged(page);

    // What opens the box and the sheet is changed as well, and the page shows it.
    await page.goto('/');
    await page.locator('#main').waitFor();
    await page.keyboard.press('Control+/');
    await keysOf(page, 'Find chats').click();
    await page.keyboard.press('Control+Shift+o');
    await row(page, 'Find chats').getByText('Changed to Ctrl Shift O.').waitFor();
    await keysOf(page, 'Keyboard shortcuts').click();
    await page.keyboard.press('F8');
    await page.keyboard.press('F8');
    await sheet(page).waitFor({ state: 'hidden' });
    await page.getByRole('button', { name: 'Find anything Ctrl Shift O' }).waitFor();
    await page.keyboard.press('Control+Shift+o');
    await box(page).waitFor();
    await page.keyboard.press('Escape');
    await page.keyboard.press('Control+/');
    await page.keyboard.press('F8');
    await sheet(page).waitFor();
    await picture(page, 'keys-changed');
    await reset(page).click();
    await sheet(page).getByText('The usual keys are back.').waitFor();
    expect(await reset(page).count()).toBe(0);
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe('Close');
    expect(await broken(page)).toEqual([]);
    await page.keyboard.press('Enter');
    await sheet(page).waitFor({ state: 'hidden' });
    await page.keyboard.press('Alt+j');
    await page.keyboard.press('Control+/');
    await sheet(page).waitFor();
    expect(path(page)).toBe('/');
    await page.keyboard.press('Control+/');
    await page.keyboard.press('Control+Shift+o');
    await page.waitForURL('**/chat/new');
    expect(faults).toEqual([]);
    await context.close();
  });

  it('decide an approval', async () => {
    const rest = await Rest.person();
    const { context, page, faults } = await visit(browser, { key: rest.key });
    // What is broken or not to be had was not kept by this page.
    await page.evaluate(() =>
      localStorage.setItem('adjutant.shortcuts', '{"deny":{"mods":"","key":"d","code":"KeyD"},"allow":7}'),
    );
    await page.goto('/chat/new');
    await composer(page).waitFor();
    await page.keyboard.press('Control+/');
    for (const [what, keys] of [
      ['Allow once', 'Control+Alt+y'],
      ['Deny', 'Control+Alt+u'],
    ] as const) {
      await keysOf(page, what).click();
      await page.keyboard.press(keys);
      await row(page, what).getByText('Changed to').waitFor();
    }
    await page.keyboard.press('Control+/');
    for (const [keys, old, said] of [
      ['Control+Alt+y', 'Control+Alt+Enter', 'Done'],
      ['Control+Alt+u', 'Control+Alt+Backspace', 'Denied'],
    ] as const) {
      await say(page, `effect by ${said}`);
      const slip = page.getByRole('group', { name: /effect\?$/i });
      await slip.waitFor();
      const [allow, deny] = [
        slip.getByRole('button', { name: 'Allow once' }),
        slip.getByRole('button', { name: 'Deny', exact: true }),
      ];
      expect(await allow.getAttribute('title')).toBe('Ctrl Alt Y');
      expect(await allow.getAttribute('aria-keyshortcuts')).toBe('Control+Alt+Y');
      expect(await deny.getAttribute('title')).toBe('Ctrl Alt U');
      await page.keyboard.press(old);
      // Behind the sheet nothing is decided.
      await page.keyboard.press('Control+/');
      await sheet(page).waitFor();
      await page.keyboard.press(keys);
      await page.keyboard.press('Control+/');
      await sheet(page).waitFor({ state: 'hidden' });
      expect(await allow.isEnabled()).toBe(true);
      await page.keyboard.press(keys);
      await page.locator('details.tool summary', { hasText: said }).last().waitFor();
      await answered(page, `did effect by ${said}`);
    }
    expect(faults).toEqual([]);
    await context.close();
  });

  it('can be changed on a phone that has a keyboard', async () => {
    const rest = await Rest.person();
    const { context, page, faults } = await visit(browser, { size: 'phone', theme: 'dark', key: rest.key });
    await page.goto('/settings/appearance');
    await page.getByRole('button', { name: 'See and change' }).tap();
    await keysOf(page, 'Copy the last code block').tap();
    await page.keyboard.press('Control+Alt+Shift+ArrowDown');
    await row(page, 'Copy the last code block').getByText('Changed to Ctrl Alt Shift ↓.').waitFor();
    await keysOf(page, 'Show or hide').tap();
    await page.keyboard.press('Control+Shift+c');
    await row(page, 'Show or hide').getByText('already for “Copy the last answer”').waitFor();
    await picture(page, 'keys-phone');
    for (const button of await sheet(page).getByRole('button').all())
      expect((await button.boundingBox())?.height).toBeGreaterThanOrEqual(44);
    expect(await crowded(page, 'dialog[open]')).toEqual([]);
    expect(await fits(page)).toBe(true);
    expect(await broken(page)).toEqual([]);
    // Tapped again, it listens no more.
    await sheet(page).getByRole('button', { name: 'Press the new keys' }).tap();
    await row(page, 'Show or hide').getByText('Left as it was.').waitFor();
    expect(faults).toEqual([]);
    await context.close();
  });
});
