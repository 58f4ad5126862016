// What a chat costs, who answers in it, how it is taken along; whose page it is; and the ways between pages
// (UI.md 22, 23 and 40).
import { readFileSync } from 'node:fs';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Rest } from './rest';
import { answered, broken, composer, fits, launch, PATIENCE, picture, say, SIZES, visit, type Size } from './support';

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(async () => {
  await browser.close();
});

const sizes = Object.keys(SIZES) as Size[];
const CHAT = /\/chat\/[0-9a-f]{8}-[0-9a-f-]{27}$/;

interface Run {
  id: string;
  threadId: string;
}

async function fileOf(page: Page, word: string): Promise<{ name: string; text: string }> {
  const download = page.waitForEvent('download');
  await page.getByRole('button', { name: 'Chat menu' }).click();
  await page.getByRole('button', { name: word }).click();
  const file = await download;
  return { name: file.suggestedFilename(), text: readFileSync(await file.path(), 'utf8') };
}

describe.each(sizes)('on a %s', (size) => {
  it('the gauge says how full the context is and what the chat cost, and follows each run', async () => {
    const rest = await Rest.person();
    const { context, page, faults } = await visit(browser, { size, key: rest.key });
    await page.goto('/chat/new');
    await composer(page).waitFor();
    expect(await page.locator('.gauge').count()).toBe(0);
    await say(page, 'echo what does it cost?');
    await answered(page, 'what does it cost?');
    const gauge = page.locator('button.gauge');
    // What a screen reader hears is a sentence: two calls, the answer and its title, of 11 tokens in and 7 out each.
    const heard = (text: string) => page.getByRole('button', { name: text, exact: true }).waitFor();
    await heard('Context used: under 1%. Spent: $0.0002.');
    for (let turn = 0; turn < 2; turn += 1) {
      await say(page, `echo and now ${turn}?`);
      await answered(page, `and now ${turn}?`);
    }
    await heard('Context used: under 1%. Spent: $0.0003.');
    await gauge.click();
    const facts = page.locator('#gauge dl');
    await facts.waitFor();
    await expect
      .poll(async () => (await facts.locator('dd').allTextContents()).map((fact) => fact.trim()), { timeout: PATIENCE })
      .toEqual(['11 of 128k tokens (under 1%)', '44 tokens', '28 tokens', '$0.0003']);
    await picture(page, `gauge-${size}`);
    expect(await broken(page)).toEqual([]);
    expect(await fits(page)).toBe(true);
    await page.keyboard.press('Escape');
    // Where nobody told a price or a window, that is said, and nothing is made up.
    const id = CHAT.exec(page.url())?.[0] ?? '';
    await page.route('**/api/models', async (route) => {
      const answer = await route.fetch();
      const body = (await answer.json()) as { items: object[] };
      await route.fulfill({
        json: {
          ...body,
          items: body.items.map((item) => ({ ...item, contextTokens: null, inputPrice: null, outputPrice: null })),
        },
      });
    });
    await page.route(/\/api\/threads(\?|\/[0-9a-f-]+$)/, async (route) => {
      const answer = await route.fetch();
      const body = (await answer.json()) as { items?: object[] };
      const unpriced = (thread: object) => ({ ...thread, costs: [], unpricedSteps: 3 });
      await route.fulfill({ json: body.items ? { ...body, items: body.items.map(unpriced) } : unpriced(body) });
    });
    await page.goto(id);
    await answered(page, 'and now 1?');
    await heard('Tokens of context used: 11. The prices of 3 calls are not known; they are not in the sum.');
    await gauge.click();
    await page.locator('#gauge').getByText('The prices of 3 calls are not known').waitFor();
    await page.getByText('How much this model can read at once is not known.').waitFor();
    expect(faults).toEqual([]);
    await context.close();
  });

  it('a model is picked by what it can and costs, answers, and stays with its chat', async () => {
    const rest = await Rest.person();
    const { context, page, faults } = await visit(browser, { size, key: rest.key });
    await page.goto('/chat/new');
    const button = page.getByRole('button', { name: /^Model:/ });
    await button.waitFor();
    expect(await button.textContent()).toContain('Automatic');
    await button.click();
    const choice = page.getByRole('group', { name: 'Which model answers in this chat' });
    await choice.getByText('scripted first, the others if it cannot').waitFor();
    const about = async (name: string) => (await choice.locator('label', { hasText: name }).last().textContent()) ?? '';
    await expect.poll(() => about('second')).toContain('OpenAI · Text · 128k tokens');
    expect(await choice.locator('label').nth(1).textContent()).toContain('OpenAI · Text, images · 128k tokens');
    expect(await about('second')).toContain('$2.00 read, $8.00 written, per million tokens');
    await picture(page, `models-${size}`);
    expect(await broken(page)).toEqual([]);
    expect(await fits(page)).toBe(true);
    // By the keyboard: the one that is chosen has the focus, arrows choose, Enter is done.
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await choice.waitFor({ state: 'hidden' });
    expect(await button.textContent()).toContain('second');
    // The choice is there before there is a chat, also over a reload.
    await page.reload();
    await expect.poll(() => button.textContent()).toContain('second');
    await say(page, 'echo who are you?');
    await page.waitForURL(CHAT);
    await answered(page, 'who are you?');
    await expect.poll(() => button.textContent()).toContain('second');
    // Which model each run of the chat asked, the newest first: what was sent, as it left.
    const models = async (thread: string) => {
      const { items } = await rest.read<{ items: Run[] }>('/api/runs?limit=20');
      const sent = items
        .filter((run) => run.threadId === thread)
        .map((run) => rest.read<{ items: { models: string[] }[] }>(`/api/runs/${run.id}/context`));
      return (await Promise.all(sent)).map(({ items: [first] }) =>
        first ? (first.models[0] ?? 'whichever is first') : 'nothing was asked',
      );
    };
    const id = page.url().split('/').at(-1) ?? '';
    await expect.poll(() => models(id), { timeout: PATIENCE }).toEqual(['openai/second']);
    await page.reload();
    await answered(page, 'who are you?');
    await say(page, 'echo still you?');
    await answered(page, 'still you?');
    await expect.poll(() => models(id), { timeout: PATIENCE }).toEqual(['openai/second', 'openai/second']);
    // Another chat is another choice.
    await page.goto('/chat/new');
    await expect.poll(() => button.textContent()).toContain('Automatic');
    await say(page, 'echo and you?');
    await page.waitForURL(CHAT);
    await answered(page, 'and you?');
    await expect
      .poll(() => models(page.url().split('/').at(-1) ?? ''), { timeout: PATIENCE })
      .toEqual(['whichever is first']);
    await page.goto(`/chat/${id}`);
    await expect.poll(() => button.textContent()).toContain('second');
    await button.click();
    await choice.locator('label').first().click();
    await choice.waitFor({ state: 'hidden' });
    await say(page, 'echo back again?');
    await answered(page, 'back again?');
    await expect.poll(async () => (await models(id))[0], { timeout: PATIENCE }).toBe('whichever is first');
    expect(faults).toEqual([]);
    await context.close();
  });

  it('a chat is exported whole, as Markdown and as JSON, under a name that is none of its own', async () => {
    const rest = await Rest.person();
    const { context, page, faults } = await visit(browser, { size, key: rest.key });
    const id = await rest.ask('echo first of all: *stars* and `ticks`');
    for (let part = 0; part < 3; part += 1)
      await rest.steps(
        Array.from({ length: 18 }, (_, at) => `step number ${part * 18 + at}`),
        id,
      );
    const call = [[{ call: 'effects__look', args: { key: 'with ``` in it' } }], ['That was **all**.']];
    await rest.ask(`play ${JSON.stringify(call)}`, id);
    await rest.send('PATCH', `/api/threads/${id}`, { title: '../../etc/<img src=x onerror=alert(1)>: "report"?' });
    await page.goto(`/chat/${id}`);
    await answered(page, 'That was all.');
    const text = await fileOf(page, 'Export as Markdown');
    expect(text.name).toBe('etc img src x onerror alert 1 report.md');
    const lines = text.text.split('\n');
    expect(lines[0]).toBe('# ../../etc/<img src=x onerror=alert(1)>: "report"?');
    expect(text.text).toContain('echo first of all: *stars* and `ticks`');
    // All of it, in its order, each once: more than is read at once.
    const steps = [...text.text.matchAll(/^step number (\d+)$/gm)].map((found) => Number(found[1]));
    expect(steps).toEqual(Array.from({ length: 54 }, (_, at) => at));
    expect(text.text).toContain('`effects__look`\n\n````json\n{\n  "key": "with ``` in it"\n}\n````');
    expect(text.text.trimEnd().endsWith('That was **all**.')).toBe(true);
    const data = await fileOf(page, 'Export as JSON');
    expect(data.name).toBe('etc img src x onerror alert 1 report.json');
    const parsed = JSON.parse(data.text) as { thread: { id: string }; messages: { role: string; seq: number }[] };
    expect(parsed.thread.id).toBe(id);
    expect(parsed.messages.filter((message) => message.role === 'user')).toHaveLength(5);
    expect(parsed.messages.map((message) => message.seq)).toEqual(
      parsed.messages.map((message) => message.seq).toSorted((one, other) => one - other),
    );
    expect(faults).toEqual([]);
    await context.close();
  });

  it('signing out leaves nothing of the person in this browser, or says why it could not', async () => {
    const rest = await Rest.person();
    const { context, page, faults } = await visit(browser, { size, key: rest.key });
    const id = await rest.ask('echo keep this to yourself');
    await page.goto('/settings/appearance');
    await page.getByText('Dark', { exact: true }).click();
    await page.goto(`/chat/${id}`);
    await answered(page, 'keep this to yourself');
    await composer(page).fill('a secret draft');
    const other = await context.newPage();
    await other.goto('/settings/data');
    await other.getByRole('heading', { name: 'My data' }).first().waitFor();
    const account = page.getByRole('button', size === 'phone' ? { name: 'Account' } : { name: /Personal/ });
    if (size === 'phone') await page.goto('/chat');
    await page.route('**/api/session', (route) =>
      route.request().method() === 'DELETE' ? route.abort() : route.continue(),
    );
    await account.click();
    await picture(page, `account-${size}`);
    expect(await broken(page)).toEqual([]);
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('alert').getByText('cannot be reached').waitFor();
    await page.unroute('**/api/session');
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'Your key' }).waitFor();
    expect(new URL(page.url()).pathname).toBe('/');
    expect(await page.title()).toBe('Sign in · Adjutant');
    // How it looks belongs to the browser.
    expect(await page.evaluate(() => document.documentElement.dataset['theme'])).toBe('dark');
    // Nor in another tab.
    await other.getByRole('heading', { name: 'Your key' }).waitFor();
    const left = await page.evaluate(async () => {
      const texts: string[] = [JSON.stringify(localStorage), JSON.stringify(sessionStorage)];
      for (const { name } of await indexedDB.databases()) {
        const open = indexedDB.open(name ?? '');
        const base = await new Promise<IDBDatabase>((resolve) => (open.onsuccess = () => resolve(open.result)));
        for (const store of base.objectStoreNames) {
          const all = base.transaction(store).objectStore(store).getAll();
          texts.push(
            await new Promise<string>((resolve) => (all.onsuccess = () => resolve(JSON.stringify(all.result)))),
          );
        }
        base.close();
      }
      for (const name of await caches.keys())
        for (const request of await (await caches.open(name)).keys()) texts.push(request.url);
      return texts.join(' ');
    });
    // How it looks here is this browser's.
    expect(await page.evaluate(() => document.documentElement.dataset['theme'])).toBe('dark');
    for (const trace of ['secret', rest.name, 'personal', 'yourself', id, '/api/']) expect(left).not.toContain(trace);
    expect((await context.cookies()).filter((cookie) => cookie.value !== '')).toEqual([]);
    // The way back shows nothing either.
    await page.goBack();
    await page.getByRole('heading', { name: 'Your key' }).waitFor();
    expect(await page.getByText('keep this to yourself').count()).toBe(0);
    expect(faults).toEqual([]);
    await context.close();
  });

  it('a profile shows what is its own, and nothing of the other', async () => {
    const home = await Rest.person();
    const { context, page, faults } = await visit(browser, { size, key: home.key });
    const homeChat = await home.ask('echo the heron is at home');
    const work = await home.further('work', 'Work & more');
    const workChat = await work.ask('echo the pelican is at work');
    await page.goto(`/chat/${homeChat}`);
    await answered(page, 'the heron is at home');
    await composer(page).fill('half a thought at home');
    const open = async () => {
      if (size === 'phone') {
        await page.goto('/chat');
        await page.getByRole('button', { name: 'Account' }).click();
      } else await page.locator('.nav .who').click();
    };
    await open();
    await picture(page, `profiles-${size}`);
    expect(await broken(page)).toEqual([]);
    await page.getByRole('button', { name: 'Switch to Work & more' }).click();
    await page.waitForURL((url) => url.pathname === '/');
    await page.locator('#main').waitFor();
    await page.getByText('the pelican is').first().waitFor();
    expect(await page.getByText('heron').count()).toBe(0);
    await page.goto('/chat');
    await page.locator('.threads li', { hasText: 'About echo the pelican' }).waitFor();
    expect(await page.locator('.threads li').count()).toBe(1);
    await page.goto('/chat/search?q=heron');
    await page.getByText('Nothing was found for “heron”.').waitFor();
    await page.goto('/chat/search?q=pelican');
    await page.getByText('2 messages, newest first').waitFor();
    await page.goto('/chat/new');
    await composer(page).waitFor();
    expect(await composer(page).inputValue()).toBe('');
    await composer(page).fill('a thought at work');
    // A chat of the other profile is not there, and that is said calmly.
    await page.goto(`/chat/${homeChat}`);
    await page.getByRole('heading', { name: 'There is no such chat here' }).waitFor();
    expect(await page.getByText('heron').count()).toBe(0);
    await page.goto(`/chat/${workChat}`);
    await answered(page, 'the pelican is at work');
    await say(page, 'echo said at work');
    await answered(page, 'said at work');
    // Another tab, switched back, leaves this one where it is.
    const other = await context.newPage();
    await other.goto('/settings/profile');
    await other.getByRole('button', { name: 'Switch to Personal' }).last().click();
    await other.waitForURL((url) => url.pathname === '/');
    await other.goto('/chat/new');
    await composer(other).waitFor();
    expect(await composer(other).inputValue()).toBe('');
    await page.reload();
    await answered(page, 'said at work');
    await open();
    await page.getByRole('button', { name: 'Switch to Personal' }).click();
    await page.waitForURL((url) => url.pathname === '/');
    await page.goto(`/chat/${homeChat}`);
    await answered(page, 'the heron is at home');
    await expect.poll(() => composer(page).inputValue()).toBe('half a thought at home');
    expect(await page.getByText('pelican').count()).toBe(0);
    expect(faults).toEqual([]);
    await context.close();
  });

  it('every page has its title, the focus comes along, and back leads to the same place', async () => {
    const rest = await Rest.person();
    const { context, page, faults } = await visit(browser, { size, key: rest.key });
    const long = await rest.steps(Array.from({ length: 12 }, (_, at) => `part ${at} ${'and more '.repeat(80)}`));
    await Promise.all(Array.from({ length: 30 }, (_, at) => rest.ask(`echo chat number ${at} of many`)));
    await page.goto('/');
    await page.getByRole('heading', { level: 1 }).waitFor();
    const focused = () => page.evaluate(() => document.activeElement?.tagName);
    const nav = page.getByRole('navigation', { name: 'Main' });
    for (const [link, title] of [
      ['Settings', 'Settings · Adjutant'],
      ['Needs you', 'Needs you · Adjutant'],
      ['Today', 'Today · Adjutant'],
    ] as const) {
      await nav.getByRole('link', { name: link }).click();
      await expect.poll(() => page.title(), { timeout: PATIENCE }).toBe(title);
      await expect.poll(focused).toBe('H1');
    }
    // A long page that was scrolled, another one from its beginning, and back to the same place.
    await nav.getByRole('link', { name: 'Settings' }).click();
    await page.getByRole('heading', { name: 'My data' }).first().waitFor();
    await page.waitForLoadState('networkidle');
    await page.mouse.move(195, 400);
    await page.evaluate(() => scrollTo(0, 900));
    await nav.getByRole('link', { name: 'Today' }).click();
    await expect.poll(() => page.title()).toBe('Today · Adjutant');
    expect(await page.evaluate(() => scrollY)).toBe(0);
    await page.goBack();
    await expect.poll(() => page.title()).toBe('Settings · Adjutant');
    await expect.poll(() => page.evaluate(() => scrollY), { timeout: PATIENCE }).toBe(900);
    // And forward, to where it was left by the way back.
    await page.mouse.wheel(0, -600);
    await expect.poll(() => page.evaluate(() => scrollY)).toBe(300);
    await page.goBack();
    await expect.poll(() => page.title()).toBe('Today · Adjutant');
    await page.goForward();
    await expect.poll(() => page.title()).toBe('Settings · Adjutant');
    await expect.poll(() => page.evaluate(() => scrollY), { timeout: PATIENCE }).toBe(300);
    // The list of chats, and a place in a conversation.
    await page.goto('/chat');
    await page.locator('.threads li').nth(30).waitFor();
    if (size === 'phone') {
      await expect.poll(() => page.title()).toBe('Chats · Adjutant');
      await page.evaluate(() => scrollTo(0, 600));
      // A chat in the middle of the window: one out of view would be scrolled to.
      await page.mouse.click(150, 420);
      await page.waitForURL(CHAT);
      await page.goBack();
      await expect.poll(() => page.evaluate(() => scrollY), { timeout: PATIENCE }).toBe(600);
    }
    await page.goto(`/chat/${long}`);
    await answered(page, 'played');
    await page.waitForLoadState('networkidle');
    await page.locator('.scroll').evaluate((it) => (it.scrollTop = -900));
    /** Which message stands at the upper edge, and how far below it. */
    const place = () =>
      page.locator('.scroll').evaluate((it) => {
        const edge = it.getBoundingClientRect().top;
        const first = [...it.querySelectorAll('article')].find((one) => one.getBoundingClientRect().bottom > edge);
        return first ? `${first.id} ${Math.round((first.getBoundingClientRect().top - edge) / 4)}` : '';
      });
    let before = '';
    // The messages get their real height as they are seen.
    await expect
      .poll(async () => {
        const [last, now] = [before, await place()];
        before = now;
        return now !== '' && last === now;
      })
      .toBe(true);
    await page.evaluate(() => {
      const link = Object.assign(document.createElement('a'), { href: '/settings', textContent: 'away' });
      document.querySelector('#main')?.append(link);
      link.click();
    });
    await expect.poll(() => page.title()).toBe('Settings · Adjutant');
    await page.goBack();
    await answered(page, 'played');
    await expect.poll(place, { timeout: PATIENCE }).toBe(before);
    await page.goForward();
    await expect.poll(() => page.title()).toBe('Settings · Adjutant');
    expect(faults).toEqual([]);
    await context.close();
  });

  it('an address at which there is nothing says so and leads on', async () => {
    const rest = await Rest.person();
    const { context, page, faults } = await visit(browser, { size, key: rest.key });
    for (const id of ['11111111-1111-4111-8111-111111111111', 'not-an-id', '%E0%A4%A']) {
      await page.goto(`/chat/${id}`);
      await page.getByRole('heading', { name: 'There is no such chat here' }).waitFor();
      expect(await page.title()).toBe('There is no such chat here · Adjutant');
    }
    await picture(page, `no-chat-${size}`);
    expect(await broken(page)).toEqual([]);
    await page.getByRole('link', { name: 'Start a new chat' }).click();
    await page.waitForURL('**/chat/new');
    await composer(page).waitFor();
    await page.evaluate(() => {
      history.pushState(null, '', '/nowhere/at/all');
      dispatchEvent(new PopStateEvent('popstate'));
    });
    await page.getByRole('heading', { name: 'There is nothing at this address' }).waitFor();
    await picture(page, `nowhere-${size}`);
    expect(await broken(page)).toEqual([]);
    await page.getByRole('link', { name: 'Open the chats' }).click();
    await page.waitForURL('**/chat');
    expect(faults).toEqual([]);
    await context.close();
  });
});

