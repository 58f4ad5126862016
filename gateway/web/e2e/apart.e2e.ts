// Persons, profiles and chats are kept apart, also where one browser has several of them and luck is bad: tabs without
// an answer, sessions that ran out, chats that wait to begin, and what was on its way when its tab went.
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Rest } from './rest';
import { answered, broken, composer, launch, PATIENCE, picture, say, SIZES, URL_OF, visit, type Size } from './support';

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(async () => {
  await browser.close();
});

const sizes = Object.keys(SIZES) as Size[];
const CHAT = /\/chat\/[0-9a-f]{8}-[0-9a-f-]{27}$/;
const FRESH = /\/chat\/new:[0-9a-f-]{36}$/;

/** What was said in all chats of somebody's profile. */
async function saidIn(rest: Rest): Promise<string[]> {
  const { items } = await rest.read<{ items: { said: string | null }[] }>('/api/threads');
  return items.map(({ said }) => said ?? '');
}

async function inProfile(page: Page, name: string) {
  await page.goto('/settings/profile');
  await page
    .getByRole('button', { name: `Switch to ${name}` })
    .last()
    .click();
  await page.waitForURL((url) => url.pathname === '/');
}

/** A message is there that the server does not have. */
async function waits(page: Page) {
  await page.locator('.entry.mine').getByText('Waits to be sent.').waitFor();
}

/** Nothing of the second chat is in the composer. */
async function isFirst(page: Page) {
  expect(await composer(page).inputValue()).toBe('more for the first');
  expect(await page.locator('.composer .files').count()).toBe(0);
  expect(await page.getByRole('button', { name: /^Model:/ }).textContent()).not.toContain('second');
}

async function sheltered(page: Page) {
  await page.evaluate(() => navigator.serviceWorker.ready.then(() => undefined));
}

/** The session of this browser is ended from elsewhere. */
async function expire(context: BrowserContext, rest: Rest) {
  const { items } = (await (await context.request.get('/api/devices')).json()) as {
    items: { id: string; current: boolean }[];
  };
  await rest.send('DELETE', `/api/devices/${items.find(({ current }) => current)?.id}`);
}

