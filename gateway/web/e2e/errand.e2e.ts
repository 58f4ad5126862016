// One errand from beginning to end, with the tools of a household: what the page is for, and how it looks then. The
// pictures of README are these.
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { answered, broken, crowded, fits, launch, picture, say, SIZES, visit, type Size } from './support';

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(async () => {
  await browser.close();
});

const manners = (Object.keys(SIZES) as Size[]).flatMap((size) =>
  (['light', 'dark'] as const).map((theme) => ({ size, theme })),
);

describe.each(manners)('on a $size in the $theme', ({ size, theme }) => {
  it('a train is found, and a friend is told once it is allowed', async () => {
    const { context, page, faults } = await visit(browser, { size, theme });
    await page.goto('/chat/new');
    await say(page, 'Find me a night train to Hamburg for 14 January, and tell Jonas I arrive that morning.');
    const slip = page.getByRole('group', { name: /send.message\?$/i });
    await slip.waitFor();
    await page.waitForURL(/\/chat\/[0-9a-f-]{36}$/);
    const thread = page.url().split('/').at(-1);
    const named = await context.request.patch(`/api/threads/${thread}`, {
      headers: { Origin: new URL(page.url()).origin },
      data: { title: 'Hamburg in January' },
    });
    expect(named.ok()).toBe(true);
    await page.getByRole('heading', { name: 'Hamburg in January' }).waitFor();
    // Exactly what would be sent.
    const asked = await slip.textContent();
    for (const part of ['jonas@example.com', 'Hamburg on the 14th', 'I arrive on Thursday 14 January at 07:53'])
      expect(asked).toContain(part);
    const log = page.locator('.log');
    for (const tool of ['find free time', 'search'])
      await log.locator('summary', { hasText: tool }).filter({ hasText: 'Done' }).waitFor();
    expect(await log.locator('table tr').count()).toBe(3);
    await picture(page, `errand-${size}-${theme}`);
    expect(await broken(page)).toEqual([]);
    expect(await fits(page)).toBe(true);
    expect(await crowded(page, '.composer')).toEqual([]);
    expect(await crowded(page, '.slip')).toEqual([]);
    await page.goto('/');
    await page.getByText('Hamburg', { exact: false }).first().waitFor();
    await picture(page, `errand-today-${size}-${theme}`);
    await page.goBack();
    await slip.getByRole('button', { name: 'Allow once' }).click();
    await answered(page, 'Jonas has the message.');
    expect(faults).toEqual([]);
    await context.close();
  });
});
