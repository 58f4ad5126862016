// How it looks for those who need it otherwise: theme, large text, forced colours, no motion. What UI.md lists as 37.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { broken, control, fits, launch, picture, say, SIZES, URL_OF, visit, type Size } from './support';

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(async () => {
  await browser.close();
});

const sizes = Object.keys(SIZES) as Size[];
const PAGES = ['/', '/needs-you', '/settings', '/chat'];

async function go(page: Page, path: string) {
  await page.goto(path);
  await page.locator('#main').waitFor();
  await page.waitForLoadState('networkidle');
}

/** Words that are cut off by their own box, or stand over the edge of the window. */
async function cut(page: Page): Promise<string[]> {
  return page.evaluate(() =>
    [
      ...document.querySelectorAll<HTMLElement>(
        'main :is(h1, h2, h3, .btn, .st, .seg label, label, .meta), .nav li span',
      ),
    ]
      .filter((element) => element.checkVisibility() && !element.closest('.vh, .opt, .set > nav'))
      .filter((element) => getComputedStyle(element).textOverflow !== 'ellipsis')
      .filter((element) => {
        const box = element.getBoundingClientRect();
        const isBeyond = box.width > 1 && (box.right > innerWidth + 1 || box.left < -1);
        return isBeyond || element.scrollWidth > element.clientWidth + 2;
      })
      .filter((element) => getComputedStyle(element).display !== 'inline')
      .map((element) => `${element.tagName}.${element.className}: ${element.textContent?.trim().slice(0, 40)}`),
  );
}

/** Makes all text twice as large, as a browser can; what does not become so. The words of the bar at the bottom may not:
 * on a telephone three of them share its width. */
async function doubled(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const isText = (node: Node) => node.nodeType === Node.TEXT_NODE && node.textContent?.trim();
    const texts = [...document.querySelectorAll('body *')].filter(
      (element) => element.checkVisibility() && !element.closest('.nav') && [...element.childNodes].some(isText),
    );
    const sizes = () => texts.map((element) => parseFloat(getComputedStyle(element).fontSize));
    const before = sizes();
    document.documentElement.style.fontSize = '200%';
    const after = sizes();
    const stuck = texts.filter((_, index) => (after[index] ?? 0) < (before[index] ?? 0) * 1.95);
    return [...new Set(stuck.map((element) => `${element.tagName}.${element.className}`))];
  });
}

async function cleared(page: Page) {
  const answer = await page.context().request.get('/api/approvals?state=pending&limit=100');
  const { items } = (await answer.json()) as { items: { id: string }[] };
  const headers = { Origin: URL_OF };
  for (const { id } of items)
    await page.context().request.post(`/api/approvals/${id}`, { headers, data: { decision: 'deny' } });
}

/** With something that waits on the pages. */
async function filled(page: Page, size: Size) {
  await cleared(page);
  await page.goto('/chat/new');
  await say(page, `effect the look of it on a ${size}`);
  await page.getByRole('group', { name: /effect\?$/i }).waitFor();
}

const manners = sizes.flatMap((size) => (['light', 'dark'] as const).map((theme) => ({ size, theme })));

describe.each(manners)('on a $size in the $theme', ({ size, theme }) => {
  it('every section of the settings is whole, also with its forms open', async () => {
    const { context, page, faults } = await visit(browser, { size, theme });
    await go(page, '/settings');
    for (const name of ['Add a model', 'Add key for Anthropic', 'Add server', 'Make a key', 'Write your own']) {
      await page.getByRole('button', { name, exact: true }).first().click();
    }
    for (const summary of await page.locator('#servers details[data-row] > summary').all()) await summary.click();
    await page.getByText('All its tools').first().waitFor();
    expect(await broken(page)).toEqual([]);
    expect(await fits(page)).toBe(true);
    expect(await cut(page)).toEqual([]);
    // What was opened for its look is not kept as something written.
    await page.getByRole('button', { name: 'Back to the default' }).last().click();
    expect(faults).toEqual([]);
    await context.close();
  });
});

