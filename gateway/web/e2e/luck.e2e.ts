// Bad luck and bad input: what a person must never notice, or must be told.
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { answered, broken, composer, control, KEY, launch, PATIENCE, picture, say, visit } from './support';

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(async () => {
  await browser.close();
});

describe('hostile text', () => {
  it('runs nothing, loads nothing, and is still readable', async () => {
    const { context, page, faults } = await visit(browser);
    await page.goto('/chat/new');
    const refused: string[] = [];
    page.on('console', (message) => {
      if (/Content Security Policy|TrustedHTML/.test(message.text())) refused.push(message.text());
    });
    await say(page, 'hostile');
    await answered(page, 'The hostile text ends here.');
    expect(await page.evaluate(() => (globalThis as { hacked?: number }).hacked)).toBeUndefined();
    // Nothing was even tried: the policy had nothing to refuse.
    expect(refused).toEqual([]);
    expect(faults).toEqual([]);
    const md = page.locator('.md').last();
    expect(await md.locator('img, iframe, script, style, form, svg, video, object, embed, base, link').count()).toBe(0);
    for (const link of await md.locator('a[href]').all()) {
      expect(await link.getAttribute('href')).toMatch(/^(https?:|mailto:|tel:)/);
      expect(await link.getAttribute('rel')).toContain('noopener');
    }
    expect(await broken(page)).toEqual([]);
    // The same as the words of the person, and as the name of a chat.
    await say(page, '<img src=x onerror="globalThis.hacked = 1"> ![x](http://evil.example/x.png)');
    await page.locator('.entry.mine', { hasText: 'onerror' }).waitFor();
    await page.locator('.talk > header .st').waitFor({ state: 'detached' });
    expect(await page.evaluate(() => (globalThis as { hacked?: number }).hacked)).toBeUndefined();
    expect(faults).toEqual([]);
    await context.close();
  });
});

describe('without a network', () => {
  it('what is written waits, survives a reload, and goes out once and in order', async () => {
    const { context, page, faults } = await visit(browser);
    await page.goto('/chat/new');
    await say(page, 'echo before');
    await answered(page, 'echo before');
    const address = page.url();
    // The shell must be in the cache before the network goes.
    await page.evaluate(() => navigator.serviceWorker.ready.then(() => undefined));
    await page.reload();
    await composer(page).waitFor();
    await context.setOffline(true);
    await page.getByText('Offline.', { exact: false }).first().waitFor();
    await say(page, 'echo while away one');
    await say(page, 'echo while away two');
    await page.getByText('Waits to be sent.').nth(1).waitFor();
    await picture(page, 'offline');
    await page.reload();
    await page.getByText('Waits to be sent.').nth(1).waitFor();
    await context.setOffline(false);
    await page.goto(address);
    await answered(page, 'echo while away two');
    const said = await page.locator('.entry.mine p.letter').allTextContents();
    expect(said).toEqual(['echo before', 'echo while away one', 'echo while away two']);
    expect(await page.getByText('Waits to be sent.').count()).toBe(0);
    expect(faults).toEqual([]);
    await context.close();
  });
});

