// Folders of chats: moving one or many, what the list shows then, other tabs, and reading without a network (UI.md 20).
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Rest } from './rest';
import {
  answered,
  broken,
  composer,
  crowded,
  fits,
  keptChats,
  launch,
  PATIENCE,
  picture,
  SIZES,
  visit,
  type Size,
} from './support';
import { tooSmall } from './telephone';

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(async () => {
  await browser.close();
});

const sizes = Object.keys(SIZES) as Size[];

const row = (page: Page, name: string) => page.locator('.threads li:has(.face)', { hasText: name });
const names = (page: Page) => page.locator('.threads li .face > span:first-of-type').allTextContents();
const toast = (page: Page, text: string) => page.locator('.toasts p', { hasText: text });
/** The row of a folder in the list, with how many chats are in it. */
const folder = (page: Page, name: string, chats: string) =>
  page.locator('.threads').getByRole('link', { name: `${name} ${chats}`, exact: true });
const picked = (page: Page, text: string) => page.getByRole('group', { name: 'Selected chats' }).getByText(text);
const sheet = (page: Page) => page.getByRole('dialog', { name: 'Move to a folder' });
const field = (page: Page) => sheet(page).getByRole('textbox', { name: 'New folder' });

/** Opens the menu of a row, and out of it the question for a folder. */
async function move(page: Page, name: string) {
  await row(page, name).hover();
  await row(page, name)
    .getByRole('button', { name: `Menu of “${name}”` })
    .click();
  await page.getByRole('button', { name: 'Move to folder…' }).click();
  await sheet(page).waitFor();
}

async function pick(page: Page, ...chats: string[]) {
  await page.getByRole('button', { name: 'Menu of the list' }).click();
  await page.getByRole('button', { name: 'Select chats' }).click();
  for (const name of chats) await row(page, name).getByRole('checkbox').check();
}