async function signIn(page: Page, key: string) {
  await page.getByLabel('Key').fill(key);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

/** The cookie of this browser becomes another person's, and no page hears of it. */
async function becomes(context: BrowserContext, rest: Rest) {
  const headers = { 'X-API-Key': rest.key, Origin: URL_OF };
  const answer = await context.request.post('/api/session', { headers, data: { label: 'another' } });
  expect(answer.status()).toBe(201);
}

interface Wire {
  isCut: boolean;
}

/** The socket of a page, which can be cut while all else goes on. To be called before the page is loaded. */
async function wire(page: Page): Promise<Wire> {
  const wire: Wire = { isCut: false };
  await page.routeWebSocket(/\/ws\?/, async (socket) => {
    if (wire.isCut) return socket.close();
    const server = socket.connectToServer();
    socket.onMessage((message) => (wire.isCut ? void socket.close() : server.send(message)));
    server.onMessage((message) => socket.send(message));
  });
  return wire;
}

async function mend(page: Page, wire: Wire) {
  wire.isCut = false;
  await page.evaluate(() => dispatchEvent(new Event('online')));
}

/** From here on, nothing that this page writes gets into its store. */
async function stopStore(page: Page) {
  await page.evaluate(() => {
    const request = {};
    Object.assign(IDBDatabase.prototype, {
      transaction: () => ({ objectStore: () => ({ put: () => request, delete: () => request }) }),
    });
  });
}

describe.each(sizes)('on a %s', (size) => {
  it('a tab without an answer is of its own profile, whatever another tab shows', async () => {
    const home = await Rest.person();
    const work = await home.further('work', 'Work');
    const chat = await work.ask('echo the pelican');
    const { context, page, faults } = await visit(browser, { size, key: home.key });
    await inProfile(page, 'Work');
    await page.goto(`/chat/${chat}`);
    await answered(page, 'the pelican');
    await composer(page).fill('half a thought at work');
    await sheltered(page);
    const other = await context.newPage();
    await other.goto('/');
    await inProfile(other, 'Personal');
    await other.goto('/chat/new');
    await composer(other).waitFor();
    await context.setOffline(true);
    await say(other, 'echo only at home');
    await waits(other);
    await page.reload();
    await composer(page).waitFor();
    await expect.poll(() => composer(page).inputValue()).toBe('half a thought at work');
    await say(page, 'echo only at work');
    await waits(page);
    await picture(page, `apart-offline-${size}`);
    await page.goto('/chat');
    await page.locator('.threads').waitFor();
    expect(await page.getByText('only at home').count()).toBe(0);
    await context.setOffline(false);
    await answered(other, 'only at home');
    await page.goto(`/chat/${chat}`);
    await answered(page, 'only at work');
    expect(await saidIn(home)).toEqual(['echo only at home']);
    expect(await saidIn(work)).toEqual(['echo the pelican']);
    expect(await other.getByText('only at work').count()).toBe(0);
    expect(faults).toEqual([]);
    await context.close();
  });

  it('a session that ran out leads back into its profile, its chat and its draft', async () => {
    const home = await Rest.person();
    const work = await home.further('work', 'Work');
    const chat = await work.ask('echo the pelican');
    const { context, page, faults } = await visit(browser, { size, key: home.key });
    await inProfile(page, 'Work');
    await page.goto(`/chat/${chat}`);
    await answered(page, 'the pelican');
    await composer(page).fill('half a thought at work');
    await expire(context, home);
    await page.getByRole('heading', { name: 'Sign in again' }).waitFor();
    await signIn(page, `${home.key.slice(0, -4)}0000`);
    await page.getByRole('alert').waitFor();
    await signIn(page, home.key);
    await answered(page, 'the pelican');
    expect(new URL(page.url()).pathname).toBe(`/chat/${chat}`);
    expect(await composer(page).inputValue()).toBe('half a thought at work');
    // A key for one profile is for no other.
    const { key } = (await (await home.send('POST', '/api/keys', { label: 'home', profile: 'personal' })).json()) as {
      key: string;
    };
    await expire(context, home);
    await page.getByRole('heading', { name: 'Sign in again' }).waitFor();
    await signIn(page, key);
    await page.getByRole('heading', { name: 'There is no such chat here' }).waitFor();
    await page.goto('/chat/new');
    await composer(page).waitFor();
    expect(await composer(page).inputValue()).toBe('');
    expect(faults).toEqual([]);
    await context.close();
  });

  it('another person who signs in after it ran out sees and gets nothing of the first', async () => {
    const [ada, eve] = [await Rest.person(), await Rest.person()];
    const chat = await ada.ask('echo the secret of Ada');
    const { context, page } = await visit(browser, { size, key: ada.key });
    await page.goto(`/chat/${chat}`);
    await answered(page, 'the secret of Ada');
    await composer(page).fill('half a secret');
    await expire(context, ada);
    await page.getByRole('heading', { name: 'Sign in again' }).waitFor();
    await page.evaluate(() => {
      const look = () => document.body.innerText.includes('secret') && sessionStorage.setItem('seen', 'yes');
      new MutationObserver(look).observe(document.body, { childList: true, subtree: true });
    });
    await signIn(page, eve.key);
    await page.waitForURL((url) => url.pathname === '/');
    await page.locator('#main').waitFor();
    expect(await page.evaluate(() => sessionStorage.getItem('seen'))).toBe(null);
    const kept = await page.evaluate(() => Object.entries(localStorage) as [string, string][]);
    expect(kept.filter(([name, value]) => name.includes(eve.name) && value.includes('secret'))).toEqual([]);
    await page.goto('/chat/new');
    await composer(page).waitFor();
    expect(await composer(page).inputValue()).toBe('');
    await context.close();
  });

  it('new chats that wait to begin have their own drafts, files and models', async () => {
    const rest = await Rest.person();
    const { context, page, faults } = await visit(browser, { size, key: rest.key });
    const line = await wire(page);
    await page.goto('/chat/new');
    await composer(page).waitFor();
    await page.getByRole('button', { name: /^Model:/ }).waitFor();
    line.isCut = true;
    await say(page, 'echo the first chat');
    await page.waitForURL(FRESH);
    await waits(page);
    await composer(page).fill('more for the first');
    const first = new URL(page.url()).pathname;
    const list = async () => size === 'phone' && (await page.getByRole('link', { name: 'Chats' }).first().click());
    await list();
    await page.getByRole('link', { name: 'New', exact: true }).click();
    await page.waitForURL('**/chat/new');
    await composer(page).waitFor();
    expect(await composer(page).inputValue()).toBe('');
    await composer(page).fill('words of the second');
    await page
      .locator('.composer input[type=file]')
      .first()
      .setInputFiles({
        name: 'second.txt',
        mimeType: 'text/plain',
        buffer: Buffer.from('of the second'),
      });
    await page.locator('.composer .files', { hasText: 'second.txt' }).waitFor();
    await page.getByRole('button', { name: /^Model:/ }).click();
    await page.getByRole('group', { name: 'Which model answers' }).locator('label', { hasText: 'second' }).click();
    await page.keyboard.press('Escape');
    await list();
    await page.locator(`.threads a[href="${first}"]`).click();
    await waits(page);
    await expect.poll(() => composer(page).inputValue()).toBe('more for the first');
    await isFirst(page);
    expect(await broken(page)).toEqual([]);
    await picture(page, `apart-first-${size}`);
    await page.reload();
    await waits(page);
    expect(await composer(page).inputValue()).toBe('more for the first');
    // It begins while the other one is looked at.
    await page.goto('/chat/new');
    await expect.poll(() => composer(page).inputValue()).toBe('words of the second');
    await page.locator('.composer .files', { hasText: 'second.txt' }).waitFor();
    expect(await page.getByRole('button', { name: /^Model:/ }).textContent()).toContain('second');
    // What is written for either is no further chat's.
    const other = await context.newPage();
    (await wire(other)).isCut = true;
    await other.goto('/chat/new');
    await other.locator(`.threads a[href="${first}"]`).waitFor({ state: 'attached' });
    await composer(other).waitFor();
    await other.evaluate(() => navigator.locks.query());
    expect(await composer(other).inputValue()).toBe('');
    await other.close();
    await mend(page, line);
    await expect.poll(() => saidIn(rest), { timeout: PATIENCE }).toEqual(['echo the first chat']);
    await expect.poll(() => page.locator(`.threads a[href="${first}"]`).count()).toBe(0);
    expect(await composer(page).inputValue()).toBe('words of the second');
    await list();
    await page.locator('.threads li').getByRole('link').first().click();
    await page.waitForURL(CHAT);
    await answered(page, 'the first chat');
    await isFirst(page);
    await page.goto('/chat/new');
    await expect.poll(() => composer(page).inputValue()).toBe('words of the second');
    // And while it is looked at.
    await page.locator('.composer button[type=submit]').click();
    await answered(page, 'words of the second');
    await page.waitForURL(CHAT);
    expect(await composer(page).inputValue()).toBe('');
    expect(await page.getByRole('button', { name: /^Model:/ }).textContent()).toContain('second');
    expect(faults).toEqual([]);
    await context.close();
  });

  it('what was sent is no draft again where the store was slower than the server', async () => {
    const rest = await Rest.person();
    const { context, page, faults } = await visit(browser, { size, key: rest.key });
    await page.goto('/chat/new');
    await composer(page).waitFor();
    await stopStore(page);
    await say(page, 'echo said once');
    await answered(page, 'said once');
    await page.waitForURL(CHAT);
    await say(page, 'echo said twice');
    await answered(page, 'said twice');
    await page.reload();
    await answered(page, 'said twice');
    expect(await composer(page).inputValue()).toBe('');
    await page.close();
    const next = await context.newPage();
    await next.goto('/chat/new');
    await composer(next).waitFor();
    await next.evaluate(() => navigator.locks.query());
    expect(await composer(next).inputValue()).toBe('');
    const drafts = await next.evaluate(() => Object.keys(localStorage).filter((name) => /draft|leaving/.test(name)));
    expect(drafts).toEqual([]);
    expect(faults).toEqual([]);
    await context.close();
  });
});

describe('what was on its way when its tab went', () => {
  it('goes out once, though neither the store nor the server had it', async () => {
    const rest = await Rest.person();
    const { context, page, faults } = await visit(browser, { key: rest.key });
    const line = await wire(page);
    await page.goto('/chat/new');
    await composer(page).waitFor();
    await stopStore(page);
    line.isCut = true;
    await say(page, 'echo from a tab that dies');
    await expect.poll(() => composer(page).inputValue()).toBe('');
    await page.waitForURL(FRESH);
    await page.close();
    // Another tab takes it over, as what it is.
    const next = await context.newPage();
    await next.goto('/chat/new');
    await composer(next).waitFor();
    await expect.poll(() => saidIn(rest), { timeout: PATIENCE }).toEqual(['echo from a tab that dies']);
    expect(await composer(next).inputValue()).toBe('');
    await next.locator('.threads li').getByRole('link').first().click();
    await answered(next, 'from a tab that dies');
    await next.reload();
    await answered(next, 'from a tab that dies');
    expect(await next.locator('.entry.mine').count()).toBe(1);
    expect(await saidIn(rest)).toHaveLength(1);
    expect(faults).toEqual([]);
    await context.close();
  });

  it('is not lost where an earlier message was rewritten', async () => {
    const rest = await Rest.person();
    const chat = await rest.ask('echo said at first');
    const { context, page, faults } = await visit(browser, { key: rest.key });
    const line = await wire(page);
    await page.goto(`/chat/${chat}`);
    await answered(page, 'said at first');
    await page.locator('.log article', { hasText: 'echo said at first' }).first().hover();
    await page.getByRole('button', { name: 'Edit' }).first().click();
    await page.getByText('You edit an earlier message.').waitFor();
    await composer(page).fill('echo said better');
    await stopStore(page);
    line.isCut = true;
    await page.getByRole('button', { name: 'Save and run' }).click();
    await page.locator('.entry.mine', { hasText: 'said better' }).waitFor();
    line.isCut = false;
    await page.reload();
    await answered(page, 'said better');
    expect(await page.getByText('You edit an earlier message.').count()).toBe(0);
    expect(await composer(page).inputValue()).toBe('');
    expect(faults).toEqual([]);
    await context.close();
  });
});

describe('several tabs', () => {
  it('begin anew for whoever signs in, and come back by themselves for the same person', async () => {
    const [ada, eve] = [await Rest.person(), await Rest.person()];
    const chat = await ada.ask('echo the secret of Ada');
    const { context, page } = await visit(browser, { key: ada.key });
    await page.goto(`/chat/${chat}`);
    await answered(page, 'the secret of Ada');
    const other = await context.newPage();
    await other.goto('/');
    await other.locator('#main').waitFor();
    await expire(context, ada);
    for (const tab of [page, other]) await tab.getByRole('heading', { name: 'Sign in again' }).waitFor();
    await signIn(other, ada.key);
    await answered(page, 'the secret of Ada');
    expect(new URL(page.url()).pathname).toBe(`/chat/${chat}`);
    await other.locator('.nav .who').waitFor();
    await expire(context, ada);
    for (const tab of [page, other]) await tab.getByRole('heading', { name: 'Sign in again' }).waitFor();
    await signIn(other, eve.key);
    for (const tab of [page, other]) {
      await tab.waitForURL((url) => url.pathname === '/');
      await tab.locator('.nav .who', { hasText: eve.name }).waitFor();
    }
    await context.close();
  });

  it('one that slept through all of it sends nothing in the name of another', async () => {
    const [ada, eve] = [await Rest.person(), await Rest.person()];
    const { context, page } = await visit(browser, { key: ada.key });
    const line = await wire(page);
    // It hears nothing of other tabs.
    await page.addInitScript(() => Object.assign(globalThis, { BroadcastChannel: EventTarget }));
    await page.addInitScript(() => Object.assign(EventTarget.prototype, { postMessage: () => {} }));
    await page.goto('/chat/new');
    await composer(page).waitFor();
    line.isCut = true;
    await say(page, 'echo a secret of Ada');
    await waits(page);
    await becomes(context, eve);
    const other = await context.newPage();
    await other.goto('/');
    await other.locator('.nav .who', { hasText: eve.name }).waitFor();
    await mend(page, line);
    await page.locator('.nav .who', { hasText: eve.name }).waitFor();
    await page.waitForURL((url) => url.pathname === '/');
    await say(await context.newPage().then((tab) => tab.goto('/chat/new').then(() => tab)), 'echo of Eve');
    await expect.poll(() => saidIn(eve), { timeout: PATIENCE }).toEqual(['echo of Eve']);
    expect(await saidIn(ada)).toEqual([]);
    await context.close();
  });

  it('one that was loaded without an answer begins anew where the server says that it is somebody else', async () => {
    const [ada, eve] = [await Rest.person(), await Rest.person()];
    const { context, page } = await visit(browser, { key: ada.key });
    await page.goto('/chat/new');
    await composer(page).waitFor();
    await sheltered(page);
    await context.setOffline(true);
    await page.reload();
    await say(page, 'echo a secret of Ada');
    await waits(page);
    await becomes(context, eve);
    await context.setOffline(false);
    await page.waitForURL((url) => url.pathname === '/');
    await page.locator('.nav .who', { hasText: eve.name }).waitFor();
    expect(await saidIn(eve)).toEqual([]);
    // It waits for the one who said it.
    await becomes(context, ada);
    await page.reload();
    await expect.poll(() => saidIn(ada), { timeout: PATIENCE }).toEqual(['echo a secret of Ada']);
    await context.close();
  });

  it('one that was loaded without an answer says that its session ran out, and keeps what was written', async () => {
    const ada = await Rest.person();
    const { context, page } = await visit(browser, { key: ada.key });
    await page.goto('/chat/new');
    await composer(page).waitFor();
    await sheltered(page);
    const { items } = (await (await context.request.get('/api/devices')).json()) as { items: { id: string }[] };
    await context.setOffline(true);
    await page.reload();
    await composer(page).fill('half a thought');
    for (const { id } of items) await ada.send('DELETE', `/api/devices/${id}`);
    await context.setOffline(false);
    await page.getByRole('heading', { name: 'Sign in again' }).waitFor();
    await signIn(page, ada.key);
    await composer(page).waitFor();
    await expect.poll(() => composer(page).inputValue()).toBe('half a thought');
    await context.close();
  });
});

describe('an answer that says nothing of the key', () => {
  it('ends in the way in, with the reason', async () => {
    const { context, page } = await visit(browser, { signedOut: true });
    await page.route('**/api/session', (route) => route.fulfill({ status: 404, body: 'no such page' }));
    await page.goto('/');
    await page.getByRole('heading', { name: 'Your key' }).waitFor();
    await page.getByRole('alert').getByText('The server answered 404.').waitFor();
    expect(await broken(page)).toEqual([]);
    await page.unroute('**/api/session');
    const rest = await Rest.person();
    await signIn(page, rest.key);
    await page.locator('.nav .who', { hasText: rest.name }).waitFor();
    await context.close();
  });
});
