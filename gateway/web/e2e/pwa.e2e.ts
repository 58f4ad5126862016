// The page as an app: without a network, installed, renewed, on a telephone, and what is being written in all of it.
// UI.md's 31 to 33 and 45.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gate, through } from './gate';
import { tooSmall, tooWide, zooming } from './telephone';
import {
  answered,
  broken,
  composer,
  control,
  fits,
  KEY,
  keptChats,
  launch,
  PATIENCE,
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

/** The worker has the shell, and this page is its own. */
async function sheltered(page: Page) {
  await page.evaluate(() => navigator.serviceWorker.ready.then(() => undefined));
}

/** Says it in a new chat, and waits for the answer; the chat's address. */
async function begin(page: Page, text: string, answer = text): Promise<string> {
  await page.goto('/chat/new');
  await say(page, text);
  await page.locator('.log .md', { hasText: answer }).last().waitFor();
  await page.locator('.talk > header .st').waitFor({ state: 'detached' });
  await page.waitForURL(/\/chat\/[0-9a-f-]{36}$/);
  return new URL(page.url()).pathname;
}

async function isKept(page: Page, ...addresses: string[]) {
  for (const address of addresses)
    await expect.poll(() => keptChats(page), { timeout: PATIENCE * 2 }).toContain(address.split('/').at(-1));
}

describe.each(sizes)('without a network, on a %s', (size) => {
  it('every page opens, and recent chats are read, also those that were never opened here', async () => {
    const other = await visit(browser);
    const first = await begin(other.page, `echo the train to Bern, ${size}`);
    const second = await begin(other.page, 'markdown', 'The end of it.');
    await other.context.close();

    const { context, page, faults } = await visit(browser, { size });
    await sheltered(page);
    await isKept(page, first, second);
    await context.setOffline(true);
    await page.goto('/chat');
    await page
      .getByText(/^As it was /)
      .first()
      .waitFor();
    await picture(page, `offline-list-${size}`);
    expect(await broken(page)).toEqual([]);
    await page.locator(`.threads a[href="${first}"]`).click();
    await page.locator('.log .md', { hasText: `the train to Bern, ${size}` }).waitFor();
    await page
      .locator('.talk > header')
      .getByText(/^As it was /)
      .waitFor();
    // Whole, as it would be with a network, after a reload of its own address.
    await page.goto(second);
    await page.locator('.md h2', { hasText: 'Trains to Hamburg' }).waitFor();
    await page
      .locator('.talk > header')
      .getByText(/^As it was /)
      .waitFor();
    await page.getByText('Offline. You can read', { exact: false }).waitFor();
    await picture(page, `offline-chat-${size}`);
    expect(await broken(page)).toEqual([]);
    expect(await fits(page)).toBe(true);
    // The composer stays in the window, below the bar.
    const send = await page.locator('.composer').boundingBox();
    expect((send?.y ?? 0) + (send?.height ?? 0)).toBeLessThanOrEqual(SIZES[size].height);
    for (const [name, path] of [
      ['today', '/'],
      ['needs-you', '/needs-you'],
      ['settings', '/settings'],
      ['new', '/chat/new'],
      ['search', '/chat/search'],
    ] as const) {
      await page.goto(path);
      await page.locator('#main').waitFor();
      await picture(page, `offline-${name}-${size}`);
      await page.locator('.bars', { hasText: 'Offline. You can read' }).waitFor();
      expect([name, await broken(page)]).toEqual([name, []]);
    }
    // One that is not kept says so, and opens by itself when there is a network again.
    await page.goto(`/chat/${crypto.randomUUID()}`);
    await page.getByText('This chat is not kept on this device.', { exact: false }).waitFor();
    await page.goto(first);
    await page
      .locator('.talk > header')
      .getByText(/^As it was /)
      .waitFor();
    await context.setOffline(false);
    await page.locator('.talk > header').getByText('Chief of Staff').waitFor();
    await expect.poll(() => page.getByText(/^As it was /).count(), { timeout: PATIENCE }).toBe(0);
    expect(faults).toEqual([]);
    await context.close();
  });

  it('what was said meanwhile comes without moving what is being read', async () => {
    const other = await visit(browser);
    const parts = Array.from(
      { length: 40 },
      (_, index) => `## Part ${index}\n\nSome words about it, as many as fill a line or two.\n\n`,
    );
    const address = await begin(
      other.page,
      `play ${JSON.stringify([[`${parts.join('')}The end of it.`]])}`,
      'The end of it.',
    );
    const { context, page, faults } = await visit(browser, { size });
    await sheltered(page);
    await isKept(page, address);
    await context.setOffline(true);
    await page.goto(address);
    const headings = page.locator('.md h2');
    await headings.last().waitFor();
    const read = headings.nth(Math.floor((await headings.count()) / 2));
    await read.evaluate((heading) => heading.scrollIntoView({ block: 'center' }));
    const top = () => read.evaluate((heading) => Math.round(heading.getBoundingClientRect().top));
    // The layout below may still settle while it is first drawn.
    await expect.poll(async () => (await top()) > 100 && (await top()) < SIZES[size].height - 100).toBe(true);
    await say(other.page, 'echo said meanwhile');
    await other.page.locator('.log .md', { hasText: 'echo said meanwhile' }).waitFor();
    const bar = page.locator('.bars .bar');
    const barred = await bar.evaluate((element) => element.getBoundingClientRect().height);
    const before = await top();
    await context.setOffline(false);
    await page.locator('.log .md', { hasText: 'echo said meanwhile' }).waitFor({ state: 'attached' });
    await bar.waitFor({ state: 'detached' });
    // The bar goes from above; what is read stays, or moves by no more than it.
    expect(Math.abs((await top()) - before)).toBeLessThanOrEqual(Math.ceil(barred));
    expect(await read.isVisible()).toBe(true);
    await page.getByRole('button', { name: 'New text below' }).click();
    await page.locator('.log .md', { hasText: 'echo said meanwhile' }).waitFor();
    expect(faults).toEqual([]);
    await context.close();
    await other.context.close();
  });
});

describe('what this browser keeps', () => {
  it('goes when somebody signs out, or is signed out from elsewhere', async () => {
    const { context, page } = await visit(browser);
    const address = await begin(page, 'echo a secret');
    await isKept(page, address);
    const devices = await context.request.get('/api/devices');
    const { items } = (await devices.json()) as { items: { id: string; current: boolean }[] };
    const mine = items.find((device) => device.current);
    await fetch(new URL(`/api/devices/${mine?.id}`, URL_OF), { method: 'DELETE', headers: { 'X-API-Key': KEY } });
    await page.getByRole('heading', { name: 'Sign in again' }).waitFor();
    await expect.poll(() => keptChats(page), { timeout: PATIENCE }).toEqual([]);
    await page.getByLabel('Key').fill(KEY);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await composer(page).waitFor();
    await isKept(page, address);
    await composer(page).fill('half a thought');
    // In the menu, or in the settings: both end in the same.
    await page.goto('/settings');
    await page.getByRole('button', { name: 'Personal' }).first().click();
    await page.getByRole('button', { name: 'Sign out', exact: true }).first().click();
    await page.getByRole('heading', { name: 'Your key' }).waitFor();
    await expect.poll(() => keptChats(page), { timeout: PATIENCE }).toEqual([]);
    const left = await page.evaluate(() => JSON.stringify(localStorage));
    expect(left).not.toContain('half a thought');
    await context.close();
  });

  it('is that of the person and profile that is open', async () => {
    const { context, page } = await visit(browser);
    const address = await begin(page, 'echo only personal');
    await isKept(page, address);
    // What another person or profile left here goes as soon as this one begins.
    await page.evaluate(
      () =>
        new Promise<void>((resolve, reject) => {
          const opened = indexedDB.open('adjutant');
          opened.onsuccess = () => {
            const change = opened.result.transaction(['chats', 'talks'], 'readwrite');
            for (const scope of ['owner/another', 'owner/personal2', 'anybody/personal', 'zoe/work'])
              for (const store of ['chats', 'talks']) change.objectStore(store).put([], `${scope}/left-behind`);
            change.oncomplete = () => {
              opened.result.close();
              resolve();
            };
            change.onerror = () => reject(change.error);
          };
        }),
    );
    await isKept(page, 'left-behind');
    await page.reload();
    for (const store of ['chats', 'talks'])
      await expect.poll(() => keptChats(page, store), { timeout: PATIENCE }).not.toContain('left-behind');
    await isKept(page, address);
    await context.close();
  });
});

describe('installed', () => {
  it('the manifest has no faults, and the browser would install it', async () => {
    const { context, page, faults } = await visit(browser);
    await sheltered(page);
    const link = await context.newCDPSession(page);
    const { errors, data, url } = await link.send('Page.getAppManifest');
    expect(url).toBe(new URL('/manifest.webmanifest', URL_OF).href);
    expect(errors).toEqual([]);
    const { installabilityErrors } = await link.send('Page.getInstallabilityErrors');
    // A context of a journey is a private window, where nothing is installed: that alone may be said.
    expect(installabilityErrors.map(({ errorId }) => errorId).filter((id) => id !== 'in-incognito')).toEqual([]);
    const manifest = JSON.parse(data ?? '{}') as Record<string, never> & {
      icons: { src: string; sizes: string; purpose?: string }[];
      shortcuts: { name: string; url: string; icons: { src: string }[] }[];
    };
    expect(manifest).toMatchObject({ display: 'standalone', start_url: '/', scope: '/', id: '/' });
    const pictures = [
      ...manifest.icons,
      ...manifest.shortcuts.flatMap(({ icons }) => icons),
      { src: '/apple-touch-icon.png' },
    ];
    for (const { src } of pictures) {
      const size = await page.evaluate(async (address) => {
        const image = new Image();
        image.src = address;
        await image.decode();
        return [image.naturalWidth, image.naturalHeight];
      }, src);
      expect(size[0]).toBe(size[1]);
      const said = manifest.icons.find((icon) => icon.src === src)?.sizes;
      if (said && said !== 'any') expect(`${size[0]}x${size[1]}`).toBe(said);
    }
    expect(manifest.icons.some(({ purpose }) => purpose === 'maskable')).toBe(true);
    expect(await page.locator('link[rel=apple-touch-icon]').getAttribute('href')).toBe('/apple-touch-icon.png');
    // Each shortcut leads to the page that it names.
    for (const { url: path, name } of manifest.shortcuts) {
      await page.goto(path);
      await expect.poll(() => page.title()).toMatch(new RegExp(`^(\\(\\d+\\) )?${name} · Adjutant$`));
    }
    expect(faults).toEqual([]);
    await context.close();
  });

  it('the number at its icon is that of what waits, and goes with it', async () => {
    const { context, page, faults } = await visit(browser, { signedOut: true });
    await context.addInitScript(() => {
      const told: number[] = [];
      Object.assign(globalThis, { told });
      Object.assign(navigator, {
        setAppBadge: (count: number) => Promise.resolve(void told.push(count)),
        clearAppBadge: () => Promise.resolve(void told.push(0)),
      });
    });
    await context.request.post('/api/session', {
      headers: { 'X-API-Key': KEY, Origin: URL_OF },
      data: { label: 'badge' },
    });
    const last = () => page.evaluate(() => (globalThis as unknown as { told: number[] }).told.at(-1));
    await page.goto('/chat/new');
    await composer(page).waitFor();
    const nothing = (await last()) ?? 0;
    await say(page, 'effect badge');
    const slip = page.getByRole('group', { name: /effect\?$/i });
    await slip.waitFor();
    await expect.poll(last, { timeout: PATIENCE }).toBe(nothing + 1);
    await slip.getByRole('button', { name: 'Deny', exact: true }).click();
    await expect.poll(last, { timeout: PATIENCE }).toBe(nothing);
    expect(faults).toEqual([]);
    await context.close();
  });

  it.each([
    ['light', '#f3f5f2'],
    ['dark', '#12181b'],
  ] as const)('in the %s the browser around it has the colour of the page', async (theme, colour) => {
    const { context, page } = await visit(browser, { theme });
    await page.locator('#main').waitFor();
    const shown = () =>
      page.evaluate(() => {
        const metas = [...document.querySelectorAll<HTMLMetaElement>('meta[name=theme-color]')];
        return metas.find((meta) => matchMedia(meta.media || 'all').matches)?.content;
      });
    expect(await shown()).toBe(colour);
    const paper = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const [red, green, blue] = paper.match(/\d+/g)?.map(Number) ?? [];
    const hex = [red, green, blue].map((part) => (part ?? 0).toString(16).padStart(2, '0')).join('');
    expect(`#${hex}`).toBe(colour);
    // A choice of one's own goes before the system's.
    await page.evaluate(
      (chosen) => localStorage.setItem('adjutant.theme', chosen),
      theme === 'dark' ? 'light' : 'dark',
    );
    await page.reload();
    await page.locator('#main').waitFor();
    expect(await shown()).toBe(theme === 'dark' ? '#f3f5f2' : '#12181b');
    await context.close();
  });
});

describe('a new version', () => {
  it('is said and not taken; taken, it keeps the draft; the other tab is told, and old caches go', async () => {
    const house = await gate();
    const { context, page, faults } = await through(browser, house);
    await sheltered(page);
    await page.goto('/chat/new');
    await composer(page).fill('half a thought, before');
    const second = await context.newPage();
    await second.goto('/settings');
    await second.locator('#main').waitFor();
    const caches = () => page.evaluate(() => globalThis.caches.keys());
    const [old] = await caches();
    // A newer build: another version, whose shell has another page than the one that is open.
    house.worker = (script) =>
      script.replace(/VERSION="[0-9a-f]+"/, 'VERSION="newer"').replace(/"\/assets\/index-[^"]+\.js",?/, '');
    let loads = 0;
    page.on('load', () => (loads += 1));
    await page.evaluate(async () => (await navigator.serviceWorker.getRegistration())?.update());
    await page.getByText('A new version is ready.').waitFor();
    await second.getByText('A new version is ready.').waitFor();
    await picture(page, 'update');
    expect(await broken(page)).toEqual([]);
    // Nothing moves under the hands of who writes.
    await composer(page).fill('half a thought, before and behind');
    expect(loads).toBe(0);
    expect((await caches()).toSorted()).toEqual([old, 'shell-newer'].toSorted());
    // It waits: a page that runs still finds the parts of its own version.
    const waits = () =>
      page.evaluate(async () => (await navigator.serviceWorker.getRegistration())?.waiting?.state ?? 'none');
    expect(await waits()).toBe('installed');
    await page.getByRole('button', { name: 'Reload' }).click();
    await expect.poll(() => loads, { timeout: PATIENCE }).toBe(1);
    await composer(page).waitFor();
    expect(await composer(page).inputValue()).toBe('half a thought, before and behind');
    await expect.poll(caches, { timeout: PATIENCE }).toEqual(['shell-newer']);
    expect(old).not.toBe('shell-newer');
    await page.getByText('A new version is ready.').waitFor({ state: 'detached' });
    // The other tab runs the old page still: it says so, until somebody reloads it.
    await second.getByRole('button', { name: 'Reload' }).click();
    await second.getByText('A new version is ready.').waitFor({ state: 'detached' });
    await say(page, 'echo on the new one');
    await answered(page, 'echo on the new one');
    expect(faults).toEqual([]);
    await context.close();
    house.close();
  });

  it('that came with the page itself is taken without a word', async () => {
    const house = await gate();
    const { context, page, faults } = await through(browser, house);
    await sheltered(page);
    // The server was renewed while nobody looked; the page that is opened now is of the new build.
    house.worker = (script) => script.replace(/VERSION="[0-9a-f]+"/, 'VERSION="newer"');
    await page.goto('/chat/new');
    await expect
      .poll(() => page.evaluate(() => globalThis.caches.keys()), { timeout: PATIENCE })
      .toEqual(['shell-newer']);
    expect(await page.getByText('A new version is ready.').count()).toBe(0);
    expect(faults).toEqual([]);
    await context.close();
    house.close();
  });
});

describe('what is being written', () => {
  it('belongs to its chat, over a change of chats, a reload and a crash, and goes when it is sent', async () => {
    const { context, page, faults } = await visit(browser);
    const one = await begin(page, 'echo chat one');
    const two = await begin(page, 'echo chat two');
    await composer(page).fill('for two');
    // At once, without a pause in which anything could be kept.
    await page.locator(`.threads a[href="${one}"]`).click();
    await page.locator('.log', { hasText: 'chat one' }).waitFor();
    expect(await composer(page).inputValue()).toBe('');
    await composer(page).fill('for one');
    await page.reload();
    await composer(page).waitFor();
    expect(await composer(page).inputValue()).toBe('for one');
    await page.locator(`.threads a[href="${two}"]`).click();
    await page.locator('.log', { hasText: 'chat two' }).waitFor();
    await expect.poll(() => composer(page).inputValue(), { timeout: PATIENCE }).toBe('for two');
    await composer(page).fill('echo for two, sent');
    const crashed = page.waitForEvent('crash');
    void page.goto('chrome://crash').catch(() => {});
    await crashed;
    const after = await context.newPage();
    await after.goto(two);
    await expect.poll(() => composer(after).inputValue(), { timeout: PATIENCE }).toBe('echo for two, sent');
    await after.keyboard.press('Enter');
    await after.locator('.log .md', { hasText: 'for two, sent' }).waitFor();
    expect(await composer(after).inputValue()).toBe('');
    await after.reload();
    await after.locator('.log .md', { hasText: 'for two, sent' }).waitFor();
    expect(await composer(after).inputValue()).toBe('');
    await after.goto(one);
    await expect.poll(() => composer(after).inputValue(), { timeout: PATIENCE }).toBe('for one');
    expect(faults).toEqual([]);
    await context.close();
  });

  it('is the same in two tabs of a chat, and two new chats are two', async () => {
    const { context, page, faults } = await visit(browser);
    const address = await begin(page, 'echo shared');
    const second = await context.newPage();
    await second.goto(address);
    await composer(second).waitFor();
    await composer(page).fill('begun here');
    await expect.poll(() => composer(second).inputValue(), { timeout: PATIENCE }).toBe('begun here');
    await composer(second).fill('echo begun here, ended there');
    await expect.poll(() => composer(page).inputValue(), { timeout: PATIENCE }).toBe('echo begun here, ended there');
    await second.keyboard.press('Enter');
    await second.locator('.log .md', { hasText: 'ended there' }).waitFor();
    await expect.poll(() => composer(page).inputValue(), { timeout: PATIENCE }).toBe('');
    // A second new chat is another message, and neither takes the other's place.
    await page.goto('/chat/new');
    await composer(page).fill('a letter');
    await second.goto('/chat/new');
    await composer(second).waitFor();
    expect(await composer(second).inputValue()).toBe('');
    await composer(second).fill('a list');
    await page.reload();
    await composer(page).waitFor();
    expect(await composer(page).inputValue()).toBe('a letter');
    await second.reload();
    await composer(second).waitFor();
    expect(await composer(second).inputValue()).toBe('a list');
    // Of a tab that is closed, the next new chat takes it up.
    await second.close();
    const third = await context.newPage();
    await third.goto('/chat/new');
    await expect.poll(() => composer(third).inputValue(), { timeout: PATIENCE }).toBe('a list');
    expect(faults).toEqual([]);
    await context.close();
  });

  it('goes on in the chat that it began', async () => {
    const { context, page, faults } = await visit(browser);
    await page.goto('/chat/new');
    await say(page, 'hold the first');
    // Written while the chat gets its address.
    await composer(page).pressSequentially('and the second');
    await page.waitForURL(/\/chat\/[0-9a-f-]{36}$/);
    await expect.poll(() => composer(page).inputValue(), { timeout: PATIENCE }).toBe('and the second');
    await control('release');
    await page.locator('.log .md', { hasText: 'and the rest.' }).waitFor();
    await page.goto('/chat/new');
    await composer(page).waitFor();
    expect(await composer(page).inputValue()).toBe('');
    expect(faults).toEqual([]);
    await context.close();
  });

  it('is there over a reload also where an earlier message is rewritten, beside what was begun, until it is left or sent', async () => {
    const { context, page, faults } = await visit(browser);
    const address = await begin(page, 'echo said at first');
    await composer(page).fill('half a reply');
    const edit = async () => {
      await page.locator('.log article', { hasText: 'echo said at first' }).first().hover();
      await page.getByRole('button', { name: 'Edit' }).first().click();
      await page.getByText('You edit an earlier message.').waitFor();
    };
    await edit();
    await composer(page).fill('echo said bet');
    await page.reload();
    await page.getByText('You edit an earlier message.').waitFor();
    expect(await composer(page).inputValue()).toBe('echo said bet');
    await page.keyboard.press('Escape');
    await expect.poll(() => composer(page).inputValue(), { timeout: PATIENCE }).toBe('half a reply');
    await page.reload();
    await page.locator('.log .md', { hasText: 'echo said at first' }).waitFor();
    expect(await composer(page).inputValue()).toBe('half a reply');
    await edit();
    expect(await composer(page).inputValue()).toBe('echo said at first');
    // Looked at and not changed, it is nothing to come back to.
    await page.reload();
    await page.locator('.log .md', { hasText: 'echo said at first' }).waitFor();
    await expect.poll(() => composer(page).inputValue(), { timeout: PATIENCE }).toBe('half a reply');
    await edit();
    await composer(page).fill('echo said better');
    await page.getByRole('button', { name: 'Save and run' }).click();
    await page.locator('.log .md', { hasText: 'echo said better' }).waitFor();
    await page.goto('/chat');
    await page.goto(address);
    await page.locator('.log .md', { hasText: 'echo said better' }).waitFor();
    expect(await composer(page).inputValue()).toBe('half a reply');
    expect(faults).toEqual([]);
    await context.close();
  });

  it('is there after the session ran out and somebody signed in again', async () => {
    const { context, page } = await visit(browser);
    const address = await begin(page, 'echo before it ran out');
    await composer(page).fill('half a reply');
    const devices = await context.request.get('/api/devices');
    const { items } = (await devices.json()) as { items: { id: string; current: boolean }[] };
    const mine = items.find((device) => device.current);
    await fetch(new URL(`/api/devices/${mine?.id}`, URL_OF), { method: 'DELETE', headers: { 'X-API-Key': KEY } });
    await page.getByRole('heading', { name: 'Sign in again' }).waitFor();
    await page.getByLabel('Key').fill(KEY);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await composer(page).waitFor();
    expect(new URL(page.url()).pathname).toBe(address);
    expect(await composer(page).inputValue()).toBe('half a reply');
    await context.close();
  });
});

describe('a lost connection', () => {
  it.each(sizes)('is said calmly, costs nothing, and heals by itself, on a %s', async (size) => {
    const { context, page, faults } = await visit(browser, { size });
    await begin(page, 'echo before the loss');
    await composer(page).fill('half a thought');
    const place = () => page.locator('.composer').evaluate((element) => element.getBoundingClientRect().bottom);
    const before = await place();
    await control('stop');
    await page.getByText('Offline. You can read; what you send waits.').waitFor();
    await picture(page, `lost-${size}`);
    expect(await broken(page)).toEqual([]);
    // The bar takes its room from the text, and the composer stays where it was.
    expect(Math.abs((await place()) - before)).toBeLessThanOrEqual(1);
    expect(await fits(page)).toBe(true);
    await control('start');
    await page.locator('.bars .bar').waitFor({ state: 'detached', timeout: PATIENCE * 2 });
    expect(await composer(page).inputValue()).toBe('half a thought');
    await say(page, 'echo after the loss');
    await page.locator('.log .md', { hasText: 'echo after the loss' }).waitFor();
    expect(faults).toEqual([]);
    await context.close();
  });

  it('behind a proxy that says so is one, too, and no end of the session', async () => {
    const house = await gate();
    const { context, page, faults } = await through(browser, house);
    const address = await begin(page, 'echo behind a proxy');
    await sheltered(page);
    await isKept(page, address);
    house.isAway = true;
    await page.reload();
    await page.locator('.log .md', { hasText: 'echo behind a proxy' }).waitFor();
    await page
      .locator('.talk > header')
      .getByText(/^As it was /)
      .waitFor();
    house.isAway = false;
    await page
      .locator('.talk > header')
      .getByText('Chief of Staff')
      .waitFor({ timeout: PATIENCE * 2 });
    await page
      .locator('.threads')
      .getByText(/^As it was /)
      .waitFor({ state: 'detached' });
    await say(page, 'echo through again');
    await page.locator('.log .md', { hasText: 'echo through again' }).waitFor();
    expect(faults).toEqual([]);
    await context.close();
    house.close();
  });

  it('over a sleep is noticed at waking', async () => {
    const { context, page, faults } = await visit(browser);
    const address = await begin(page, 'echo before the sleep');
    const link = await context.newCDPSession(page);
    await context.setOffline(true);
    await page.getByText('Offline. You can read', { exact: false }).waitFor();
    // Asleep it is hidden and frozen; what happens meanwhile is told at waking.
    await link.send('Page.setWebLifecycleState', { state: 'frozen' });
    const other = await visit(browser);
    await other.page.goto(address);
    await say(other.page, 'echo while you slept');
    await other.page.locator('.log .md', { hasText: 'echo while you slept' }).waitFor();
    await context.setOffline(false);
    await link.send('Page.setWebLifecycleState', { state: 'active' });
    await page.locator('.log .md', { hasText: 'echo while you slept' }).waitFor();
    await page.locator('.bars .bar').waitFor({ state: 'detached' });
    expect([...faults, ...other.faults]).toEqual([]);
    await other.context.close();
    await context.close();
  });
});

/** Goes through all pages, with something on each, and opens what can be opened there. */
async function throughPages(page: Page, look: (name: string) => Promise<void>) {
  const act = (name: string | RegExp) => page.getByRole('button', { name, exact: true }).first();
  await begin(page, 'markdown', 'The end of it.');
  await look('chat');
  await act('Chat menu').click();
  await look('chat, menu');
  await page.keyboard.press('Escape');
  await page.goto('/chat/new');
  await say(page, 'effect thumbs');
  const slip = page.getByRole('group', { name: /effect\?$/i });
  await slip.waitFor();
  await look('approval');
  await slip.getByRole('button', { name: 'Deny with a reason' }).click();
  await look('approval, reason');
  await act('Back').click();
  for (const path of ['/', '/chat', '/chat/new', '/chat/search', '/chat/archive', '/needs-you', '/settings']) {
    await page.goto(path);
    await page.locator('#main').waitFor();
    await page.waitForLoadState('networkidle');
    await look(path);
  }
  for (const name of ['Add a model', 'Add key for Anthropic', 'Add server', 'Make a key', 'Write your own'])
    await act(name).click();
  await look('/settings, forms');
  await act('Back to the default').click();
  await page.goto('/chat');
  await act(/^Menu of “/).click();
  await act('Rename').click();
  await page.getByRole('textbox', { name: /^Title of/ }).waitFor();
  await look('/chat, rename');
  await page.keyboard.press('Escape');
  await page.keyboard.press('Control+k');
  await page.getByRole('combobox', { name: 'Find anything' }).waitFor();
  await look('/chat, box');
  await page.goto('/needs-you');
  await slip.getByRole('button', { name: 'Deny', exact: true }).click();
  await slip.waitFor({ state: 'detached' });
}

describe('on a telephone', () => {
  it('a finger hits everything, no field zooms, and nothing is wider than the window', async () => {
    const { context, page, faults } = await visit(browser, { size: 'phone' });
    const found: Record<string, string[]> = {};
    await throughPages(page, async (name) => {
      const faulty = [...(await tooSmall(page)), ...(await zooming(page)), ...(await tooWide(page))];
      if (faulty.length > 0) found[name] = faulty;
    });
    expect(found).toEqual({});
    // Small text is no reason for small targets, nor for fields that zoom.
    await page.evaluate(() => localStorage.setItem('adjutant.size', '90'));
    for (const path of ['/', '/chat', '/chat/new', '/settings']) {
      await page.goto(path);
      await page.locator('#main').waitFor();
      await page.waitForLoadState('networkidle');
      expect([path, ...(await tooSmall(page)), ...(await zooming(page))]).toEqual([path]);
    }
    expect(faults).toEqual([]);
    await context.close();
  });

  it('also the narrowest window holds everything', async () => {
    const { context, page } = await visit(browser, { size: 'phone' });
    await page.setViewportSize({ width: 320, height: 568 });
    const found: Record<string, string[]> = {};
    await throughPages(page, async (name) => {
      const wide = await tooWide(page);
      if (wide.length > 0) found[name] = wide;
      await picture(page, `narrow${name.replaceAll('/', '-')}`);
    });
    expect(found).toEqual({});
    await context.close();
  });

  it('the way in is for fingers, too', async () => {
    const { context, page } = await visit(browser, { size: 'phone', signedOut: true });
    await page.getByRole('heading', { name: 'Your key' }).waitFor();
    expect([...(await tooSmall(page)), ...(await zooming(page)), ...(await tooWide(page))]).toEqual([]);
    await context.close();
  });

  it('nothing lies under a notch or the bar at the bottom', async () => {
    const { context, page, faults } = await visit(browser, { size: 'phone' });
    const address = await begin(page, 'echo under the notch');
    const link = await context.newCDPSession(page);
    const insets = { top: 47, bottom: 34, left: 0, right: 0 };
    await link.send('Emulation.setSafeAreaInsetsOverride', { insets });
    const edges = () =>
      page.evaluate(() => {
        const all = [...document.querySelectorAll<HTMLElement>('a[href], button, textarea, h1')];
        const seen = all.filter((one) => one.checkVisibility() && !one.closest('.vh, .skip, [popover]'));
        // What scrolls may lie under the edges; what stands must not.
        const stands = seen.filter((one) => !one.closest('.scroll, .threads, .page'));
        const boxes = stands.map((one) => one.getBoundingClientRect()).filter((box) => box.width > 2);
        return [
          Math.min(...boxes.map(({ top }) => top)),
          Math.max(...boxes.map(({ bottom }) => bottom)),
          Math.min(...boxes.map(({ left }) => left)),
          Math.max(...boxes.map(({ right }) => right)),
        ] as const;
      });
    await expect.poll(async () => (await edges())[0], { timeout: PATIENCE }).toBeGreaterThanOrEqual(47);
    expect((await edges())[1]).toBeLessThanOrEqual(844 - 34);
    await picture(page, 'notch-chat');
    await page.goto('/');
    await page.locator('#main').waitFor();
    expect((await edges())[1]).toBeLessThanOrEqual(844 - 34);
    const title = await page.locator('#main h1').first().boundingBox();
    expect(title?.y).toBeGreaterThanOrEqual(47);
    await picture(page, 'notch-today');
    // Held sideways, the notch is at a side.
    await page.setViewportSize({ width: 844, height: 390 });
    await link.send('Emulation.setSafeAreaInsetsOverride', { insets: { top: 0, bottom: 21, left: 47, right: 47 } });
    await page.goto(address);
    await composer(page).waitFor();
    await expect.poll(async () => (await edges())[2], { timeout: PATIENCE }).toBeGreaterThanOrEqual(47);
    expect((await edges())[3]).toBeLessThanOrEqual(844 - 47);
    expect((await edges())[1]).toBeLessThanOrEqual(390);
    await picture(page, 'notch-sideways');
    expect(faults).toEqual([]);
    await context.close();
  });

  it('the composer stands above the keyboard', async () => {
    const { context, page, faults } = await visit(browser, { size: 'phone' });
    await begin(page, 'markdown', 'The end of it.');
    const foot = () => page.locator('.composer').evaluate((element) => element.getBoundingClientRect().bottom);
    // Where the keyboard makes the window smaller, and the end of the talk stays in sight.
    await composer(page).focus();
    await page.setViewportSize({ width: 390, height: 500 });
    await expect.poll(foot, { timeout: PATIENCE }).toBeLessThanOrEqual(500);
    await page.getByText('The end of it.').last().waitFor();
    await picture(page, 'keyboard-resized');
    await page.setViewportSize(SIZES.phone);
    // Where it only covers the window, and the browser scrolls what is seen: an iPhone.
    await page.evaluate(() => {
      const view = window.visualViewport;
      if (!view) return;
      Object.defineProperties(view, {
        height: { get: () => 510, configurable: true },
        offsetTop: { get: () => 120, configurable: true },
      });
      view.dispatchEvent(new Event('resize'));
    });
    await expect.poll(foot, { timeout: PATIENCE }).toBeLessThanOrEqual(120 + 510);
    const head = await page.locator('.talk > header').boundingBox();
    expect(head?.y).toBeGreaterThanOrEqual(120);
    await picture(page, 'keyboard-covered');
    // Return makes a new line here; the button sends.
    await composer(page).fill('echo two');
    await page.keyboard.press('Enter');
    await page.keyboard.type('lines');
    expect(await composer(page).inputValue()).toBe('echo two\nlines');
    await page.evaluate(() => {
      const view = window.visualViewport as unknown as Record<string, unknown>;
      delete view['height'];
      delete view['offsetTop'];
      window.visualViewport?.dispatchEvent(new Event('resize'));
    });
    await expect.poll(foot, { timeout: PATIENCE }).toBeGreaterThan(700);
    expect(faults).toEqual([]);
    await context.close();
  });
});
