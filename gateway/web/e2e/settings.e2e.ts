// Settings, row by row: what UI.md lists as 37 and 42.
import { readFile } from 'node:fs/promises';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { broken, control, fits, KEY, launch, picture, say, SIZES, URL_OF, visit, type Size } from './support';
import { ToolHouse } from './toolhouse';

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(async () => {
  await browser.close();
});

const sizes = Object.keys(SIZES) as Size[];

/** What the server says there, with the page's own cookie. */
async function read<T>(page: Page, path: string): Promise<T> {
  const answer = await page.context().request.get(path);
  expect([path, answer.status()]).toEqual([path, 200]);
  return (await answer.json()) as T;
}

async function open(page: Page, place: string) {
  await page.goto(`/settings/${place}`);
  await page.getByRole('heading', { name: 'Settings', level: 1 }).waitFor();
  await page.locator('[data-section][aria-busy=false]').first().waitFor();
}

/** A row of the settings, by its heading. */
const row = (page: Page, section: string, title: string | RegExp) =>
  page
    .locator('section', { has: page.getByRole('heading', { name: section, level: 2, exact: true }) })
    .locator('[data-row]')
    .filter({ has: page.getByRole('heading', { name: title, level: 3 }) });

interface RunDetail {
  id: string;
  state: string;
  steps: { type: string; paidBy?: string }[];
}

/** Says it in a new chat; the run that it began, when it has ended well. */
async function run(page: Page, text: string): Promise<RunDetail> {
  await page.goto('/chat/new');
  await say(page, text);
  return ended(page, text);
}

/** The server's word that the profile is gone comes while the page forgets what it kept, and not before. */
async function closedLate(page: Page) {
  await page.addInitScript(() => {
    const closed: WebSocket['onclose'][] = [];
    Object.defineProperty(WebSocket.prototype, 'onclose', {
      set(heard: WebSocket['onclose']) {
        closed.push(heard);
      },
    });
    const clear: () => void = Reflect.get(Storage.prototype, 'clear');
    Storage.prototype.clear = function () {
      for (const heard of closed) heard?.call(new EventTarget() as WebSocket, new CloseEvent('close', { code: 4002 }));
      clear.call(this);
    };
  });
}

/** The list of runs shows how a long message begins. */
const isOf = (said: string, text: string) =>
  said === text || (said.endsWith('…') && text.startsWith(said.slice(0, -1)));

async function ended(page: Page, text: string): Promise<RunDetail> {
  interface Item {
    id: string;
    said: string;
    state: string;
  }
  let found: Item | undefined;
  await expect
    .poll(async () => {
      found = (await read<{ items: Item[] }>(page, '/api/runs?limit=1')).items[0];
      return found && isOf(found.said, text) ? found.state : 'another';
    })
    .toBe('succeeded');
  return read<RunDetail>(page, `/api/runs/${found?.id}`);
}

interface Sent {
  models: string[];
  messages: { role: string; content: { text?: string }[] }[];
  tools: { name: string }[];
}

/** What the model was asked in the first step of that run. */
async function sent(page: Page, id: string): Promise<Sent> {
  const { items } = await read<{ items: Sent[] }>(page, `/api/runs/${id}/context`);
  expect(items.length).toBeGreaterThan(0);
  return items[0] as Sent;
}

