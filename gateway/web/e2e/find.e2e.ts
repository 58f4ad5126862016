// Finding and keeping order: what UI.md lists as 16 to 20, 22, 23 and 40, profiles, and the ways between pages.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Rest } from './rest';
import {
  answered,
  broken,
  control,
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
const CHAT = /\/chat\/[0-9a-f]{8}-[0-9a-f-]{27}$/;

/** The row of a chat in the list, by what it is called. */
const row = (page: Page, name: string) => page.locator('.threads li', { hasText: name });
const names = (page: Page) => page.locator('.threads li .face > span:first-of-type').allTextContents();
const toast = (page: Page, text: string) => page.locator('.toasts p', { hasText: text });

/** Opens the menu of a row; on a desktop its button comes with the pointer. */
async function menuOf(page: Page, name: string) {
  await row(page, name).hover();
  await row(page, name)
    .getByRole('button', { name: `Menu of “${name}”` })
    .click();
}

async function isInView(page: Page, selector: string): Promise<boolean> {
  return page.locator(selector).evaluate((element) => {
    const place = element.getBoundingClientRect();
    const scroller = element.closest('.scroll')?.getBoundingClientRect();
    return scroller !== undefined && place.top >= scroller.top - 1 && place.top < scroller.bottom - 20;
  });
}

describe.each(sizes)('on a %s', (size) => {
  it('search finds words, and a hit opens its chat at the message', async () => {
    const rest = await Rest.person();
    const { context, page, faults } = await visit(browser, { size, key: rest.key });
    const id = await rest.ask('echo the zebra crossed first');
    for (let part = 0; part < 2; part += 1)
      await rest.steps(
        Array.from({ length: 15 }, (_, at) => `filler ${at} ${'words '.repeat(60)}`),
        id,
      );
    await page.goto('/chat');
    await page.getByRole('link', { name: 'Find in all chats' }).click();
    const field = page.getByRole('searchbox', { name: 'Search all messages' });
    await field.waitFor();
    await expect.poll(() => field.evaluate((it) => it === document.activeElement)).toBe(true);
    await field.fill('zebra cros');
    await page.getByText('2 messages, newest first').waitFor();
    expect(await page.locator('.hits mark').allTextContents()).toEqual(['zebra', 'crossed', 'zebra', 'crossed']);
    expect(page.url()).toContain('/chat/search?q=zebra+cros');
    await picture(page, `search-${size}`);
    expect(await broken(page)).toEqual([]);
    expect(await fits(page)).toBe(true);
    // What the person said stands further up than the chat is read at first.
    await page.getByRole('link', { name: /You, / }).click();
    const found = page.locator('article.is-found');
    await found.waitFor();
    expect(await found.textContent()).toContain('the zebra crossed first');
    await expect.poll(() => isInView(page, 'article.is-found'), { timeout: PATIENCE }).toBe(true);
    await expect.poll(() => found.evaluate((it) => it === document.activeElement)).toBe(true);
    const marked = () =>
      page.evaluate(() => [...(CSS.highlights.get('found') ?? [])].map((range) => String(range)).join(' '));
    await expect.poll(marked).toBe('zebra crossed');
    await picture(page, `jump-${size}`);
    expect(await broken(page)).toEqual([]);
    // It stays there: nothing that loads later pulls the view away.
    await page.waitForLoadState('networkidle');
    expect(await isInView(page, 'article.is-found')).toBe(true);
    // Back is the search as it was.
    await page.goBack();
    await page.getByText('2 messages, newest first').waitFor();
    expect(await field.inputValue()).toBe('zebra cros');
    expect(faults).toEqual([]);
    await context.close();
  });

  it('a hit on another branch shows that branch', async () => {
    const rest = await Rest.person();
    const { context, page, faults } = await visit(browser, { size, key: rest.key });
    const id = await rest.ask('echo hello there');
    type Messages = { items: { id: string; role: string; content: { text?: string }[] }[] };
    await rest.ask('echo the giraffe stays', id);
    const { items } = await rest.read<Messages>(`/api/threads/${id}/messages`);
    const said = items.find((item) => item.content[0]?.text === 'echo the giraffe stays' && item.role === 'user');
    const edited = { clientMessageId: `edit-${id}`, threadId: id, editedId: said?.id, content: 'echo the other way' };
    await rest.send('POST', '/api/messages', edited);
    const isAnswered = async () => {
      const head = await rest.read<Messages>(`/api/threads/${id}/messages?branch=head`);
      return head.items.at(-1)?.content[0]?.text;
    };
    await expect.poll(isAnswered, { timeout: PATIENCE }).toBe('echo the other way');
    await page.goto(`/chat/${id}`);
    await answered(page, 'echo the other way');
    expect(await page.getByText('giraffe').count()).toBe(0);
    await page.goto('/chat/search?q=giraffe');
    await page.getByRole('link', { name: /You, / }).click();
    await page.locator('article.is-found', { hasText: 'the giraffe stays' }).waitFor();
    await page.getByText('stands in another version of this chat').waitFor();
    expect(await page.getByText('the other way').count()).toBe(0);
    await page.locator('article', { hasText: 'the giraffe stays' }).nth(1).waitFor();
    // A message that is not of this chat is no reason to fail.
    await page.goto(`/chat/${id}?message=11111111-1111-4111-8111-111111111111`);
    await page.getByText('is no more in this chat').waitFor();
    expect(faults).toEqual([]);
    await context.close();
  });

  it('search reads on, says what it did not find, and when it failed', async () => {
    const rest = await Rest.person();
    const { context, page, faults } = await visit(browser, { size, key: rest.key });
    await rest.chats(Array.from({ length: 20 }, (_, at) => `echo the parrot says &amp; and 1 < 2, number ${at}`));
    await page.goto('/chat/search?q=parrot');
    await page.getByText('The newest 30 messages').waitFor();
    // Text of messages is text.
    expect(await page.locator('.hits li').first().textContent()).toContain('says &amp; and 1 < 2');
    await page.getByRole('button', { name: 'Show more' }).click();
    await page.getByText('40 messages, newest first').waitFor();
    expect(await page.locator('.hits li').count()).toBe(40);
    const field = page.getByRole('searchbox', { name: 'Search all messages' });
    await field.fill('parrot unicorn');
    await page.getByText('Nothing was found for “parrot unicorn”.').waitFor();
    expect(await page.locator('.hits li').count()).toBe(0);
    await picture(page, `search-none-${size}`);
    await page.route('**/api/search**', (route) => route.abort());
    await field.fill('parrot');
    await page.getByRole('heading', { name: 'The search did not work.' }).waitFor();
    expect(await broken(page)).toEqual([]);
    await page.unroute('**/api/search**');
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.getByText('The newest 30 messages').waitFor();
    // From the field into what was found, by the keyboard.
    await field.focus();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await page.locator('article.is-found').waitFor();
    expect(faults).toEqual([]);
    await context.close();
  });

  it('filters narrow a search, stay in the address, and are cleared', async () => {
    const rest = await Rest.person();
    const { context, page, faults } = await visit(browser, { size, key: rest.key });
    const [otter = '', put = ''] = await rest.chats(['echo otter one swims', 'play [["the otter dives"]]']);
    await rest.send('PATCH', `/api/threads/${otter}`, { title: 'Otter days' });
    await rest.send('PATCH', `/api/threads/${put}`, { title: 'Put away', archived: true });
    const hits = page.locator('.hits li');
    const role = (name: string) => page.locator('.filters label', { hasText: name });
    await page.goto('/chat/search?q=otter');
    await page.getByText('4 messages, newest first').waitFor();
    expect(await hits.filter({ hasText: 'Archived' }).locator('b').allTextContents()).toEqual(['Put away', 'Put away']);
    await role('You').click();
    await page.getByText('2 messages, newest first').waitFor();
    expect(await hits.getByText(/You, /).count()).toBe(2);
    expect(page.url()).toContain('role=user');
    await role('Answers').click();
    await expect.poll(() => hits.getByText(/Chief of Staff, /).count()).toBe(2);
    // All of it is new: what the server is asked for is what tells the times apart.
    const asked = page.waitForRequest((request) => request.url().includes('since='));
    await page.getByRole('combobox', { name: 'When' }).selectOption('Last 7 days');
    const since = new URL((await asked).url()).searchParams.get('since') ?? '';
    expect(Math.round((Date.now() - new Date(since).getTime()) / 86_400_000)).toBe(7);
    await page.getByText('2 messages, newest first').waitFor();
    expect(await broken(page)).toEqual([]);
    // A hit and back, and a reload, leave them as they are.
    await hits.first().getByRole('link').click();
    await page.locator('article.is-found').waitFor();
    await page.goBack();
    await page.getByText('2 messages, newest first').waitFor();
    await page.reload();
    await page.getByText('2 messages, newest first').waitFor();
    expect(await page.getByRole('radio', { name: 'Answers' }).isChecked()).toBe(true);
    expect(await page.getByRole('combobox', { name: 'When' }).inputValue()).toBe('week');
    await page.getByRole('button', { name: 'Clear filters' }).click();
    await page.getByText('4 messages, newest first').waitFor();
    expect(page.url()).toMatch(/search\?q=otter$/);
    // From a chat, in that chat alone.
    await page.goto(`/chat/${otter}`);
    await answered(page, 'echo otter one swims');
    await page.getByRole('button', { name: 'Chat menu' }).click();
    await page.getByRole('button', { name: 'Find in this chat' }).click();
    const only = page.getByRole('button', { name: 'In “Otter days”' });
    await only.waitFor();
    const field = page.getByRole('searchbox', { name: 'Search all messages' });
    await field.fill('otter');
    await page.getByText('2 messages, newest first').waitFor();
    expect(await hits.locator('b').allTextContents()).toEqual(['Otter days', 'Otter days']);
    await role('Answers').click();
    await page.getByText('One message, newest first').waitFor();
    await picture(page, `search-filters-${size}`);
    expect(await broken(page)).toEqual([]);
    expect(await fits(page)).toBe(true);
    expect(await crowded(page, '.filters')).toEqual([]);
    // A row of the page on a desktop, two on a phone.
    expect((await page.locator('.filters').boundingBox())?.height).toBeLessThan(120);
    await field.fill('otter dives');
    await page.getByText('Nothing was found for “otter dives” with these filters.').waitFor();
    await picture(page, `search-filters-none-${size}`);
    expect(await broken(page)).toEqual([]);
    await only.click();
    expect(await field.evaluate((it) => it === document.activeElement)).toBe(true);
    await page.getByText('One message, newest first').waitFor();
    await page.goto(`/chat/search?q=otter+dives&role=user&thread=${otter}`);
    await page.getByRole('button', { name: 'Search without filters' }).click();
    await page.getByText('2 messages, newest first').waitFor();
    expect(await field.evaluate((it) => it === document.activeElement)).toBe(true);
    expect(faults).toEqual([]);
    await context.close();
  });

  it('a chat is called as it begins, and then by its title', async () => {
    const rest = await Rest.person();
    const { context, page, faults } = await visit(browser, { size, key: rest.key });
    await page.goto('/chat/new');
    await say(page, 'hold the train for me, please');
    await page.waitForURL(CHAT);
    await page.getByRole('heading', { name: 'hold the train for me, please' }).waitFor();
    expect(await page.title()).toBe('hold the train for me, please · Adjutant');
    // Also where nothing of it was seen but the list.
    const other = await context.newPage();
    await other.goto('/chat');
    await row(other, 'hold the train for me, please').waitFor();
    expect(await other.getByText('Chat without a title').count()).toBe(0);
    await control('release');
    await answered(page, 'and the rest.');
    await page.getByRole('heading', { name: 'About hold the train for' }).waitFor();
    await row(other, 'About hold the train for').waitFor();
    expect(await page.title()).toBe('About hold the train for · Adjutant');
    expect(faults).toEqual([]);
    await context.close();
  });

  it('a chat is renamed in its place, pinned and archived, and each stays', async () => {
    const rest = await Rest.person();
    const { context, page, faults } = await visit(browser, { size, key: rest.key });
    await rest.chats(['echo apples are red', 'echo bananas are yellow', 'echo cherries are small']);
    await page.goto('/chat');
    await menuOf(page, 'About echo apples are red');
    await picture(page, `row-menu-${size}`);
    expect(await broken(page)).toEqual([]);
    await page.getByRole('button', { name: 'Rename', exact: true }).click();
    const field = page.getByRole('textbox', { name: 'Title of “About echo apples are red”' });
    await field.waitFor();
    await expect.poll(() => field.evaluate((it) => it === document.activeElement)).toBe(true);
    await page.keyboard.type('Not this');
    await page.keyboard.press('Escape');
    await row(page, 'About echo apples are red').waitFor();
    await menuOf(page, 'About echo apples are red');
    await page.getByRole('button', { name: 'Rename', exact: true }).click();
    await field.fill('Apples & <i>pears</i>');
    await page.keyboard.press('Enter');
    await row(page, 'Apples & <i>pears</i>').waitFor();
    // A refusal is said where it is written, and nothing written is lost.
    await page.route('**/api/threads/*', (route) =>
      route.request().method() === 'PATCH' ? route.abort() : route.continue(),
    );
    await menuOf(page, 'About echo bananas are yellow');
    await page.getByRole('button', { name: 'Rename', exact: true }).click();
    await page.getByRole('textbox', { name: 'Title of “About echo bananas are yellow”' }).fill('Bananas');
    await page.keyboard.press('Enter');
    await page.getByRole('alert').getByText('cannot be reached').waitFor();
    await page.unroute('**/api/threads/*');
    await page.keyboard.press('Enter');
    await row(page, 'Bananas').waitFor();
    await menuOf(page, 'Bananas');
    await page.getByRole('button', { name: 'Pin', exact: true }).click();
    await page.getByRole('heading', { name: 'Pinned' }).waitFor();
    expect((await names(page))[0]).toBe('Bananas');
    await menuOf(page, 'About echo cherries are small');
    await page.getByRole('button', { name: 'Archive', exact: true }).click();
    await toast(page, '“About echo cherries are small” is in the archive.').waitFor();
    expect(await row(page, 'cherries').count()).toBe(0);
    await page.getByRole('button', { name: 'Menu of the list' }).click();
    await page.getByRole('link', { name: 'Archive' }).click();
    await page.waitForURL('**/chat/archive');
    await row(page, 'About echo cherries are small').waitFor();
    expect(await names(page)).toEqual(['About echo cherries are small']);
    await picture(page, `archive-${size}`);
    expect(await broken(page)).toEqual([]);
    // It is read where it is, and taken out again.
    await row(page, 'About echo cherries are small').getByRole('link').click();
    await answered(page, 'echo cherries are small');
    await page.getByRole('button', { name: 'Chat menu' }).click();
    await page.getByRole('button', { name: 'Take out of the archive' }).click();
    await toast(page, 'among the chats again').waitFor();
    await page.goto('/chat');
    await page.reload();
    await row(page, 'cherries').waitFor();
    expect((await names(page))[0]).toBe('Bananas');
    expect((await names(page)).toSorted()).toEqual([
      'About echo cherries are small',
      'Apples & <i>pears</i>',
      'Bananas',
    ]);
    // In the header it is renamed just so.
    await row(page, 'Bananas').getByRole('link').click();
    await page.getByRole('button', { name: 'Chat menu' }).click();
    await page.getByRole('button', { name: 'Rename', exact: true }).click();
    await page.getByRole('textbox', { name: 'Title of “Bananas”' }).fill('Yellow');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Yellow', level: 1 }).waitFor();
    expect(await page.title()).toBe('Yellow · Adjutant');
    expect(faults).toEqual([]);
    await context.close();
  });

  it('a deleted chat comes back, from the notice and from the list of deleted ones', async () => {
    const rest = await Rest.person();
    const { context, page, faults } = await visit(browser, { size, key: rest.key });
    // Those that were deleted in earlier journeys are listed, too: this one has a name of its own.
    const [said, dropped] = [`echo drop ${size} one here`, `About echo drop ${size} one`];
    const [first = '', second = ''] = await rest.chats(['echo keep this one here', said]);
    await page.goto(`/chat/${second}`);
    await answered(page, said);
    const other = await context.newPage();
    await other.goto(`/chat/${second}`);
    await answered(other, said);
    await page.getByRole('button', { name: 'Chat menu' }).click();
    await page.getByRole('button', { name: 'Delete', exact: true }).click();
    await toast(page, `“${dropped}” is deleted.`).waitFor();
    // Whoever looked at it stands on something that is there.
    await page.waitForURL('**/chat');
    expect(await row(page, dropped).count()).toBe(0);
    // In another tab it says what happened, and offers the way on.
    await other.getByRole('heading', { name: 'This chat is deleted' }).waitFor();
    await picture(other, `gone-${size}`);
    expect(await broken(other)).toEqual([]);
    await toast(page, 'is deleted').getByRole('button', { name: 'Undo' }).click();
    await page.waitForURL(`**/chat/${second}`);
    await answered(page, said);
    await answered(other, said);
    await say(page, 'echo it goes on');
    await answered(page, 'echo it goes on');
    await page.getByRole('button', { name: 'Chat menu' }).click();
    await page.getByRole('button', { name: 'Delete', exact: true }).click();
    await toast(page, 'is deleted').waitFor();
    await page.goto('/chat/deleted');
    await page.getByText('can be restored for thirty days').waitFor();
    await row(page, dropped).first().waitFor();
    expect((await names(page))[0]).toBe(dropped);
    await page
      .getByRole('button', { name: `Restore ${dropped}` })
      .first()
      .click();
    await expect.poll(() => names(page)).not.toContain(dropped);
    await page.goto('/chat');
    await row(page, dropped).waitFor();
    // A key is enough, and the chat that is open is not disturbed by it.
    if (size === 'desktop') {
      await page.goto(`/chat/${first}`);
      await answered(page, 'echo keep this one here');
      await row(page, dropped).getByRole('link').focus();
      await page.keyboard.press('Delete');
      await toast(page, 'is deleted').waitFor();
      expect(page.url()).toContain(first);
    }
    expect(faults).toEqual([]);
    await context.close();
  });

  it('many chats are selected, archived or deleted, and taken back', async () => {
    const rest = await Rest.person();
    const { context, page, faults } = await visit(browser, { size, key: rest.key });
    const ids = await rest.chats([
      'echo one of the chats',
      'echo two of the chats',
      'echo three of the chats',
      'echo four of the chats',
      'echo five of the chats',
    ]);
    await page.goto('/chat');
    await row(page, 'About echo five of the').waitFor();
    const before = await names(page);
    await page.getByRole('button', { name: 'Menu of the list' }).click();
    await page.getByRole('button', { name: 'Select chats' }).click();
    const boxes = page.getByRole('checkbox');
    await boxes.nth(0).check();
    await boxes.nth(3).click({ modifiers: ['Shift'] });
    await page.getByText('4 selected').waitFor();
    await boxes.nth(1).uncheck();
    await page.getByText('3 selected').waitFor();
    await picture(page, `bulk-${size}`);
    expect(await broken(page)).toEqual([]);
    expect(await fits(page)).toBe(true);
    await page.getByRole('button', { name: 'Delete', exact: true }).click();
    await toast(page, '3 chats are deleted.').waitFor();
    expect(await names(page)).toEqual([before[1], before[4]]);
    expect(await boxes.count()).toBe(0);
    await toast(page, '3 chats').getByRole('button', { name: 'Undo' }).click();
    await expect.poll(() => names(page), { timeout: PATIENCE }).toEqual(before);
    await page.getByRole('button', { name: 'Menu of the list' }).click();
    await page.getByRole('button', { name: 'Select chats' }).click();
    await page.getByRole('button', { name: 'Select all' }).click();
    await page.getByText('5 selected').waitFor();
    // One of them is refused: it stays, selected, and that is said.
    await page.route(`**/api/threads/${ids[2]}`, (route) => route.abort());
    await page.getByRole('button', { name: 'Archive', exact: true }).click();
    await page.getByRole('alert').getByText('One is left as it was.').waitFor();
    await page.getByText('1 selected').waitFor();
    expect(await names(page)).toEqual(['About echo three of the']);
    await page.unroute(`**/api/threads/${ids[2]}`);
    await page.keyboard.press('Escape');
    await boxes.first().waitFor({ state: 'detached' });
    await toast(page, '4 chats are in the archive.').getByRole('button', { name: 'Undo' }).click();
    await expect.poll(() => names(page), { timeout: PATIENCE }).toEqual(before);
    expect(faults).toEqual([]);
    await context.close();
  });

  it('a long list is read as one scrolls, and what is pinned stands on top', async () => {
    const rest = await Rest.person();
    const { context, page, faults } = await visit(browser, { size, key: rest.key });
    const [oldest, second] = await rest.chats(['echo oldest of all', 'echo second of all']);
    for (let ten = 0; ten < 6; ten += 1)
      await Promise.all(Array.from({ length: 10 }, (_, at) => rest.ask(`echo chat ${ten * 10 + at}`)));
    await rest.send('PATCH', `/api/threads/${oldest}`, { pinned: true });
    await rest.send('PATCH', `/api/threads/${second}`, { title: 'Plum jam' });
    await page.goto('/chat');
    await page.locator('.threads li').nth(49).waitFor();
    expect((await names(page))[0]).toBe('About echo oldest of all');
    expect(await page.locator('.threads li').count()).toBeLessThan(62);
    // A chat that the list was not read down to is found by its title, which nobody said.
    expect(await names(page)).not.toContain('Plum jam');
    await page.keyboard.press('Control+k');
    await page.getByRole('combobox', { name: 'Find anything' }).fill('plum ja');
    await page.getByText('More chats').waitFor();
    await picture(page, `box-more-${size}`);
    expect(await broken(page)).toEqual([]);
    await page.keyboard.press('Enter');
    await page.waitForURL(`**/chat/${second}`);
    await answered(page, 'echo second of all');
    await page.goto('/chat');
    await page.locator('.threads li').last().scrollIntoViewIfNeeded();
    await expect.poll(() => page.locator('.threads li').count(), { timeout: PATIENCE }).toBe(62);
    expect(await page.getByRole('button', { name: 'Show more' }).count()).toBe(0);
    expect(
      new Set(
        await page.locator('.threads li a').evaluateAll((links) => links.map((link) => link.getAttribute('href'))),
      ).size,
    ).toBe(62);
    expect(faults).toEqual([]);
    await context.close();
  });
});