describe('a new chat without a network', () => {
  it('waits in the list over a reload, and becomes one chat, also with a second tab open', async () => {
    const { context, page, faults } = await visit(browser);
    await page.goto('/chat/new');
    await composer(page).waitFor();
    await page.evaluate(() => navigator.serviceWorker.ready.then(() => undefined));
    const second = await context.newPage();
    await second.goto('/chat');
    await composer(second).waitFor();
    await context.setOffline(true);
    await page.getByText('Offline.', { exact: false }).first().waitFor();
    await say(page, 'echo begun on a train');
    await say(page, 'echo and went on');
    await page.getByText('Waits to be sent.').nth(1).waitFor();
    // At once, as when the train goes into a tunnel and the phone into the pocket.
    await page.reload();
    await page.getByText('Waits to be sent.').nth(1).waitFor();
    await page.goto('/chat/new');
    await page.getByRole('link', { name: 'echo begun on a train' }).click();
    await page.getByText('Waits to be sent.').nth(1).waitFor();
    await context.setOffline(false);
    await page.waitForURL(/\/chat\/[0-9a-f-]{36}$/);
    await answered(page, 'echo and went on');
    const said = await page.locator('.entry.mine p.letter').allTextContents();
    expect(said).toEqual(['echo begun on a train', 'echo and went on']);
    expect(await composer(page).inputValue()).toBe('');
    // One chat, in both tabs, and nothing waits any more.
    for (const tab of [page, second]) {
      await tab.reload();
      await tab.locator('.threads').getByText('begun on a', { exact: false }).waitFor();
      expect(await tab.locator('.threads').getByText('begun on a', { exact: false }).count()).toBe(1);
      expect(await tab.getByText('Waiting to be sent').count()).toBe(0);
    }
    expect(faults).toEqual([]);
    await context.close();
  });

  it('taken back is not sent', async () => {
    const { context, page, faults } = await visit(browser);
    await page.goto('/chat/new');
    await say(page, 'echo stays');
    await answered(page, 'echo stays');
    await context.setOffline(true);
    await page.getByText('Offline.', { exact: false }).first().waitFor();
    await say(page, 'echo regretted');
    await say(page, 'echo meant');
    const regretted = page.locator('.entry.mine', { hasText: 'echo regretted' });
    await regretted.getByRole('button', { name: 'Delete' }).click();
    await regretted.waitFor({ state: 'detached' });
    await context.setOffline(false);
    await answered(page, 'echo meant');
    await page.reload();
    await answered(page, 'echo meant');
    expect(await page.locator('.entry.mine p.letter').allTextContents()).toEqual(['echo stays', 'echo meant']);
    expect(faults).toEqual([]);
    await context.close();
  });
});

describe('a connection that no longer answers', () => {
  it('is left for a new one, and what was sent on it arrives once', async () => {
    const { context, page, faults } = await visit(browser);
    let isDead = false;
    let opened = 0;
    await page.routeWebSocket(/\/ws\?/, (socket) => {
      const first = (opened += 1) === 1;
      const server = socket.connectToServer();
      const passes = () => !(first && isDead);
      socket.onMessage((message) => passes() && server.send(message));
      server.onMessage((message) => passes() && socket.send(message));
    });
    await page.goto('/chat/new');
    await say(page, 'echo heard');
    await answered(page, 'echo heard');
    isDead = true;
    await say(page, 'echo into the void');
    await answered(page, 'echo into the void');
    expect(opened).toBe(2);
    await page.reload();
    await answered(page, 'echo into the void');
    expect(await page.locator('.entry.mine p.letter').allTextContents()).toEqual(['echo heard', 'echo into the void']);
    expect(faults).toEqual([]);
    await context.close();
  });
});

describe('a server that dies', () => {
  it('in the middle of an answer is waited for, and the answer ends once', async () => {
    const { context, page, faults } = await visit(browser);
    await page.goto('/chat/new');
    await say(page, 'hold after some words');
    await page.locator('.md', { hasText: 'Some words' }).waitFor();
    await control('stop');
    await page.getByText('Offline.', { exact: false }).first().waitFor();
    await control('start');
    // The first life's model call was cut off; the second one asks again.
    await control('release');
    await answered(page, 'Some words and the rest.');
    expect((await page.locator('.md').last().textContent())?.match(/Some words/g)).toHaveLength(1);
    await say(page, 'echo after it');
    await answered(page, 'echo after it');
    expect(faults).toEqual([]);
    await context.close();
  });
});

describe('a session that ends', () => {
  it('leads back to the sign-in, and what was being written is still there', async () => {
    const { context, page } = await visit(browser);
    await page.goto('/chat/new');
    await composer(page).fill('half a thought');
    // Signed out elsewhere: the socket closes.
    const devices = await context.request.get('/api/devices');
    const { items } = (await devices.json()) as { items: { id: string; current: boolean }[] };
    const mine = items.find((device) => device.current);
    const gone = await fetch(new URL(`/api/devices/${mine?.id}`, page.url()), {
      method: 'DELETE',
      headers: { 'X-API-Key': KEY },
    });
    expect(gone.status).toBe(204);
    await page.getByRole('heading', { name: 'Sign in again' }).waitFor();
    await page.getByLabel('Key').fill('wrong-key-wrong-key-wrong-key-wrong-key');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('This key is not known here', { exact: false }).waitFor();
    await page.getByLabel('Key').fill(KEY);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await composer(page).waitFor();
    await expect.poll(() => composer(page).inputValue(), { timeout: PATIENCE }).toBe('half a thought');
    await context.close();
  });
});
