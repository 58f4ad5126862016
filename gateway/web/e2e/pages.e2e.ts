// Every page in both sizes and both themes: nothing broken, nothing too wide, and a picture to look at.
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Rest } from './rest';
import { answered, broken, control, fits, launch, picture, say, SIZES, visit, type Size } from './support';

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(async () => {
  await browser.close();
});

const manners = (Object.keys(SIZES) as Size[]).flatMap((size) =>
  (['light', 'dark'] as const).map((theme) => ({ size, theme })),
);

describe.each(manners)('on a $size in the $theme', ({ size, theme }) => {
  it('the pages are whole', async () => {
    const { context, page, faults } = await visit(browser, { size, theme });
    await page.goto('/chat/new');
    await say(page, `effect ${size}-${theme}`);
    const slip = page.getByRole('group', { name: /effect\?$/i });
    await slip.waitFor();
    for (const [name, path] of [
      ['today', '/'],
      ['needs-you', '/needs-you'],
      ['settings', '/settings'],
      ['chats', '/chat'],
    ] as const) {
      await page.goto(path);
      await page.locator('#main').waitFor();
      await page.waitForLoadState('networkidle');
      await picture(page, `${name}-${size}-${theme}`);
      expect([name, await broken(page)]).toEqual([name, []]);
      expect([name, await fits(page)]).toEqual([name, true]);
    }
    // Answered on this device; on the list of another it is gone.
    await page.goto('/needs-you');
    await slip.getByRole('button', { name: 'Deny', exact: true }).click();
    await page.getByRole('heading', { name: 'Nothing waits for you.' }).waitFor();
    expect(faults).toEqual([]);
    await context.close();
  });

  it('the pages that are seldom seen are whole', async () => {
    const rest = await Rest.person();
    const { context, page, faults } = await visit(browser, { size, theme, key: rest.key });
    const [, put = '', dropped = ''] = await rest.chats(['echo seldom one', 'echo seldom two', 'echo seldom three']);
    await rest.send('PATCH', `/api/threads/${put}`, { archived: true });
    await rest.send('DELETE', `/api/threads/${dropped}`);
    await page.goto('/chat/new');
    await say(page, 'effect seldom');
    await page.getByRole('group', { name: /effect\?$/i }).waitFor();
    const { items } = await rest.read<{ items: { id: string }[] }>('/api/approvals?state=pending');
    const isWhole = async (name: string) => {
      await page.waitForLoadState('networkidle');
      await picture(page, `${name}-${size}-${theme}`);
      expect([name, await broken(page)]).toEqual([name, []]);
      expect([name, await fits(page)]).toEqual([name, true]);
    };
    for (const [name, path, shown] of [
      ['search', '/chat/search?q=seldom', page.locator('.hits mark')],
      ['archive', '/chat/archive', page.locator('.threads', { hasText: 'seldom two' })],
      ['deleted', '/chat/deleted', page.locator('.threads', { hasText: 'seldom three' })],
      ['gone', `/chat/${dropped}`, page.getByRole('heading', { name: 'This chat is deleted' })],
      ['waiting', `/needs-you/${items[0]?.id}`, page.getByRole('button', { name: 'Allow once' })],
      ['temporary', '/chat/new?temporary', page.getByRole('complementary', { name: 'Temporary chat' })],
    ] as const) {
      await page.goto(path);
      await shown.first().waitFor();
      await isWhole(name);
    }
    await page.evaluate(() => {
      history.pushState(null, '', '/nowhere/at/all');
      dispatchEvent(new PopStateEvent('popstate'));
    });
    await page.getByRole('heading', { name: 'There is nothing at this address' }).waitFor();
    await isWhole('missing');
    await page.goto('/');
    await page.locator('#main').waitFor();
    await page.keyboard.press('Control+k');
    await page.getByText('Recent chats').waitFor();
    await isWhole('box');
    await page.getByRole('combobox', { name: 'Find anything' }).fill('seldom');
    await page.getByText('Messages', { exact: true }).waitFor();
    await isWhole('box-found');
    expect(faults).toEqual([]);
    await context.close();
  });

  it('the first run is whole', async () => {
    const key = await control(`person/first-${size}-${theme}`);
    const { context, page, faults } = await visit(browser, { size, theme, key });
    await page.getByText('Accepted.', { exact: false }).waitFor();
    await picture(page, `first-${size}-${theme}`);
    expect(await broken(page)).toEqual([]);
    expect(await fits(page)).toBe(true);
    expect(faults).toEqual([]);
    await context.close();
  });

  it('the way in is whole', async () => {
    const { context, page } = await visit(browser, { size, theme, signedOut: true });
    await page.getByRole('heading', { name: 'Your key' }).waitFor();
    await picture(page, `signin-${size}-${theme}`);
    expect(await broken(page)).toEqual([]);
    expect(await fits(page)).toBe(true);
    await context.close();
  });
});

describe('two devices', () => {
  it('ask about the same thing, and a decision on one shows on the other', async () => {
    const desk = await visit(browser);
    const phone = await visit(browser, { size: 'phone' });
    await desk.page.goto('/chat/new');
    await say(desk.page, 'effect both');
    await phone.page.goto('/needs-you');
    const there = phone.page.getByRole('group', { name: /effect\?$/i }).filter({ hasText: 'both' });
    await there.waitFor();
    await desk.page.getByRole('group', { name: /effect\?$/i }).waitFor();
    await there.getByRole('button', { name: 'Allow once' }).click();
    await desk.page.getByRole('group', { name: /effect\?$/i }).waitFor({ state: 'detached' });
    await answered(desk.page, 'did effect both');
    expect([...desk.faults, ...phone.faults]).toEqual([]);
    await desk.context.close();
    await phone.context.close();
  });
});
