// The day and what waits for a person: every kind of row, and where each leads.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { broken, control, fits, launch, picture, say, SIZES, URL_OF, visit, type Size } from './support';
import { ToolHouse } from './toolhouse';

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(async () => {
  await browser.close();
});

const sizes = Object.keys(SIZES) as Size[];

async function read<T>(page: Page, path: string): Promise<T> {
  return (await (await page.context().request.get(path)).json()) as T;
}

interface Item {
  id: string;
  threadId: string;
  state: string;
  said: string | null;
  unknownCalls: number;
  costs: { micros: number; currency: string }[];
}

const runs = async (page: Page) => (await read<{ items: Item[] }>(page, '/api/runs?limit=100')).items;

/** The list of runs shows how a long message begins. */
const isOf = (said: string | null, text: string) =>
  said === text || (said?.endsWith('…') === true && text.startsWith(said.slice(0, -1)));

/** Says it in a new chat, and waits until its run stands so. */
async function begin(page: Page, text: string, state: string): Promise<Item> {
  await page.goto('/chat/new');
  await say(page, text);
  let found: Item | undefined;
  await expect
    .poll(async () => {
      found = (await runs(page)).find((run) => isOf(run.said, text));
      return found?.state;
    })
    .toBe(state);
  return found as Item;
}

const play = (...rounds: unknown[][]) => `play ${JSON.stringify(rounds)}`;
const headers = { Origin: URL_OF };

/** Nothing of an earlier journey waits, and no server of its own is there. */
async function tidy(page: Page) {
  const request = page.context().request;
  for (const kind of ['approvals', 'questions']) {
    const { items } = await read<{ items: { id: string }[] }>(page, `/api/${kind}?state=pending&limit=100`);
    const data = kind === 'approvals' ? { decision: 'deny' } : { action: 'cancel' };
    for (const item of items) await request.post(`/api/${kind}/${item.id}`, { headers, data });
  }
  const { items } = await read<{ items: { name: string; addedBy: string }[] }>(page, '/api/servers');
  const own = items.filter((server) => server.addedBy === 'user');
  for (const { name } of own) await request.delete(`/api/servers/${name}`, { headers });
}

/** A server of the person's own, whose tools run unasked. */
async function add(page: Page, house: ToolHouse, name: string) {
  const data = { name, url: house.url, allowPrivate: true };
  expect((await page.context().request.post('/api/servers', { headers, data })).status()).toBe(201);
  const policy = { headers, data: { policy: 'auto' } };
  expect((await page.context().request.put(`/api/policies/${name}`, policy)).ok()).toBe(true);
  await expect
    .poll(async () => (await read<{ items: unknown[] }>(page, `/api/servers/${name}/tools`)).items.length)
    .toBe(house.tools.length);
}

const badge = (page: Page) => page.locator('.nav a[href="/needs-you"] .count');