describe.each(sizes)('on a %s', (size) => {
  it('a model key is tried, kept masked, used, replaced and forgotten', async () => {
    const { context, page, faults } = await visit(browser, { size });
    await open(page, 'models');
    const openai = row(page, 'Model keys', 'OpenAI');
    await openai.getByText('No key of yours. This server’s own pays.').waitFor();
    await openai.getByRole('button', { name: 'Add key for OpenAI' }).click();
    const form = page.getByRole('form', { name: 'Add key for OpenAI' });
    const key = form.getByLabel('Key', { exact: true });
    expect(await key.getAttribute('type')).toBe('password');
    await key.fill('sk-bad-0123456789-wxyz');
    await form.getByRole('button', { name: 'Test OpenAI' }).click();
    await form.locator('.st-failed').getByText(/key/i).waitFor();
    await picture(page, `settings-key-bad-${size}`);
    await key.fill('sk-good-0123456789-abcd');
    await form.getByRole('button', { name: 'Test OpenAI' }).click();
    await form.getByText('Answered in').waitFor();
    await picture(page, `settings-key-${size}`);
    expect(await broken(page)).toEqual([]);
    expect(await fits(page)).toBe(true);
    await form.getByRole('button', { name: 'Store key' }).click();
    await openai.getByText('••••abcd').waitFor();
    await form.waitFor({ state: 'detached' });
    expect(await page.content()).not.toContain('0123456789');
    const paid = await run(page, 'echo who pays');
    expect(paid.steps[0]?.paidBy).toBe('user');

    await open(page, 'models');
    await openai.getByRole('button', { name: 'Replace key for OpenAI' }).click();
    const replace = page.getByRole('form', { name: 'Replace key for OpenAI' });
    await replace.getByLabel('Key', { exact: true }).fill('sk-other-0123456789-efgh');
    await replace.getByRole('button', { name: 'Store key' }).click();
    await openai.getByText('••••efgh').waitFor();
    await replace.waitFor({ state: 'detached' });
    await openai.getByRole('button', { name: 'Test OpenAI' }).click();
    await openai.getByText('Answered in').waitFor();

    await openai.getByRole('button', { name: 'Replace key for OpenAI' }).click();
    await replace.getByRole('button', { name: 'Forget' }).click();
    await page
      .getByRole('dialog', { name: 'Forget the key for OpenAI?' })
      .getByRole('button', { name: 'Forget' })
      .click();
    await openai.getByText('No key of yours. This server’s own pays.').waitFor();
    const after = await run(page, 'echo who pays now');
    expect(after.steps[0]?.paidBy).toBe('operator');
    expect(faults).toEqual([]);
    await context.close();
  });

  it('a provider that does not answer says so, and the key is not lost', async () => {
    const { context, page, faults } = await visit(browser, { size });
    await open(page, 'models');
    const ollama = row(page, 'Model keys', 'Ollama');
    await ollama.getByRole('button', { name: 'Add key for Ollama' }).click();
    const form = page.getByRole('form', { name: 'Add key for Ollama' });
    const key = form.getByLabel('Key', { exact: true });
    await key.fill('nobody-listens-here');
    await form.getByRole('button', { name: 'Test Ollama' }).click();
    await form.locator('.st-failed').waitFor();
    await picture(page, `settings-key-silent-${size}`);
    expect(await broken(page)).toEqual([]);
    expect(await key.inputValue()).toBe('nobody-listens-here');
    // Another key: what was said of the one before is gone.
    await key.fill('nobody-listens-there');
    await form.locator('.st-failed').waitFor({ state: 'detached' });
    await form.getByRole('button', { name: 'Cancel' }).click();
    await form.waitFor({ state: 'detached' });
    expect(faults).toEqual([]);
    await context.close();
  });

  it('the order of the models is the person’s', async () => {
    const { context, page, faults } = await visit(browser, { size });
    await open(page, 'models');
    const usable = async () => (await read<{ models: { usable: string[] } }>(page, '/api/me')).models.usable;
    await row(page, 'Models', 'second').getByRole('button', { name: 'Change openai/second' }).click();
    await page.getByRole('button', { name: 'Move up' }).click();
    await page.getByText('openai/second is at place 1 now.').waitFor();
    expect(await usable()).toEqual(['openai/second', 'openai/scripted']);
    await row(page, 'Models', 'scripted').getByRole('button', { name: 'Test openai/scripted' }).click();
    await row(page, 'Models', 'scripted').getByText('Answered in').waitFor();
    const asked = await run(page, 'echo which one');
    expect((await sent(page, asked.id)).models[0]).toBe('openai/second');

    await open(page, 'models');
    await page.getByRole('button', { name: 'Add a model' }).click();
    const form = page.getByRole('form', { name: 'Add a model' });
    await form.getByLabel('Model', { exact: true }).fill('gpt-nine');
    await form.getByRole('button', { name: 'Add a model' }).click();
    await form.getByText('Write the provider first').waitFor();
    await form.getByLabel('Model', { exact: true }).fill('anthropic/claude-nine');
    await form.getByRole('button', { name: 'Add a model' }).click();
    const added = row(page, 'Models', 'claude-nine');
    await added.getByText('Passed over: no key for it').waitFor();
    await added.getByRole('button', { name: 'Change anthropic/claude-nine' }).click();
    await page.getByRole('button', { name: 'Take out' }).click();
    await added.waitFor({ state: 'detached' });
    await page.getByRole('button', { name: 'Back to the order of this server' }).click();
    await page.getByText('The order of this server').first().waitFor();
    await expect.poll(usable).toEqual(['openai/scripted', 'openai/second']);
    expect(faults).toEqual([]);
    await context.close();
  });

  it('a tool server of one’s own is added, seen, switched, and asked about when it changes', async () => {
    const house = await ToolHouse.open([
      { name: 'list_notes', description: 'Lists all notes.', readOnly: true },
      { name: 'add_note', description: 'Keeps a note for 15 minutes.', takes: ['text'] },
    ]);
    const name = `notes-${size}`;
    const { context, page, faults } = await visit(browser, { size });
    await open(page, 'servers');
    await page.getByRole('button', { name: 'Add server' }).click();
    const form = page.getByRole('form', { name: 'Add server' });
    await form.getByLabel('Name').fill(name);
    await form.getByLabel('Address', { exact: true }).fill(house.url);
    await form.getByRole('button', { name: 'Add and test' }).click();
    // An address inside the own network is refused, where it was not said.
    await page
      .getByText(/public|private/i)
      .first()
      .waitFor();
    await picture(page, `settings-server-refused-${size}`);
    await page.getByLabel('It may have an address inside your own network').check();
    await form.getByRole('button', { name: 'Add and test' }).click();
    await page.getByText('It offers 2 tools: add_note, list_notes.').waitFor();
    await picture(page, `settings-server-added-${size}`);
    expect(await broken(page)).toEqual([]);
    await page.getByRole('button', { name: 'Turn on' }).click();

    const server = row(page, 'Tool servers', name);
    await server.getByText('2 tools').waitFor();
    await server.locator('summary').first().click();
    await server.getByText('Keeps a note for 15 minutes.').waitFor();
    await server.getByText('Says that it only reads').waitFor();
    await picture(page, `settings-server-${size}`);
    expect(await broken(page)).toEqual([]);
    expect(await fits(page)).toBe(true);

    // Off: it is not offered to the model. The other one still is.
    await server.getByRole('group', { name: 'add_note' }).getByLabel('Off').check();
    await server.getByText('2 tools, 1 off').waitFor();
    let asked = await sent(page, (await run(page, 'echo which tools')).id);
    const offered = () => asked.tools.map((tool) => tool.name).filter((tool) => tool.startsWith(name));
    expect(offered()).toEqual([`${name}__list_notes`]);
    // Allowed: it runs without a question, with exactly these arguments.
    await open(page, 'servers');
    await server.locator('summary').first().click();
    await server.getByRole('group', { name: 'add_note' }).getByLabel('Allow').check();
    await server.getByText('2 tools', { exact: true }).waitFor();
    await expect
      .poll(async () => (await read<{ items: { tool?: string; policy: string }[] }>(page, '/api/policies')).items)
      .toContainEqual(expect.objectContaining({ tool: 'add_note', policy: 'auto' }));
    const script = JSON.stringify([[{ call: `${name}__add_note`, args: { text: 'milk' } }], ['kept it']]);
    await run(page, `play ${script}`);
    expect(house.calls).toEqual([{ name: 'add_note', args: { text: 'milk' } }]);

    // The server says something else of it: off until the person has seen what changed.
    house.become([
      ...house.tools.slice(0, 1),
      { name: 'add_note', description: 'Keeps a note for 24 hours. Costs a dollar.', takes: ['text'] },
      { name: 'sell_notes', description: 'Sells all notes.', takes: [] },
    ]);
    const states = async () => {
      const { items } = await read<{ items: { state: string }[] }>(page, `/api/servers/${name}/tools`);
      return items.map((tool) => tool.state).sort();
    };
    await expect.poll(states).toEqual(['accepted', 'changed', 'new']);
    await open(page, 'servers');
    await server.locator('summary').first().click();
    const changed = server.getByRole('article', { name: 'The server changed what this tool says it does' });
    await changed.waitFor();
    expect(await changed.locator('del').allTextContents()).toEqual(['15 minutes']);
    expect((await changed.locator('ins').allTextContents()).join(' ')).toContain('24 hours');
    expect(await server.getByRole('group', { name: 'add_note' }).getByLabel('Allow').isDisabled()).toBe(true);
    await picture(page, `settings-tool-changed-${size}`);
    expect(await broken(page)).toEqual([]);
    expect(await fits(page)).toBe(true);
    const unseen = await run(page, 'echo changed tools');
    asked = await sent(page, unseen.id);
    expect(offered()).toEqual([`${name}__list_notes`]);

    await open(page, 'servers');
    await server.locator('summary').first().click();
    await changed.getByRole('button', { name: 'Accept, and always ask' }).click();
    await page.getByText('add_note is accepted. It asks every time.').waitFor();
    const fresh = server.getByRole('article', { name: 'The server has a new tool, sell_notes' });
    await fresh.getByRole('button', { name: 'Leave off' }).click();
    await page.getByText('sell_notes stays off.').waitFor();
    expect(await server.getByRole('group', { name: 'add_note' }).getByLabel('Ask').isChecked()).toBe(true);
    // It asks now, although it was allowed before it changed.
    await page.goto('/chat/new');
    await say(page, `play ${script}`);
    await page
      .getByRole('group', { name: /add note\?$/i })
      .getByRole('button', { name: 'Deny', exact: true })
      .click();
    await ended(page, `play ${script}`);
    expect(house.calls).toHaveLength(1);

    // Gone with all that was decided about it.
    await open(page, 'servers');
    await server.locator('summary').first().click();
    await server.getByRole('button', { name: 'Remove' }).click();
    await page
      .getByRole('dialog', { name: `Remove ${name}?` })
      .getByRole('button', { name: 'Remove' })
      .click();
    await server.waitFor({ state: 'detached' });
    const { items } = await read<{ items: { server: string }[] }>(page, '/api/policies');
    expect(items.filter((policy) => policy.server === name)).toEqual([]);
    expect(faults).toEqual([]);
    await context.close();
    await house.close();
  });

  it('a server’s token goes to its address alone, in the header that is wanted, also when it moves', async () => {
    const first = await ToolHouse.open([{ name: 'ping', description: 'Answers.', readOnly: true }]);
    const second = await ToolHouse.open([{ name: 'pong', description: 'Answers elsewhere.', readOnly: true }]);
    const name = `moves-${size}`;
    const { context, page, faults } = await visit(browser, { size });
    await open(page, 'servers');
    await page.getByRole('button', { name: 'Add server' }).click();
    const form = page.getByRole('form', { name: 'Add server' });
    await form.getByLabel('Name').fill(name);
    await form.getByLabel('Address', { exact: true }).fill(first.url);
    await form.getByLabel('Token (optional)').fill('secret-token-of-first');
    await form.getByLabel('It may have an address inside your own network').check();
    await form.getByRole('button', { name: 'Add and test' }).click();
    await page.getByText('It offers one tool: ping.').waitFor();
    expect(first.headers['authorization']).toBe('Bearer secret-token-of-first');
    await page.getByRole('button', { name: 'Turn on' }).click();

    const server = row(page, 'Tool servers', name);
    await server.locator('summary').first().click();
    await server.getByText('••••irst').waitFor();
    await server.getByRole('button', { name: `Change the address of ${name}` }).click();
    const change = page.getByRole('form', { name: `Change the address of ${name}` });
    await change.getByText('Other headers').click();
    await change.getByRole('button', { name: 'Add a header' }).click();
    await change.getByLabel('Header', { exact: true }).fill('X-Api-Key');
    await change.getByLabel('Token of').fill(name);
    await change.getByRole('button', { name: 'Save' }).click();
    await server.getByText('X-Api-Key:').waitFor();
    await server.getByRole('button', { name: /^Test/ }).click();
    await server.getByText('It offers one tool: ping.').waitFor();
    expect(first.headers['x-api-key']).toBe('secret-token-of-first');
    expect(first.headers['authorization']).toBeUndefined();

    await server.getByRole('button', { name: `Change the address of ${name}` }).click();
    await change.getByLabel('Address', { exact: true }).fill(second.url);
    await change.getByText('Another address is another server').waitFor();
    await picture(page, `settings-server-moves-${size}`);
    expect(await broken(page)).toEqual([]);
    expect(await fits(page)).toBe(true);
    await change.getByRole('button', { name: 'Save' }).click();
    await server.getByText(second.url).last().waitFor();
    await server.getByRole('button', { name: /^Test/ }).click();
    // The old token is not shown to the new address, and the page says why nothing goes along.
    await server
      .getByText(/token|credential/i)
      .first()
      .waitFor();
    expect(second.headers['x-api-key']).toBeUndefined();
    await server.getByRole('button', { name: 'Replace token' }).click();
    const token = page.getByRole('form', { name: 'Token' });
    await token.getByLabel('Token').fill('secret-token-of-second');
    await token.getByRole('button', { name: 'Store token' }).click();
    await server.getByText('••••cond').waitFor();
    await server.getByRole('button', { name: /^Test/ }).click();
    await server.getByText('It offers one tool: pong.').waitFor();
    expect(second.headers['x-api-key']).toBe('secret-token-of-second');
    expect(await page.content()).not.toContain('secret-token');

    await server.getByRole('button', { name: 'Remove' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click();
    await server.waitFor({ state: 'detached' });
    const left = async () => {
      const { items } = await read<{ items: { service: string }[] }>(page, '/api/credentials');
      return items.map((item) => item.service);
    };
    await expect.poll(left).not.toContain(name);
    expect(faults).toEqual([]);
    await context.close();
    await first.close();
    await second.close();
  });

  it('a stored token that no server uses is shown and can be forgotten', async () => {
    const { context, page, faults } = await visit(browser, { size });
    const body = { token: 'left-over-token-9876', origin: 'https://garmin.example.org' };
    const stored = await context.request.put('/api/credentials/garmin', { headers: { Origin: URL_OF }, data: body });
    expect(stored.ok()).toBe(true);
    await open(page, 'servers');
    const token = row(page, 'Other tokens', 'garmin');
    await token.getByText('••••9876').waitFor();
    await token.getByText('Goes to https://garmin.example.org', { exact: false }).waitFor();
    await token.getByRole('button', { name: 'Forget: garmin' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Forget' }).click();
    await token.waitFor({ state: 'detached' });
    const { items } = await read<{ items: { service: string }[] }>(page, '/api/credentials');
    expect(items.filter((item) => item.service === 'garmin')).toEqual([]);
    expect(faults).toEqual([]);
    await context.close();
  });

  it('what was allowed for good is listed, and asks again when it is taken back', async () => {
    const { context, page, faults } = await visit(browser, { size });
    const script = `play ${JSON.stringify([[{ call: 'effects__effect', args: { key: `good-${size}` } }], ['all done']])}`;
    // Of a server of the operator it runs unasked: the person wants to be asked.
    const policy = '/api/policies/effects/effect';
    const headers = { Origin: URL_OF };
    expect((await context.request.put(policy, { headers, data: { policy: 'ask' } })).ok()).toBe(true);
    await page.goto('/chat/new');
    await say(page, script);
    const slip = page.getByRole('group', { name: /effect\?$/i });
    await slip.getByRole('button', { name: 'Always for this agent' }).click();
    await slip.getByRole('button', { name: 'Always allow' }).click();
    await ended(page, script);
    await run(page, script);
    await open(page, 'servers');
    const consent = row(page, 'Allowed for good', 'Effects: effect');
    await consent.getByText('Chief of Staff, since').waitFor();
    await consent.getByRole('button', { name: 'Ask again: effect' }).click();
    await page.getByText('Nothing is allowed for good.').waitFor();
    await page.goto('/chat/new');
    await say(page, script);
    await slip.getByRole('button', { name: 'Deny', exact: true }).click();
    await ended(page, script);
    expect((await context.request.delete(policy, { headers })).ok()).toBe(true);
    expect(faults).toEqual([]);
    await context.close();
  });

  it('an API key is shown once, opens what it says, and is refused when it is revoked', async () => {
    const { context, page, faults } = await visit(browser, { size });
    await open(page, 'devices');
    await page.getByRole('button', { name: 'Make a key' }).click();
    const form = page.getByRole('form', { name: 'Make a key' });
    await form.getByLabel('What is it for?').fill(`Shortcut ${size}`);
    await form.getByRole('button', { name: 'Make a key' }).click();
    const made = form.getByLabel('Your new key. It is shown this once; copy it now.');
    const key = await made.inputValue();
    expect(key).toMatch(/^adj_/);
    await picture(page, `settings-new-key-${size}`);
    expect(await broken(page)).toEqual([]);
    expect(await fits(page)).toBe(true);
    await page.evaluate(() => Object.defineProperty(navigator, 'clipboard', { value: undefined, configurable: true }));
    await form.getByRole('button', { name: 'Copy' }).click();
    await page.getByText('This browser did not let it be copied.').waitFor();
    await page.evaluate(() => Reflect.deleteProperty(navigator, 'clipboard'));
    await form.getByRole('button', { name: 'Copy' }).click();
    await form.getByRole('button', { name: 'Copied' }).waitFor();
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(key);
    await form.getByRole('button', { name: 'I have it' }).click();
    await form.waitFor({ state: 'detached' });
    const item = row(page, 'API keys', `Shortcut ${size}`);
    await item.getByText('Not used yet').waitFor();
    expect(await page.content()).not.toContain(key);

    const me = () => fetch(`${URL_OF}/api/me`, { headers: { 'X-API-Key': key } });
    const who = (await (await me()).json()) as { profile: string; role: string };
    expect(who).toMatchObject({ profile: 'personal', role: 'personal' });
    await page.reload();
    await item.waitFor();
    expect(await page.content()).not.toContain(key);
    await item.getByRole('button', { name: `Revoke Shortcut ${size}` }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click();
    await item.waitFor({ state: 'detached' });
    expect((await me()).status).toBe(401);
    expect(faults).toEqual([]);
    await context.close();
  });

  it('another device is signed out from here, and keeps what was written on it', async () => {
    const here = await visit(browser, { size });
    const there = await visit(browser, { size: size === 'phone' ? 'desktop' : 'phone', label: `lost one ${size}` });
    await there.page.goto('/chat/new');
    await there.page.getByRole('textbox', { name: 'Message', exact: true }).fill('half a sentence');
    await open(here.page, 'devices');
    const device = row(here.page, 'Devices', `lost one ${size}`);
    await device.getByRole('button', { name: `Sign out lost one ${size}` }).click();
    await here.page.getByRole('dialog').getByRole('button', { name: 'Sign out' }).click();
    await device.waitFor({ state: 'detached' });
    await there.page.getByRole('heading', { name: 'Sign in again' }).waitFor();
    await there.page.getByLabel('Key').fill(KEY);
    await there.page.getByRole('button', { name: 'Sign in' }).click();
    const field = there.page.getByRole('textbox', { name: 'Message', exact: true });
    await expect.poll(() => field.inputValue()).toBe('half a sentence');
    expect([...here.faults, ...there.faults]).toEqual([]);
    await here.context.close();
    await there.context.close();
  });

  it('what the assistant should know is saved, sent to the model, and never lost unsaved', async () => {
    const { context, page, faults } = await visit(browser, { size });
    await open(page, 'profile');
    const about = page.getByLabel('About you');
    await about.fill(`I live in Utrecht. ${size}`);
    await page.getByText('Not saved yet. It is kept in this browser.').waitFor();
    // Away and back, and a reload: it is still there, and said to be unsaved.
    await page.getByRole('link', { name: 'Today' }).first().click();
    await page.getByRole('heading', { level: 1 }).waitFor();
    await page.getByRole('link', { name: 'Settings' }).first().click();
    await page.getByRole('group', { name: 'You wrote this and did not save it' }).waitFor();
    await page.reload();
    const old = page.getByRole('group', { name: 'You wrote this and did not save it' });
    await old.waitFor();
    expect(await about.inputValue()).toBe(`I live in Utrecht. ${size}`);
    await old.scrollIntoViewIfNeeded();
    await picture(page, `settings-unsaved-${size}`);
    expect(await broken(page)).toEqual([]);
    await old.getByRole('button', { name: 'Discard changes' }).click();
    await old.waitFor({ state: 'detached' });
    expect(await about.inputValue()).toBe('');

    await about.fill(`I live in Utrecht. ${size}`);
    await page.getByLabel('Time zone').selectOption('Europe/Amsterdam');
    await page.getByRole('button', { name: 'Write your own' }).click();
    const prompt = page.getByLabel('System prompt', { exact: true });
    expect((await prompt.inputValue()).length).toBeGreaterThan(100);
    await prompt.fill('You are a lighthouse keeper.');
    await page.getByRole('button', { name: 'Save', exact: true }).click();
    await page.getByText('Saved. It counts from the next message on.').waitFor();
    const asked = await sent(page, (await run(page, 'echo what you know')).id);
    const told = JSON.stringify(asked.messages);
    expect(told).toContain('You are a lighthouse keeper.');
    expect(told).toContain(`I live in Utrecht. ${size}`);
    expect(told).toContain('Europe/Amsterdam');

    await open(page, 'profile');
    expect(await page.getByLabel('Time zone').inputValue()).toBe('Europe/Amsterdam');
    await page.getByRole('button', { name: 'Back to the default' }).last().click();
    await about.fill('');
    await page.getByLabel('Time zone').selectOption('UTC');
    await page.getByRole('button', { name: 'Save', exact: true }).click();
    await page.getByText('Saved. It counts from the next message on.').waitFor();
    const plain = JSON.stringify((await sent(page, (await run(page, 'echo forget')).id)).messages);
    expect(plain).not.toContain('lighthouse');
    expect(plain).not.toContain('Utrecht');
    expect(faults).toEqual([]);
    await context.close();
  });

  it('a setting is found by its words', async () => {
    const { context, page, faults } = await visit(browser, { size });
    await open(page, 'models');
    const find = page.getByRole('searchbox', { name: 'Find a setting' });
    const shown = () => page.locator('[data-section] h2:visible').allTextContents();
    await find.fill('theme');
    await expect.poll(shown).toEqual(['Appearance']);
    await page.getByText('One row found.').waitFor({ state: 'attached' });
    await picture(page, `settings-found-${size}`);
    expect(await broken(page)).toEqual([]);
    await find.fill('no such thing');
    await page.getByText('No setting is called “no such thing”.').waitFor();
    await page.getByRole('button', { name: 'Show all settings' }).click();
    await expect.poll(async () => (await shown()).length).toBeGreaterThan(8);
    await find.fill('anthropic');
    await expect.poll(shown).toEqual(['Model keys']);
    await find.press('Escape');
    expect(await find.inputValue()).toBe('');
    expect(faults).toEqual([]);
    await context.close();
  });

  it('everything of a person is exported, without secrets', async () => {
    const { context, page, faults } = await visit(browser, { size });
    await run(page, `echo keep this ${size}`);
    await open(page, 'data');
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      row(page, 'My data', 'Export everything').getByRole('button', { name: 'Export' }).click(),
    ]);
    await page.getByText('Handed over just now').waitFor();
    expect(download.suggestedFilename()).toMatch(/^adjutant.*\.(ndjson|jsonl)$/);
    const text = await readFile(await download.path(), 'utf8');
    const lines = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { type: string; lines?: number });
    expect(lines.at(-1)).toMatchObject({ type: 'end' });
    const types = new Set(lines.map((line) => line.type));
    for (const type of ['user', 'profile', 'thread', 'message', 'run', 'step']) expect(types).toContain(type);
    expect(text).toContain(`echo keep this ${size}`);
    expect(text).not.toContain(KEY);
    // Where the session is over by then, the way back is offered as everywhere.
    await page.route('**/api/me/export', (route) => route.fulfill({ status: 401, json: { code: 'unauthorized' } }));
    await row(page, 'My data', 'Export everything').getByRole('button', { name: 'Export' }).click();
    await page.getByRole('heading', { name: 'Sign in again' }).waitFor();
    expect(faults).toEqual([]);
    await context.close();
  });

  it('a person deletes everything of theirs, and the key opens nothing any more', async () => {
    const user = `leaves-${size}`;
    const key = await control(`person/${user}?pays=true`);
    const { context, page, faults } = await visit(browser, { size, key });
    const other = await visit(browser, { key, label: 'other' });
    await other.page.getByText('Nothing has happened here yet.', { exact: false }).waitFor();
    await closedLate(page);
    await page.reload();
    await run(page, 'echo to be forgotten');
    await open(page, 'data');
    await row(page, 'My data', 'Delete my data').getByRole('button', { name: 'Delete' }).click();
    const dialog = page.getByRole('dialog', { name: 'Delete everything of yours?' });
    const deed = dialog.getByRole('button', { name: 'Delete' });
    expect(await deed.isDisabled()).toBe(true);
    await dialog.getByLabel(`Type ${user} to confirm`).fill('somebody else');
    expect(await deed.isDisabled()).toBe(true);
    await picture(page, `settings-delete-${size}`);
    expect(await broken(page)).toEqual([]);
    await dialog.getByLabel(`Type ${user} to confirm`).fill(user);
    await deed.click();
    await page.getByRole('heading', { name: 'Your key' }).waitFor();
    // Whether its socket hears of the key or of the profile first, the other browser is signed out.
    await other.page.getByLabel('Key').waitFor();
    await page.getByLabel('Key').fill(key);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('This key is not known here.', { exact: false }).waitFor();
    expect((await fetch(`${URL_OF}/api/me`, { headers: { 'X-API-Key': key } })).status).toBe(401);
    // Nothing of it is left in the browser.
    expect(await page.evaluate(() => Object.keys(localStorage))).toEqual([]);
    const kept = () =>
      page.evaluate(async () => {
        const done = <T>(request: IDBRequest<T>) =>
          new Promise<T>((resolve) => (request.onsuccess = () => resolve(request.result)));
        let count = 0;
        for (const { name } of await indexedDB.databases()) {
          const database = await done(indexedDB.open(name ?? ''));
          for (const store of database.objectStoreNames)
            count += await done(database.transaction(store).objectStore(store).count());
          database.close();
        }
        return count;
      });
    await expect.poll(kept).toBe(0);
    expect([...faults, ...other.faults]).toEqual([]);
    await context.close();
    await other.context.close();
  });
});
