// Temporary chats: in no list, on no other device, and kept only when somebody says so. UI.md 21.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { answered, broken, composer, fits, launch, PATIENCE, picture, say, SIZES, visit, type Size } from './support';

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(async () => {
  await browser.close();
});

const sizes = Object.keys(SIZES) as Size[];
const banner = (page: Page) => page.getByRole('complementary', { name: 'Temporary chat' });
const threadOf = (page: Page) => new URL(page.url()).pathname.split('/').at(-1) ?? '';

async function begin(page: Page, text: string) {
  await page.goto('/chat/new');
  await page.getByRole('link', { name: 'Temporary chat' }).click();
  await banner(page).waitFor();
  await say(page, text);
  await page.waitForURL(/\/chat\/[0-9a-f-]{36}$/);
}

async function isTemporary(page: Page, thread: string): Promise<boolean> {
  const read = await page.context().request.get(`/api/threads/${thread}`);
  return ((await read.json()) as { temporary: boolean }).temporary;
}

/** The row of that chat, whatever it is called there. */
const row = (page: Page, thread: string) => page.locator(`.threads a[href$="/${thread}"]`);

/** The chats that this page lists, when it has read them. */
async function listed(page: Page): Promise<string> {
  await page.goto('/chat');
  const list = page.locator('.threads');
  await list.locator('li').first().waitFor();
  return (await list.textContent()) ?? '';
}

describe.each(sizes)('on a %s', (size) => {
  it('a temporary chat is said to be one, is in no list and no search, and is read by its address', async () => {
    const { context, page, faults } = await visit(browser, { size });
    await page.goto('/chat/new');
    await say(page, `echo ordinary ${size}`);
    await answered(page, `echo ordinary ${size}`);
    const other = await visit(browser);
    await listed(other.page);

    await page.goto('/chat/new');
    await composer(page).fill('half a secret');
    await page.getByRole('link', { name: 'Temporary chat' }).click();
    await banner(page).waitFor();
    expect(await composer(page).inputValue()).toBe('half a secret');
    await picture(page, `temporary-${size}`);
    expect(await broken(page)).toEqual([]);
    // A reload before it begins makes no ordinary chat of it.
    await page.reload();
    await banner(page).waitFor();
    await say(page, `echo whispered ${size}`);
    await answered(page, `echo whispered ${size}`);
    await page.waitForURL(/\/chat\/[0-9a-f-]{36}$/);
    const address = page.url();
    expect(await isTemporary(page, threadOf(page))).toBe(true);
    expect(await page.getByRole('heading', { level: 1 }).textContent()).toBe('Temporary chat');
    await say(page, `echo further ${size}`);
    await answered(page, `echo further ${size}`);
    await picture(page, `temporary-begun-${size}`);
    expect(await broken(page)).toEqual([]);
    expect(await fits(page)).toBe(true);

    // Neither as it happens nor as it is read: here, on a desktop, and on the other device.
    const hidden = threadOf(page);
    expect(await row(page, hidden).count()).toBe(0);
    expect(await row(other.page, hidden).count()).toBe(0);
    for (const one of [page, other.page]) {
      expect(await listed(one)).toContain(`ordinary ${size}`);
      expect(await row(one, hidden).count()).toBe(0);
    }
    await page.goto(`/chat/search?q=whispered`);
    await page.getByText('Nothing was found', { exact: false }).waitFor();
    await page.goto(address);
    await answered(page, `echo whispered ${size}`);
    await banner(page).waitFor();
    // What makes no sense for it is not offered.
    await page.getByRole('button', { name: 'Chat menu' }).click();
    const menu = page.locator('#thread-menu');
    expect(await menu.getByRole('button', { name: 'Delete' }).count()).toBe(1);
    expect(await menu.getByRole('button', { name: /Pin|Archive|Rename|Find/ }).count()).toBe(0);
    expect([...faults, ...other.faults]).toEqual([]);
    await context.close();
    await other.context.close();
  });

  it('kept, it is one like others, also on another device', async () => {
    const { context, page, faults } = await visit(browser, { size });
    const other = await visit(browser);
    await other.page.goto('/chat');
    await begin(page, `echo worth it ${size}`);
    await answered(page, `echo worth it ${size}`);
    await banner(page).getByRole('button', { name: 'Keep this chat' }).click();
    await banner(page).waitFor({ state: 'detached' });
    await other.page.locator('.threads', { hasText: `worth it ${size}` }).waitFor();
    expect(await listed(page)).toContain(`worth it ${size}`);
    expect([...faults, ...other.faults]).toEqual([]);
    await context.close();
    await other.context.close();
  });
});

describe('a temporary chat', () => {
  it('asks like any other, and what it asks is among what waits', async () => {
    const { context, page, faults } = await visit(browser);
    await begin(page, 'effect a temporary one');
    await page.getByRole('button', { name: 'Allow once' }).waitFor();
    await page.goto('/needs-you');
    await page.getByText('Temporary chat', { exact: false }).waitFor();
    await page.getByRole('button', { name: 'Allow once' }).click();
    await page.getByRole('button', { name: 'Allow once' }).waitFor({ state: 'detached' });
    expect(faults).toEqual([]);
    await context.close();
  });

  it('that begins without a network is one when it goes out', async () => {
    const { context, page, faults } = await visit(browser);
    await page.evaluate(() => navigator.serviceWorker.ready.then(() => undefined));
    await page.goto('/chat/new?temporary');
    await banner(page).waitFor();
    await context.setOffline(true);
    await page.getByText('Offline.', { exact: false }).first().waitFor();
    await say(page, 'echo later and in private');
    await page.locator('.log article', { hasText: 'echo later and in private' }).waitFor();
    await page.reload();
    await page.locator('.log article', { hasText: 'echo later and in private' }).waitFor();
    await banner(page).waitFor();
    await context.setOffline(false);
    await answered(page, 'echo later and in private');
    await page.waitForURL(/\/chat\/[0-9a-f-]{36}$/);
    await expect.poll(() => isTemporary(page, threadOf(page)), { timeout: PATIENCE }).toBe(true);
    expect(faults).toEqual([]);
    await context.close();
  });

  it('that is made an ordinary one before it begins is one', async () => {
    const { context, page, faults } = await visit(browser);
    await page.goto('/chat/new?temporary');
    await page.getByRole('link', { name: 'Make it an ordinary chat' }).click();
    await banner(page).waitFor({ state: 'detached' });
    await say(page, 'echo for all to see');
    await answered(page, 'echo for all to see');
    await page.waitForURL(/\/chat\/[0-9a-f-]{36}$/);
    expect(await isTemporary(page, threadOf(page))).toBe(false);
    expect(faults).toEqual([]);
    await context.close();
  });
});