describe.each(sizes)('on a %s', (size) => {
  it('a chat is moved to a folder, stands there in every tab, and comes back', async () => {
    const rest = await Rest.person();
    const { context, page, faults } = await visit(browser, { size, key: rest.key });
    await rest.chats(['echo Oslo by train', 'echo Bergen by boat', 'echo plain talk here']);
    const [oslo, bergen, plain] = [
      'About echo Oslo by train',
      'About echo Bergen by boat',
      'About echo plain talk here',
    ];
    await page.goto('/chat');
    await row(page, oslo).waitFor();
    expect(await page.getByRole('heading', { name: 'Folders' }).count()).toBe(0);
    const other = await context.newPage();
    await other.goto('/chat');
    await row(other, oslo).waitFor();

    // Where there is no folder yet, one writes at once; Escape leaves all as it is.
    await page.bringToFront();
    await move(page, oslo);
    await expect.poll(() => field(page).evaluate((it) => it === document.activeElement)).toBe(true);
    expect(await sheet(page).getByRole('button', { name: 'Move', exact: true }).isDisabled()).toBe(true);
    expect(await sheet(page).getByRole('button', { name: 'Take out of the folder' }).count()).toBe(0);
    await page.keyboard.press('Escape');
    await sheet(page).waitFor({ state: 'hidden' });
    await move(page, oslo);
    await page.keyboard.type('  Trips  north ');
    await picture(page, `folder-new-${size}`);
    expect(await broken(page)).toEqual([]);
    expect(await fits(page)).toBe(true);
    await page.keyboard.press('Enter');
    await toast(page, `“${oslo}” is in the folder “Trips north”.`).waitFor();
    await folder(page, 'Trips north', 'One chat').waitFor();
    expect(await row(page, oslo).count()).toBe(0);
    expect((await names(page)).toSorted()).toEqual([bergen, plain]);
    await picture(page, `folders-${size}`);
    expect(await broken(page)).toEqual([]);
    expect(await fits(page)).toBe(true);
    if (size === 'phone') expect(await tooSmall(page)).toEqual([]);
    await folder(other, 'Trips north', 'One chat').waitFor();
    await expect.poll(() => row(other, oslo).count()).toBe(0);

    await toast(page, 'is in the folder').getByRole('button', { name: 'Undo' }).click();
    for (const tab of [page, other]) {
      await row(tab, oslo).waitFor();
      await tab.getByRole('heading', { name: 'Folders' }).waitFor({ state: 'detached' });
    }

    await move(page, oslo);
    await page.keyboard.type('Trips');
    await page.keyboard.press('Enter');
    await folder(page, 'Trips', 'One chat').waitFor();
    // A folder that is there is one click, or its name in whatever case.
    await move(page, bergen);
    await sheet(page).getByRole('button', { name: 'Trips' }).click();
    await folder(page, 'Trips', '2 chats').waitFor();
    await move(page, plain);
    await field(page).fill('trips');
    await page.keyboard.press('Enter');
    await folder(page, 'Trips', '3 chats').waitFor();
    expect(await names(page)).toEqual([]);
    await page.reload();
    await folder(page, 'Trips', '3 chats').waitFor();
    await picture(page, `folders-alone-${size}`);

    await folder(page, 'Trips', '3 chats').click();
    await page.waitForURL('**/chat/folder/Trips');
    await page.getByRole('heading', { name: 'Trips', level: size === 'phone' ? 1 : 2 }).waitFor();
    await expect.poll(async () => (await names(page)).toSorted()).toEqual([bergen, oslo, plain]);
    await picture(page, `folder-${size}`);
    expect(await broken(page)).toEqual([]);
    expect(await fits(page)).toBe(true);
    // It is read where it is; its menu knows where that is, and takes it out again.
    await row(page, bergen).getByRole('link').click();
    await page.waitForURL(/\/chat\/folder\/Trips\/[0-9a-f-]{36}$/);
    await answered(page, 'echo Bergen by boat');
    await page.getByRole('button', { name: 'Chat menu' }).click();
    await page.getByRole('button', { name: 'Move to folder…' }).click();
    expect(await sheet(page).getByRole('button', { name: 'Trips' }).getAttribute('aria-current')).toBe('true');
    await picture(page, `folder-choice-${size}`);
    expect(await broken(page)).toEqual([]);
    expect(await crowded(page, 'dialog[open]')).toEqual([]);
    if (size === 'phone') expect(await tooSmall(page)).toEqual([]);
    await sheet(page).getByRole('button', { name: 'Take out of the folder' }).click();
    await toast(page, `“${bergen}” is in no folder now.`).waitFor();
    await row(other, bergen).waitFor();
    await folder(other, 'Trips', '2 chats').waitFor();
    if (size === 'desktop') {
      await expect.poll(async () => (await names(page)).toSorted()).toEqual([oslo, plain]);
      await page.getByRole('link', { name: 'Back to the chats' }).click();
      await row(page, bergen).waitFor();
    } else {
      // Back is the list that it was opened from.
      await page.getByRole('link', { name: 'Chats', exact: true }).click();
      await page.waitForURL('**/chat/folder/Trips');
      await expect.poll(async () => (await names(page)).toSorted()).toEqual([oslo, plain]);
    }
    // A refusal is told, and nothing is moved.
    await page.goto('/chat');
    await page.route('**/api/threads/*', (route) =>
      route.request().method() === 'PATCH' ? route.abort() : route.continue(),
    );
    await move(page, bergen);
    await sheet(page).getByRole('button', { name: 'Trips' }).click();
    await toast(page, 'cannot be reached').waitFor();
    await row(page, bergen).waitFor();
    expect(faults).toEqual([]);
    await context.close();
  });

  it('many chats are moved at once, and what is pinned stays on top', async () => {
    const rest = await Rest.person();
    const { context, page, faults } = await visit(browser, { size, key: rest.key, theme: 'dark' });
    const said = ['echo one of them', 'echo two of them', 'echo three of them', 'echo four of them'];
    const ids = await rest.chats(said);
    const [one = '', two = '', three = '', four = ''] = said.map((text) => `About ${text}`);
    await rest.send('PATCH', `/api/threads/${ids[0]}`, { pinned: true });
    await rest.send('PATCH', `/api/threads/${ids[3]}`, { folder: 'another one' });
    await page.goto('/chat');
    await folder(page, 'another one', 'One chat').waitFor();
    await pick(page, one, two, three);
    await picked(page, '3 selected').waitFor();
    expect(await crowded(page, '.bulk')).toEqual([]);
    await picture(page, `folders-bulk-${size}`);
    await page.getByRole('button', { name: 'Move…' }).click();
    await sheet(page).waitFor();
    // Escape leaves the question, and not what is picked.
    await page.keyboard.press('Escape');
    await sheet(page).waitFor({ state: 'hidden' });
    await picked(page, '3 selected').waitFor();
    await page.getByRole('button', { name: 'Move…' }).click();
    const name = 'Work / R&D 100%';
    await field(page).fill(name);
    await picture(page, `folder-choice-many-${size}`);
    expect(await broken(page)).toEqual([]);
    await page.keyboard.press('Enter');
    await toast(page, `3 chats are in the folder “${name}”.`).waitFor();
    await folder(page, name, '3 chats').waitFor();
    expect(await names(page)).toEqual([one]);
    const headings = page.locator('.threads h2:not(.title)');
    expect(await headings.allTextContents()).toEqual(['Pinned', 'Folders']);
    await picture(page, `folders-pinned-${size}`);
    expect(await broken(page)).toEqual([]);
    await folder(page, name, '3 chats').click();
    await expect.poll(async () => (await names(page)).toSorted()).toEqual([one, three, two]);
    // Its address is one that can be kept.
    await page.reload();
    await expect.poll(async () => (await names(page)).toSorted()).toEqual([one, three, two]);
    await page.getByRole('button', { name: 'Menu of the list' }).click();
    await page.getByRole('button', { name: 'Select chats' }).click();
    await page.getByRole('button', { name: 'Select all' }).click();
    await page.getByRole('button', { name: 'Move…' }).click();
    await sheet(page).getByRole('button', { name: 'Take out of the folder' }).click();
    await toast(page, '3 chats are in no folder now.').waitFor();
    await page.getByText('Nothing is in this folder.').waitFor();
    await toast(page, 'in no folder').getByRole('button', { name: 'Undo' }).click();
    await expect.poll(async () => (await names(page)).toSorted(), { timeout: PATIENCE }).toEqual([one, three, two]);
    // One by one by the keyboard: arrows go through the folders.
    await move(page, two);
    await page.keyboard.press('ArrowDown');
    expect(await page.evaluate(() => document.activeElement?.textContent?.trim())).toBe(name);
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await toast(page, `“${two}” is in the folder “another one”.`).waitFor();
    await expect.poll(async () => (await names(page)).toSorted()).toEqual([one, three]);
    // What is archived or deleted in its folder comes back into it.
    await row(page, three).hover();
    await row(page, three)
      .getByRole('button', { name: `Menu of “${three}”` })
      .click();
    await page.getByRole('button', { name: 'Archive', exact: true }).click();
    await expect.poll(() => names(page)).toEqual([one]);
    await toast(page, 'is in the archive').getByRole('button', { name: 'Undo' }).click();
    await row(page, three).waitFor();
    await page.goto('/chat');
    await folder(page, 'another one', '2 chats').click();
    await expect.poll(async () => (await names(page)).toSorted()).toEqual([four, two].toSorted());
    expect(faults).toEqual([]);
    await context.close();
  });

  it('a folder is found and read without a network', async () => {
    const rest = await Rest.person();
    const [away = '', home = ''] = await rest.chats(['echo away from here', 'echo home is here']);
    await rest.send('PATCH', `/api/threads/${away}`, { folder: 'Away' });
    // Only now: what a page keeps while they are written is not yet all of it.
    const { context, page, faults } = await visit(browser, { size, key: rest.key });
    await page.goto('/chat');
    await page.evaluate(() => navigator.serviceWorker.ready.then(() => undefined));
    await folder(page, 'Away', 'One chat').waitFor();
    await expect
      .poll(async () => (await keptChats(page)).toSorted(), { timeout: PATIENCE * 2 })
      .toEqual([away, home].toSorted());
    await context.setOffline(true);
    await page.reload();
    await row(page, 'About echo home is here').waitFor();
    await folder(page, 'Away', 'One chat').click();
    await row(page, 'About echo away from here').waitFor();
    expect(await names(page)).toEqual(['About echo away from here']);
    await picture(page, `folder-offline-${size}`);
    await row(page, 'About echo away from here').getByRole('link').click();
    await page.locator('.log article:not(.mine)', { hasText: 'echo away from here' }).waitFor();
    // What nobody kept is not said to be empty.
    await page.goto('/chat/folder/Elsewhere');
    await page.locator('.threads').getByRole('alert').waitFor();
    expect(await page.getByText('Nothing is in this folder.').count()).toBe(0);
    await context.setOffline(false);
    await page.getByText('Nothing is in this folder.').waitFor();
    expect(faults).toEqual([]);
    await context.close();
  });
});