describe.each(sizes)('on a %s', (size) => {
  it('the theme is the system’s, or the one that was chosen, and stays', async () => {
    const { context, page, faults } = await visit(browser, { size });
    const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    await go(page, '/settings/appearance');
    const light = await paper();
    await page.emulateMedia({ colorScheme: 'dark' });
    await expect.poll(paper).not.toBe(light);
    const dark = await paper();
    await page.getByLabel('Light', { exact: true }).check();
    await expect.poll(paper).toBe(light);
    await page.reload();
    await page.locator('#appearance').waitFor();
    expect(await paper()).toBe(light);
    await page.emulateMedia({ colorScheme: 'light' });
    await page.getByLabel('Dark', { exact: true }).check();
    await expect.poll(paper).toBe(dark);
    await page.getByLabel('As the system').check();
    await expect.poll(paper).toBe(light);
    expect(faults).toEqual([]);
    await context.close();
  });

  it('large text stays whole on every page, chosen here or doubled by the browser', async () => {
    const { context, page, faults } = await visit(browser, { size });
    await filled(page, size);
    await go(page, '/settings/appearance');
    await page.getByLabel('150 %').check();
    await page.reload();
    expect(await page.evaluate(() => getComputedStyle(document.documentElement).fontSize)).toBe('24px');
    for (const path of PAGES) {
      await go(page, path);
      expect([path, await cut(page), await fits(page)]).toEqual([path, [], true]);
      await picture(page, `large-${size}${path.replace('/', '-')}`);
    }
    await go(page, '/settings/appearance');
    await page.getByLabel('100 %').check();
    for (const path of PAGES) {
      await go(page, path);
      expect([path, await doubled(page)]).toEqual([path, []]);
      expect([path, await cut(page), await fits(page)]).toEqual([path, [], true]);
      await picture(page, `double-${size}${path.replace('/', '-')}`);
    }
    // Zoom is a smaller window.
    if (size === 'desktop') {
      await page.setViewportSize({ width: 720, height: 450 });
      for (const path of PAGES) {
        await go(page, path);
        expect([path, await cut(page), await fits(page)]).toEqual([path, [], true]);
      }
    }
    await cleared(page);
    expect(faults).toEqual([]);
    await context.close();
  });

  it('with forced colours, what is chosen and what has the focus can be seen', async () => {
    const { context, page, faults } = await visit(browser, { size });
    await filled(page, size);
    await page.emulateMedia({ forcedColors: 'active' });
    for (const path of PAGES) {
      await go(page, path);
      const blind: string[] = [];
      for (let step = 0; step < 12; step += 1) {
        await page.keyboard.press('Tab');
        const seen = await page.evaluate(() => {
          const focused = document.activeElement as HTMLElement;
          const frames = [focused, focused.closest('label'), focused.closest('.composer')];
          const has = frames.some((frame) => {
            const style = frame && getComputedStyle(frame);
            return style && style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
          });
          return has || focused === document.body ? '' : focused.outerHTML.slice(0, 120);
        });
        if (seen) blind.push(seen);
      }
      expect([path, blind]).toEqual([path, []]);
    }
    await go(page, '/settings/appearance');
    const look = (name: string) =>
      page.locator('.seg label', { hasText: name }).evaluate((label) => getComputedStyle(label).backgroundColor);
    // The system's own colour: of a colour of ours only the name would be left, and nothing to see.
    const highlight = await page.evaluate(() => {
      const probe = document.createElement('i');
      probe.style.setProperty('forced-color-adjust', 'none');
      probe.style.backgroundColor = 'Highlight';
      document.body.append(probe);
      const { backgroundColor } = getComputedStyle(probe);
      probe.remove();
      return backgroundColor;
    });
    expect(await look('As the system')).toBe(highlight);
    expect(await look('Dark')).not.toBe(highlight);
    await picture(page, `forced-${size}`);
    await page.emulateMedia({ forcedColors: 'none' });
    await cleared(page);
    expect(faults).toEqual([]);
    await context.close();
  });

  it('who wants no motion sees none', async () => {
    const { context, page, faults } = await visit(browser, { size });
    await page.goto('/chat/new');
    await say(page, `hold still on a ${size}`);
    await page.locator('.md', { hasText: 'Some words' }).waitFor();
    await page.emulateMedia({ reducedMotion: 'no-preference' });
    await page.goto('/');
    const running = page.locator('.m-running').first();
    await running.waitFor();
    const moves = () => page.evaluate(() => document.getAnimations().length);
    await expect.poll(moves).toBeGreaterThan(0);
    await page.emulateMedia({ reducedMotion: 'reduce' });
    await expect.poll(moves).toBe(0);
    await page.goBack();
    await page.locator('.md', { hasText: 'Some words' }).waitFor();
    await expect.poll(moves).toBe(0);
    await control('release');
    await page.locator('.md', { hasText: 'and the rest.' }).waitFor();
    expect(faults).toEqual([]);
    await context.close();
  });
});