describe.each(sizes)('on a %s', (size) => {
  it('the day shows what waits, what went wrong and how, what ran, and what it cost', async () => {
    const tag = `${size}${Date.now() % 100_000}`;
    const house = await ToolHouse.open([{ name: 'pay', description: 'Pays.', takes: ['what'] }]);
    const name = `bank-${tag}`;
    const { context, page, faults } = await visit(browser, { size });
    await tidy(page);
    await add(page, house, name);
    const ran = await begin(page, `echo the ordinary ${tag}`, 'succeeded');
    const failed = await begin(page, `fail the morning ${tag}`, 'failed');
    house.breaksOff = true;
    const unknown = await begin(page, play([{ call: `${name}__pay`, args: { what: tag } }], ['so be it']), 'succeeded');
    expect(house.calls).toHaveLength(1);
    const asking = await begin(page, `effect the mail ${tag}`, 'waiting');
    const crashed = await begin(page, `hold the crash ${tag}`, 'running');
    const crashes = async () => (await read<{ crashes: number }>(page, `/api/runs/${crashed.id}`)).crashes;
    await control('stop');
    await control('start');
    await expect.poll(crashes).toBe(1);
    await control('stop');
    await control('start');
    await expect.poll(crashes).toBe(2);
    const going = await begin(page, `hold the line ${tag}`, 'running');

    await page.goto('/');
    const wrong = page.getByRole('region', { name: 'Went wrong' });
    const night = page.getByRole('region', { name: 'Since yesterday' });
    const rowOf = (text: string | RegExp) => night.locator('li', { hasText: text });
    await rowOf(`the ordinary ${tag}`)
      .getByText(/^Ran, \d/)
      .waitFor();
    await rowOf(`fail the morning ${tag}`).getByText('Failed', { exact: true }).waitFor();
    await rowOf(`effect the mail ${tag}`).getByText('Waiting for you', { exact: true }).waitFor();
    await rowOf(`hold the line ${tag}`).getByText('Running', { exact: true }).waitFor();
    await rowOf(`hold the crash ${tag}`).getByText('Stopped after two crashes').waitFor();
    await wrong.getByText('The model provider refuses the request', { exact: false }).first().waitFor();
    const lost = wrong.locator('.wrong', { hasText: 'Outcome unknown' });
    await lost.first().getByText('it may have happened or not. I did not try again.', { exact: false }).waitFor();
    const stopped = wrong.locator('.wrong', { hasText: `hold the crash ${tag}` });
    await stopped.getByText('The server crashed twice', { exact: false }).waitFor();
    const slip = page.getByRole('article').filter({ hasText: `the mail ${tag}` });
    await slip.getByText('Waiting for you').waitFor();
    expect(await page.locator('.head').textContent()).toContain('One thing waits for you.');
    expect(await badge(page).textContent()).toContain('1');
    await expect.poll(() => page.title()).toBe('(1) Today · Adjutant');

    // What it cost is the sum of what each run cost, also when a title was asked for later.
    const cost = (all: Item[]) => {
      const sum = all.flatMap((run) => run.costs).reduce((sum, cost) => sum + cost.micros, 0) / 1_000_000;
      return `$${sum.toFixed(sum > 0 && sum < 0.01 ? 4 : 2)}`;
    };
    const isTold = async () => {
      const all = await runs(page);
      const [sum, one] = [cost(all), cost(all.filter((run) => run.id === ran.id))];
      const [said, told] = [await night.locator('.sect').textContent(), await rowOf(ran.said ?? '').textContent()];
      return { sum: said?.includes(sum), one: told?.includes(one), isFree: sum === '$0.00' || one === '$0.00' };
    };
    await expect.poll(isTold).toEqual({ sum: true, one: true, isFree: false });
    expect(await broken(page)).toEqual([]);
    expect(await fits(page)).toBe(true);
    await picture(page, `day-${size}`);
    await page.emulateMedia({ colorScheme: 'dark' });
    await picture(page, `day-${size}-dark`);
    expect(await broken(page)).toEqual([]);

    await control('release');
    await rowOf(`hold the line ${tag}`).getByText(/^Ran/).waitFor();

    // Each leads to its chat.
    for (const [text, run] of [
      [`the ordinary ${tag}`, ran],
      [`fail the morning ${tag}`, failed],
      [`effect the mail ${tag}`, asking],
    ] as const) {
      await rowOf(text).getByRole('link').click();
      await page.waitForURL(`**/chat/${run.threadId}`);
      await page.goBack();
    }
    await lost
      .first()
      .getByRole('link', { name: /^Check/ })
      .click();
    await page.waitForURL(`**/chat/${unknown.threadId}`);
    await page.goto('/');
    await slip.getByRole('link', { name: /^Read and decide/ }).click();
    await page
      .getByRole('group', { name: /effect\?$/i })
      .getByRole('button', { name: 'Deny', exact: true })
      .click();
    await page.getByRole('heading', { name: 'Nothing waits for you.' }).waitFor();
    expect(await badge(page).count()).toBe(0);

    // A run that was stopped after crashes is given up, or tried again, from here.
    await page.goto('/');
    if (size === 'desktop') {
      await stopped.getByRole('button', { name: 'Try again' }).click();
      await stopped.waitFor({ state: 'detached' });
      await control('release');
      await rowOf(`hold the crash ${tag}`).getByText(/^Ran/).waitFor();
    } else {
      await stopped.getByRole('button', { name: 'Give up' }).click();
      await stopped.waitFor({ state: 'detached' });
      await rowOf(`hold the crash ${tag}`).getByText('Given up').waitFor();
    }
    expect(going.threadId).not.toBe(crashed.threadId);
    await context.request.delete(`/api/servers/${name}`, { headers });
    expect(faults).toEqual([]);
    await context.close();
    await house.close();
  }, 120_000);

  it('what waits is counted, decided one after the other, and stays readable afterwards', async () => {
    const tag = `${size}${Date.now() % 100_000}`;
    const house = await ToolHouse.open([{ name: 'post', description: 'Posts a letter.', takes: ['to'] }]);
    const name = `post-${tag}`;
    const { context, page, faults } = await visit(browser, { size });
    await context.addInitScript(() => {
      const setAppBadge = (icon: number) => Promise.resolve(void Object.assign(globalThis, { icon }));
      Object.assign(navigator, { setAppBadge, clearAppBadge: () => setAppBadge(0) });
    });
    const icon = () => page.evaluate(() => (globalThis as { icon?: number }).icon);
    await tidy(page);
    // Before there are words of a foreign server: after them the shop's tool would ask for consent, too.
    await begin(page, play([{ call: 'shop__order', args: { item: `tea ${tag}` } }], ['ordered']), 'running');
    await add(page, house, name);
    await begin(page, `effect one ${tag}`, 'waiting');
    await begin(page, `effect two ${tag}`, 'waiting');
    house.become([{ name: 'post', description: 'Posts a letter, and reads it.', takes: ['to'] }]);
    const state = async () =>
      (await read<{ items: { state: string }[] }>(page, `/api/servers/${name}/tools`)).items[0]?.state;
    await expect.poll(state).toBe('changed');
    const ids = async () => {
      const { items } = await read<{ items: { id: string; state: string }[] }>(page, '/api/approvals?state=pending');
      return items.map((item) => item.id);
    };
    expect(await ids()).toHaveLength(2);

    await page.goto('/');
    await expect.poll(() => badge(page).textContent()).toContain('4');
    await expect.poll(() => page.title()).toBe('(4) Today · Adjutant');
    await expect.poll(icon).toBe(4);
    await page.getByText('4 things wait for you.', { exact: false }).waitFor();
    await page.getByRole('link', { name: 'One more waits' }).click();
    const list = page.getByRole('region', { name: 'Waiting for you' });
    await list.getByText('4 wait.', { exact: false }).waitFor();
    expect(
      await list
        .getByRole('link')
        .filter({ hasText: `Key: one ${tag}` })
        .count(),
    ).toBe(1);
    await list
      .getByRole('link')
      .filter({ hasText: `tea ${tag}` })
      .waitFor();
    await list.getByRole('link').filter({ hasText: 'A tool changed' }).waitFor();
    expect(await broken(page)).toEqual([]);
    expect(await fits(page)).toBe(true);
    await picture(page, `inbox-${size}`);

    // Decided here: what waits next comes by itself.
    const [later, first] = await ids();
    await list
      .getByRole('link')
      .filter({ hasText: `Key: one ${tag}` })
      .click();
    await page.waitForURL(`**/needs-you/${first}`);
    const slip = page.getByRole('group', { name: /effect\?$/i });
    await picture(page, `decide-${size}`);
    expect(await broken(page)).toEqual([]);
    await slip.getByRole('button', { name: 'Deny with a reason' }).click();
    await slip.getByLabel('What should the assistant know?').fill('not today');
    await slip.getByRole('button', { name: 'Deny', exact: true }).click();
    await page.waitForURL(`**/needs-you/${later}`);
    await slip
      .filter({ hasText: `two ${tag}` })
      .getByRole('button', { name: 'Allow once' })
      .click();
    const form = page.getByRole('form', { name: /A question from shop/i });
    await form.waitFor();
    await picture(page, `question-${size}`);
    expect(await broken(page)).toEqual([]);
    expect(await fits(page)).toBe(true);
    await form.getByRole('button', { name: 'Decline' }).click();
    await page.waitForURL('**/needs-you');

    // What was decided can be read where it was linked to.
    await page.goto(`/needs-you/${first}`);
    const past = page.locator('.decide');
    await past.getByText('Denied: “not today”').waitFor();
    await past.getByText(`one ${tag}`, { exact: true }).waitFor();
    expect(await broken(page)).toEqual([]);

    await page.goto('/');
    const changed = page.getByRole('article').filter({ hasText: 'A tool changed' });
    await changed.getByRole('link', { name: /^See the change/ }).click();
    await page.waitForURL(`**/settings/servers/${name}`);
    await page
      .getByRole('article', { name: 'The server changed what this tool says it does' })
      .getByRole('button', { name: 'Leave off' })
      .click();
    await badge(page).waitFor({ state: 'detached' });
    await expect.poll(() => page.title()).toBe('Settings · Adjutant');
    await expect.poll(icon).toBe(0);
    await context.request.delete(`/api/servers/${name}`, { headers });
    expect(faults).toEqual([]);
    await context.close();
    await house.close();
  });
});
