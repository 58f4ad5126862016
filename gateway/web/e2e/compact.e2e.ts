// Compacting a chat (UI.md 22): the model reads a summary of its older part, people go on reading what was said.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Rest } from './rest';
import {
  answered,
  broken,
  composer,
  crowded,
  fits,
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

const gauge = (page: Page) => page.locator('button.gauge');
const menu = (page: Page) => page.locator('#gauge');
const place = (page: Page) => page.getByRole('region', { name: 'Summary for the model' });
const toast = (page: Page, text: string) => page.locator('.toasts p', { hasText: text });
/** What stands in the conversation, in order: what was said, and where the summary ends. */
const lines = async (page: Page) => {
  const texts = await page.locator('.log .entry.mine .letter, .log .compacted summary').allTextContents();
  return texts.map((text) => text.trim());
};

async function talk(page: Page, texts: string[]) {
  await page.goto('/chat/new');
  for (const text of texts) {
    await say(page, text);
    await answered(page, text);
  }
}

/** What the model read first of the conversation, as it says. */
async function recalls(page: Page, expected: RegExp) {
  const before = await page.locator('.log article:not(.mine)').count();
  await say(page, 'recall');
  await expect.poll(() => page.locator('.log article:not(.mine)').count(), { timeout: PATIENCE }).toBe(before + 1);
  await answered(page, 'First I read');
  expect(await page.locator('.log article:not(.mine)').last().textContent()).toMatch(expected);
}

describe.each(sizes)('on a %s', (size) => {
  it('a chat is compacted from its gauge, seen on another device, read, and taken back', async () => {
    const rest = await Rest.person();
    const { context, page, faults } = await visit(browser, { size, key: rest.key });
    await talk(page, ['echo one', 'echo two', 'echo three', 'echo four']);
    const other = await visit(browser, { key: rest.key, theme: 'dark' });
    await other.page.goto(page.url());
    await other.page.locator('.entry.mine', { hasText: 'echo four' }).waitFor();

    await gauge(page).click();
    await menu(page).getByRole('button', { name: 'Compact now' }).waitFor();
    await picture(page, `gauge-${size}`);
    expect(await broken(page)).toEqual([]);
    expect(await crowded(page, '#gauge')).toEqual([]);
    await menu(page).getByRole('button', { name: 'Compact now' }).click();
    await toast(page, 'The model reads a summary').waitFor();
    await page.keyboard.press('Escape');
    const mark = 'Of what stands above, the model reads a summary';
    for (const seen of [page, other.page]) {
      await place(seen).waitFor();
      expect(await lines(seen)).toEqual(['echo one', 'echo two', mark, 'echo three', 'echo four']);
    }
    await expect.poll(() => gauge(page).textContent(), { timeout: PATIENCE }).toContain('known with the next answer');
    await place(page).getByText(mark).click();
    await place(page).getByText('They said: echo one; echo two.').waitFor();
    expect(await place(page).locator('.text strong').textContent()).toBe('They said:');
    await place(page).scrollIntoViewIfNeeded();
    await picture(page, `compacted-${size}`);
    expect(await broken(page)).toEqual([]);
    expect(await fits(page)).toBe(true);

    await recalls(page, /They said: echo one; echo two/);
    await expect.poll(() => gauge(page).textContent(), { timeout: PATIENCE }).not.toContain('known with');
    // It stays over a reload, and is taken back on the other device.
    await page.reload();
    await place(page).waitFor();
    await place(other.page).getByText(mark).click();
    await other.page.locator('.compacted .text').waitFor();
    await picture(other.page, `compacted-${size}-dark`);
    expect(await broken(other.page)).toEqual([]);
    await place(other.page).getByRole('button', { name: 'Read the messages again' }).click();
    for (const seen of [page, other.page]) await place(seen).waitFor({ state: 'detached' });
    await recalls(page, /First I read: echo one/);
    expect([...faults, ...other.faults]).toEqual([]);
    await context.close();
    await other.context.close();
  });

  it('it is an order, is taken back from its word, and where it cannot be done it says why', async () => {
    const rest = await Rest.person();
    const { context, page, faults } = await visit(browser, { size, key: rest.key });
    const order = async () => {
      await composer(page).fill('/compact');
      await page.getByRole('option', { name: /compact/ }).waitFor();
      await composer(page).press('Enter');
    };
    await talk(page, ['echo one', 'echo two']);
    await order();
    await toast(page, 'no answers before its newest two questions').waitFor();
    await say(page, 'fail');
    await page.getByRole('alert').filter({ hasText: 'Failed.' }).waitFor();
    for (const text of ['echo four', 'echo five']) {
      await say(page, text);
      await answered(page, text);
    }
    // The small model writes none of what failed.
    await order();
    await toast(page, 'refuse').waitFor();
    expect(await place(page).count()).toBe(0);

    await talk(page, ['echo one', 'echo two', 'echo three']);
    await order();
    await toast(page, 'The model reads a summary').getByRole('button', { name: 'Read the messages again' }).click();
    await place(page).waitFor({ state: 'detached' });
    await recalls(page, /First I read: echo one/);
    expect(faults).toEqual([]);
    await context.close();
  });
});
