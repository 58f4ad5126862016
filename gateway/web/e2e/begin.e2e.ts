// The way in: a key, a model, hello. What UI.md lists as 44.
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { answered, broken, control, fits, KEY, launch, picture, SIZES, URL_OF, visit, type Size } from './support';

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(async () => {
  await browser.close();
});

const sizes = Object.keys(SIZES) as Size[];

/** More wrong keys than an address may try in a minute. */
const TRIES = 61;

describe.each(sizes)('on a %s', (size) => {
  it('the way in says what is wrong with a key, and when the server is away', async () => {
    const { context, page, faults } = await visit(browser, { size, signedOut: true });
    const key = page.getByLabel('Key');
    const go = page.getByRole('button', { name: 'Sign in' });
    await page.getByRole('heading', { name: 'Your key' }).waitFor();
    expect(await key.evaluate((field) => field === document.activeElement)).toBe(true);
    expect(await go.isDisabled()).toBe(true);
    await key.fill('adj_not_a_key_of_this_server_0123456789');
    await key.press('Enter');
    const problem = page.getByRole('alert');
    await problem.getByText('This key is not known here.', { exact: false }).waitFor();
    expect(await key.getAttribute('aria-invalid')).toBe('true');
    expect(await broken(page)).toEqual([]);
    expect(await fits(page)).toBe(true);
    await picture(page, `signin-wrong-${size}`);

    const tries = Array.from({ length: TRIES }, () =>
      fetch(`${URL_OF}/api/session`, { method: 'POST', headers: { 'X-API-Key': `wrong-${'x'.repeat(40)}` } }),
    );
    await Promise.all(tries);
    await go.click();
    await problem.getByText('wait for a minute', { exact: false }).waitFor();
    expect(await key.inputValue()).not.toBe('');

    await control('stop');
    await go.click();
    await problem.getByText('The server cannot be reached.').waitFor();
    expect(await broken(page)).toEqual([]);
    await picture(page, `signin-away-${size}`);
    // A new life of the server has forgotten who tried how often.
    await control('start');
    await key.fill(` ${KEY} `);
    await go.click();
    await page.getByRole('link', { name: 'Needs you' }).first().waitFor();
    expect(await page.evaluate(() => document.cookie)).toBe('');
    expect(JSON.stringify(await context.storageState({ indexedDB: true }))).not.toContain(`"${KEY}"`);
    expect(faults).toEqual([]);
    await context.close();
  });

  it('a person without a model connects one, says hello, and is answered', async () => {
    const key = await control(`person/ada-${size}`);
    const { context, page, faults } = await visit(browser, { size, key });
    await page.getByText(`Accepted. You are ada-${size}.`).waitFor();
    await picture(page, `first-${size}`);
    expect(await broken(page)).toEqual([]);
    expect(await fits(page)).toBe(true);
    const test = page.getByRole('button', { name: 'Test', exact: true });
    expect(await test.isDisabled()).toBe(true);

    // Without a key: whether one runs on this server.
    await page.getByRole('radio', { name: /^Ollama/ }).check();
    await test.click();
    await page.getByRole('alert').waitFor();
    await page.getByRole('radio', { name: /^OpenAI/ }).check();
    expect(await page.getByRole('alert').count()).toBe(0);
    const field = page.getByLabel('Key of OpenAI');
    await field.fill('sk-bad-0123456789-wxyz');
    await test.click();
    await page.getByRole('alert').getByText(/key/i).waitFor();
    expect(await broken(page)).toEqual([]);
    await picture(page, `first-refused-${size}`);
    await field.fill('sk-good-0123456789-abcd');
    await test.click();
    await page.getByLabel('Model').selectOption('scripted');
    expect(await broken(page)).toEqual([]);
    await picture(page, `first-tested-${size}`);
    await page.getByRole('button', { name: 'Connect' }).click();
    await page.getByText('openai/scripted answers.').waitFor();
    expect(await page.content()).not.toContain('sk-good');
    await picture(page, `first-hello-${size}`);
    expect(await broken(page)).toEqual([]);
    await page.getByLabel('Message', { exact: true }).fill('echo hello there');
    await page.getByRole('button', { name: 'Send' }).click();
    await page.waitForURL(/\/chat\//);
    await answered(page, 'echo hello there');
    await expect
      .poll(async () => {
        const runs = (await (await context.request.get('/api/runs')).json()) as {
          items: { id: string; state: string }[];
        };
        const run = await context.request.get(`/api/runs/${runs.items[0]?.id}`);
        return ((await run.json()) as { steps: { paidBy: string }[] }).steps[0]?.paidBy;
      })
      .toBe('user');
    // The next visit is an ordinary day.
    await page.goto('/');
    await page.getByRole('region', { name: 'Since yesterday' }).getByText('One run').waitFor();
    expect(faults).toEqual([]);
    await context.close();
  });

  it('from the key to hello it is seven steps, without a wait for anybody', async () => {
    const secret = await control(`person/swift-${size}`);
    const { context, page, faults } = await visit(browser, { size, signedOut: true });
    const begun = performance.now();
    const steps = [
      () => page.getByLabel('Key').fill(secret),
      () => page.getByRole('button', { name: 'Sign in' }).click(),
      () => page.getByRole('radio', { name: /^OpenAI/ }).check(),
      () => page.getByLabel('Key of OpenAI').fill('sk-good-0123456789-abcd'),
      () => page.getByRole('button', { name: 'Test', exact: true }).click(),
      () => page.getByRole('button', { name: 'Connect' }).click(),
      () => page.getByRole('button', { name: 'Send' }).click(),
    ];
    for (const step of steps) await step();
    await answered(page, 'I heard: Hello.');
    const took = (performance.now() - begun) / 1000;
    // A person has two minutes for it, and reads and types in them.
    console.info(`${size}: ${steps.length} steps from the key to hello in ${took.toFixed(1)} s`);
    expect(faults).toEqual([]);
    await context.close();
  });

  it('a model that runs on this server is connected without a key', async () => {
    const key = await control(`person/eve-${size}`);
    const { context, page, faults } = await visit(browser, { size, key });
    // None runs here: what trying it says is made up, what is kept of it is not.
    await page.route('**/api/models/test', (route) =>
      route.fulfill({ json: { ok: true, models: ['tiny', 'small'], millis: 5 } }),
    );
    await page.getByRole('radio', { name: /^Ollama/ }).check();
    expect(await page.getByLabel(/^Key of/).count()).toBe(0);
    await page.getByRole('button', { name: 'Test', exact: true }).click();
    await page.getByLabel('Model').selectOption('small');
    await page.getByRole('button', { name: 'Connect' }).click();
    const models = async () =>
      ((await (await context.request.get('/api/profiles/personal')).json()) as { models: string[] }).models;
    await expect.poll(models).toEqual(['ollama/small']);
    expect(faults).toEqual([]);
    await context.close();
  });

  it('a model can wait: everything else can be looked at, and nothing is a dead end', async () => {
    const key = await control(`person/bob-${size}`);
    const { context, page, faults } = await visit(browser, { size, key });
    await page.getByRole('link', { name: 'Later' }).click();
    await page.getByText('Nothing has happened here yet.', { exact: false }).waitFor();
    expect(new URL(page.url()).search).toBe('');
    await picture(page, `first-day-${size}`);
    expect(await broken(page)).toEqual([]);
    expect(await fits(page)).toBe(true);
    // It does not come back by itself.
    await page.getByRole('link', { name: 'Needs you' }).first().click();
    await page.getByRole('heading', { name: 'Nothing waits for you.' }).waitFor();
    expect(await broken(page)).toEqual([]);
    await page.getByRole('link', { name: 'Today', exact: true }).first().click();
    await page.reload();
    const main = page.getByRole('main');
    await main.getByRole('link', { name: 'Write about you' }).click();
    await page.getByLabel('About you').waitFor();
    await page.goBack();
    await main.getByRole('link', { name: 'Add a tool server' }).click();
    await page.getByRole('button', { name: 'Add server' }).waitFor();
    await page.goBack();
    // What is said without a model is not lost, and says what is missing.
    await main.getByRole('link', { name: 'New chat' }).click();
    await page.getByRole('textbox', { name: 'Message', exact: true }).fill('echo too early');
    await page.locator('.composer button[type=submit]').click();
    await page.getByText('No model can answer yet. Connect one, then try again; the message is kept.').waitFor();
    await picture(page, `no-model-${size}`);
    expect(await broken(page)).toEqual([]);
    expect(await fits(page)).toBe(true);
    const unsent = page.url();
    await main.getByRole('link', { name: 'Connect a model' }).click();
    await page.getByRole('radio', { name: /^OpenAI/ }).check();
    await page.getByLabel('Key of OpenAI').fill('sk-good-0123456789-abcd');
    await page.getByRole('button', { name: 'Test', exact: true }).click();
    await page.getByRole('button', { name: 'Connect' }).click();
    await page.getByRole('link', { name: 'Later' }).click();
    await page.goto(unsent);
    // Kept, and sent now that somebody can answer: once.
    await page.locator('.md', { hasText: 'echo too early' }).waitFor();
    expect(await page.locator('.entry.mine').count()).toBe(1);
    expect(faults).toEqual([]);
    await context.close();
  });
});
