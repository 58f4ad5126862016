// Bad luck and bad input: what a person must never notice, or must be told.
import { readFileSync } from 'node:fs';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Rest } from './rest';
import {
  answered,
  broken,
  composer,
  control,
  fits,
  KEY,
  launch,
  PATIENCE,
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

const HOSTILE = readFileSync(new URL('hostile.md', import.meta.url), 'utf8');

/** Nothing of foreign text ran, and where it is shown it is text, whatever it says it is. */
async function isText(page: Page, where: string) {
  expect(await page.evaluate(() => (globalThis as { hacked?: number }).hacked)).toBeUndefined();
  const elements =
    'img, iframe, script, style, form, video, audio, object, embed, base, link, math, noscript, [onerror]';
  const places = await page.locator(where).all();
  expect(places.length, where).toBeGreaterThan(0);
  for (const place of places) expect(await place.locator(elements).count(), where).toBe(0);
}

/** What the page's own policy refused: then something of foreign text was tried. */
function refusals(page: Page): string[] {
  const refused: string[] = [];
  page.on('console', (message) => {
    if (/Content Security Policy|TrustedHTML/.test(message.text())) refused.push(message.text());
  });
  return refused;
}

describe.each(sizes)('on a %s', (size) => {
  describe('hostile text', () => {
    it('runs nothing, loads nothing, and is still readable', async () => {
      const { context, page, faults } = await visit(browser, { size });
      await page.goto('/chat/new');
      const refused = refusals(page);
      await say(page, 'hostile');
      await answered(page, 'The hostile text ends here.');
      expect(await page.evaluate(() => (globalThis as { hacked?: number }).hacked)).toBeUndefined();
      // Nothing was even tried: the policy had nothing to refuse.
      expect(refused).toEqual([]);
      expect(faults).toEqual([]);
      const md = page.locator('.md').last();
      expect(await md.locator('img, iframe, script, style, form, svg, video, object, embed, base, link').count()).toBe(
        0,
      );
      for (const link of await md.locator('a[href]').all()) {
        expect(await link.getAttribute('href')).toMatch(/^(https?:|mailto:|tel:)/);
        expect(await link.getAttribute('rel')).toContain('noopener');
      }
      expect(await broken(page)).toEqual([]);
      // The same as the words of the person.
      await say(page, '<img src=x onerror="globalThis.hacked = 1"> ![x](http://evil.example/x.png)');
      await page.locator('.entry.mine', { hasText: 'onerror' }).waitFor();
      await page.locator('.talk > header .st').waitFor({ state: 'detached' });
      expect(await page.evaluate(() => (globalThis as { hacked?: number }).hacked)).toBeUndefined();
      expect(faults).toEqual([]);
      await context.close();
    });

    it('is text as the name of a chat, wherever that is shown', async () => {
      const rest = await Rest.person();
      const { context, page, faults } = await visit(browser, { size, key: rest.key });
      const refused = refusals(page);
      const bad = `<img src=x onerror="globalThis.hacked=1"><script>globalThis.hacked=1</script>`;
      const [id = ''] = await rest.chats(['echo all is well']);
      await rest.send('PATCH', `/api/threads/${id}`, { title: `${bad} \u202egnp.exe` });
      const shown = `${bad} gnp.exe`;
      await page.goto('/chat');
      const row = page.locator('.threads li').filter({ hasText: shown });
      await row.waitFor();
      await isText(page, '.threads');
      await page.goto(`/chat/${id}`);
      await page.getByRole('heading', { name: shown, level: 1 }).waitFor();
      expect(await page.title()).toContain(shown);
      await isText(page, '.talk > header');
      await page.keyboard.press('Control+k');
      await page.getByRole('combobox', { name: 'Find anything' }).fill('gnp');
      await page.getByRole('option').filter({ hasText: shown }).waitFor();
      await isText(page, '[role=listbox]');
      await page.keyboard.press('Escape');
      await page.goto('/chat/search?q=well');
      await page.locator('.hits b', { hasText: shown }).first().waitFor();
      await isText(page, '.hits');
      await page.goto(`/chat/${id}`);
      await page.getByRole('button', { name: 'Chat menu' }).click();
      await page.getByRole('button', { name: 'Delete', exact: true }).click();
      await page.locator('.toasts p', { hasText: `“${shown}” is deleted.` }).waitFor();
      await picture(page, `hostile-name-${size}`);
      await isText(page, '.toasts');
      expect(await fits(page)).toBe(true);
      expect([...refused, ...faults]).toEqual([]);
      await context.close();
    });

    it('is text as what a tool is given and gives back, and among what was found', async () => {
      const rest = await Rest.person();
      const { context, page, faults } = await visit(browser, { size, key: rest.key });
      const refused = refusals(page);
      await page.goto('/chat/new');
      const look = (key: string) => ({ call: 'effects__look', args: { key } });
      // Read as rows, where it is JSON; else as it is.
      const rows = JSON.stringify({ [HOSTILE.slice(0, 200)]: HOSTILE });
      await say(page, `play ${JSON.stringify([[look(HOSTILE)], [look(rows)], ['Nothing there.']])}`);
      // It names addresses that nobody gave: so it asks, and is seen whole before it is allowed.
      for (const done of [1, 2]) {
        const allow = page.getByRole('button', { name: 'Allow once' });
        const more = page.getByRole('button', { name: 'Show what you have not seen' });
        await allow.waitFor();
        const isSeen = async () => {
          if (await more.isVisible()) await more.click();
          return allow.isEnabled();
        };
        await expect.poll(isSeen, { timeout: PATIENCE }).toBe(true);
        await isText(page, '.log');
        await allow.click();
        await page
          .locator('details.tool summary', { hasText: 'Done' })
          .nth(done - 1)
          .waitFor();
      }
      await answered(page, 'Nothing there.');
      for (const card of await page.locator('details.tool').all()) {
        await card.locator('summary').first().click();
        await card.getByText('The hostile text ends here.').first().waitFor();
      }
      expect(await page.locator('details.tool').count()).toBe(2);
      expect(await page.locator('details.tool a, details.tool svg:not(.i)').count()).toBe(0);
      await isText(page, '.log');
      expect(await fits(page)).toBe(true);
      // What ends like a tag the database leaves out: this one is ended by whatever the page puts around a hit.
      const unclosed = '<img src=x onerror=globalThis.hacked=1 ocelot';
      await rest.ask(`echo ${unclosed}`);
      await page.goto('/chat/search?q=ocelot');
      await page.locator('.hits li', { hasText: unclosed }).first().waitFor();
      await isText(page, '.hits');
      await page.goto('/');
      await page.locator('#main').waitFor();
      await page.keyboard.press('Control+k');
      await page.getByRole('combobox', { name: 'Find anything' }).fill('ocelot');
      await page.getByRole('option').filter({ hasText: unclosed }).first().waitFor();
      await isText(page, '[role=listbox]');
      expect([...refused, ...faults]).toEqual([]);
      await context.close();
    });
  });

  describe('without a network', () => {
    it('what is written waits, survives a reload, and goes out once and in order', async () => {
      const { context, page, faults } = await visit(browser, { size });
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
      const { key } = await Rest.person();
      const { context, page, faults } = await visit(browser, { size, key });
      await page.goto('/chat/new');
      await composer(page).waitFor();
      await page.evaluate(() => navigator.serviceWorker.ready.then(() => undefined));
      const second = await context.newPage();
      await second.goto('/chat');
      await second.locator('#main').waitFor();
      await context.setOffline(true);
      await page.getByText('Offline.', { exact: false }).first().waitFor();
      await say(page, 'echo begun on a train');
      await say(page, 'echo and went on');
      await page.getByText('Waits to be sent.').nth(1).waitFor();
      // At once, as when the train goes into a tunnel and the phone into the pocket.
      await page.reload();
      await page.getByText('Waits to be sent.').nth(1).waitFor();
      await page.goto('/chat');
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
        await tab.goto('/chat');
        await tab.locator('.threads').getByText('begun on a', { exact: false }).waitFor();
        expect(await tab.locator('.threads').getByText('begun on a', { exact: false }).count()).toBe(1);
        expect(await tab.getByText('Waiting to be sent').count()).toBe(0);
      }
      expect(faults).toEqual([]);
      await context.close();
    });

    it('taken back is not sent', async () => {
      const { context, page, faults } = await visit(browser, { size });
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
      const { context, page, faults } = await visit(browser, { size });
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
      expect(await page.locator('.entry.mine p.letter').allTextContents()).toEqual([
        'echo heard',
        'echo into the void',
      ]);
      expect(faults).toEqual([]);
      await context.close();
    });
  });

  describe('a server that dies', () => {
    it('in the middle of an answer is waited for, and the answer ends once', async () => {
      const { context, page, faults } = await visit(browser, { size });
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
      const { context, page } = await visit(browser, { size });
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
      // Nor does a reload take it.
      await page.reload();
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
});