describe('with a mouse', () => {
  it('links open in further tabs, and those of answers never here', async () => {
    const rest = await Rest.person();
    const { context, page, faults } = await visit(browser, { key: rest.key });
    const id = await rest.ask('echo in another tab');
    await rest.ask(`play ${JSON.stringify([['See [the site](https://example.org/page) for more.']])}`, id);
    await page.goto('/chat');
    for (const click of [{ modifiers: ['Control' as const] }, { button: 'middle' as const }]) {
      const opened = context.waitForEvent('page');
      await page.locator('.threads li').getByRole('link').click(click);
      const tab = await opened;
      await answered(tab, 'in another tab');
      expect(new URL(tab.url()).pathname).toBe(`/chat/${id}`);
      expect(new URL(page.url()).pathname).toBe('/chat');
      await tab.close();
    }
    await page.goto(`/chat/${id}`);
    const link = page.getByRole('link', { name: 'the site' });
    expect(await link.getAttribute('target')).toBe('_blank');
    expect(await link.getAttribute('rel')).toContain('noopener');
    expect(faults).toEqual([]);
    await context.close();
  });

  it('a chat prints as its words on white paper, all of them, and nothing around', async () => {
    const rest = await Rest.person();
    const { context, page, faults } = await visit(browser, { theme: 'dark', key: rest.key });
    const id = await rest.ask('echo on the first page of all');
    for (let part = 0; part < 2; part += 1)
      await rest.steps(
        Array.from({ length: 15 }, (_, at) => `part ${at} ${'with words '.repeat(20)}`),
        id,
      );
    await rest.ask('markdown', id);
    await page.goto(`/chat/${id}`);
    await answered(page, 'The end of it.');
    await page.emulateMedia({ media: 'print' });
    // By the browser's own command what was not read is missing: the paper says so.
    await page.getByText('Earlier messages are not on this paper.').waitFor();
    await page.emulateMedia({ media: 'screen' });
    await page.evaluate(() => Object.assign(globalThis, { print: () => document.body.classList.add('printed') }));
    await page.getByRole('button', { name: 'Chat menu' }).click();
    await page.getByRole('button', { name: 'Print' }).click();
    await page.locator('body.printed').waitFor();
    await page.emulateMedia({ media: 'print' });
    await page.getByText('on the first page of all').first().waitFor();
    expect(await page.getByText('Earlier messages are not on this paper.').isVisible()).toBe(false);
    for (const part of ['.nav', '.threads', '.composer', '.tools-row', '.talk > header .btn'])
      for (const element of await page.locator(part).all())
        expect([part, await element.isVisible()]).toEqual([part, false]);
    const looks = await page.evaluate(() => {
      const [article, last] = [
        document.querySelector('article.entry'),
        [...document.querySelectorAll('article.entry')].at(-1),
      ];
      const style = getComputedStyle(last?.querySelector('p') ?? document.body);
      return {
        ink: style.color,
        paper: getComputedStyle(document.body).backgroundColor,
        // Laid out whole: as high as all of it, not as high as the window.
        isWhole:
          (article?.getBoundingClientRect().top ?? -1) >= 0 && document.documentElement.scrollHeight > innerHeight,
        clipped: [...document.querySelectorAll('.chat, .talk, .scroll')].filter(
          (it) => getComputedStyle(it).overflowY !== 'visible',
        ).length,
      };
    });
    expect(looks).toEqual({ ink: 'rgb(23, 33, 43)', paper: 'rgba(0, 0, 0, 0)', isWhole: true, clipped: 0 });
    await picture(page, 'print');
    const paper = (await page.pdf({ format: 'A4' })).toString('latin1');
    expect(paper.match(/\/Type\s*\/Page\b/g)?.length ?? 0).toBeGreaterThan(2);
    expect(faults).toEqual([]);
    await context.close();
  });
});