it('the list of chats reads on behind those that are in folders', async () => {
  const rest = await Rest.person();
  const { context, page, faults } = await visit(browser, { key: rest.key });
  const many = 'Everything that was said about the house, its roof and rooms';
  const old = await rest.chats(['echo oldest of all', 'echo second of all', 'echo third of all']);
  for (let ten = 0; ten < 5; ten += 1) {
    const ids = await Promise.all(Array.from({ length: 11 }, (_, at) => rest.ask(`echo chat ${ten * 10 + at}`)));
    await Promise.all(ids.map((id) => rest.send('PATCH', `/api/threads/${id}`, { folder: many })));
  }
  await rest.send('PATCH', `/api/threads/${old[0]}`, { folder: many, pinned: true });
  await page.goto('/chat');
  await folder(page, many, '56 chats').waitFor();
  // The three were begun at once: which of them is the newer one is chance.
  const others = ['About echo second of all', 'About echo third of all'];
  const shown = async () => [(await names(page))[0], ...(await names(page)).slice(1).toSorted()];
  await expect.poll(shown, { timeout: PATIENCE }).toEqual(['About echo oldest of all', ...others]);
  expect(await page.getByRole('button', { name: 'Show more' }).count()).toBe(0);
  await folder(page, many, '56 chats').click();
  await page.locator('.threads li').nth(49).waitFor();
  await picture(page, 'folder-long');
  expect(await fits(page)).toBe(true);
  expect(await broken(page)).toEqual([]);
  await page.locator('.threads li').last().scrollIntoViewIfNeeded();
  await expect.poll(() => page.locator('.threads li').count(), { timeout: PATIENCE }).toBe(56);
  expect(faults).toEqual([]);
  await context.close();
});

it('a name that is too long is refused in a sentence, not cut, and the chat stays where it is', async () => {
  const rest = await Rest.person();
  const { context, page, faults } = await visit(browser, { key: rest.key });
  const [id] = await rest.chats(['echo stays here']);
  await page.goto(`/chat/${id}`);
  await composer(page).fill(`/folder ${'x'.repeat(61)}`);
  await page.keyboard.press('Enter');
  await toast(page, 'The name of a folder has at most 60 characters.').waitFor();
  expect((await rest.read<{ folder: string | null }>(`/api/threads/${id}`)).folder).toBe(null);
  await composer(page).fill(`/folder ${'x'.repeat(60)}`);
  await page.keyboard.press('Enter');
  await toast(page, 'is in the folder').waitFor();
  expect((await rest.read<{ folder: string | null }>(`/api/threads/${id}`)).folder).toBe('x'.repeat(60));
  expect(faults).toEqual([]);
  await context.close();
});
