// How fast the page is, on a processor four times slower: printed, not judged here. Beside the journeys, because they
// need the same house: `./x figures`.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { composer, KEY, launch, URL_OF, visit, type Visit } from './support';

const ANSWERS = 200;
const THROTTLE = 4;
const OPENINGS = 7;

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(async () => {
  await browser.close();
});

async function slow(page: Page) {
  const devtools = await page.context().newCDPSession(page);
  await devtools.send('Emulation.setCPUThrottlingRate', { rate: THROTTLE });
}

interface Seen {
  tasks: number[];
  inputs: number[];
  frames: number[];
}

/** Watches long tasks, what input waits for, and frames. Before the page's own scripts. */
async function watch(page: Page) {
  await page.addInitScript(() => {
    const seen: Seen = { tasks: [], inputs: [], frames: [] };
    Object.assign(globalThis, { seen });
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) seen.tasks.push(entry.duration);
    }).observe({ type: 'longtask', buffered: true });
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries() as PerformanceEventTiming[])
        if (entry.name === 'keydown' || entry.name === 'input') seen.inputs.push(entry.processingEnd - entry.startTime);
    }).observe({ type: 'event', durationThreshold: 16, buffered: true } as PerformanceObserverInit);
    const frame = () => {
      seen.frames.push(performance.now());
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  });
}

const seen = (page: Page) => page.evaluate(() => (globalThis as unknown as { seen: Seen }).seen);
const forget = (page: Page) =>
  page.evaluate(() => {
    const all = (globalThis as unknown as { seen: Seen }).seen;
    [all.tasks, all.inputs, all.frames] = [[], [], []];
  });
const most = (numbers: number[]) => Math.round(Math.max(0, ...numbers));

async function ask(path: string, body?: object): Promise<Record<string, string>> {
  const method = body ? 'POST' : 'GET';
  const headers = { 'X-API-Key': KEY, 'Content-Type': 'application/json' };
  const answer = await fetch(`${URL_OF}${path}`, { method, headers, ...(body && { body: JSON.stringify(body) }) });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return (await answer.json()) as Record<string, string>;
}

/** A chat with that many answers. */
async function talked(answers: number): Promise<string> {
  let threadId: string | undefined;
  for (let turn = 0; turn < answers; turn += 1) {
    const body = { clientMessageId: crypto.randomUUID(), content: `markdown ${turn}`, ...(threadId && { threadId }) };
    const accepted = await ask('/api/messages', body);
    threadId = accepted['threadId'];
    await expect.poll(async () => (await ask(`/api/runs/${accepted['runId']}`))['state']).toBe('succeeded');
  }
  return threadId ?? '';
}

async function type(page: Page): Promise<number> {
  await forget(page);
  await composer(page).pressSequentially('what was it that we said about the trains', { delay: 30 });
  return most((await seen(page)).inputs);
}

interface Opened extends Visit {
  /** Milliseconds from the way there to the last answer. */
  took: number;
  /** Milliseconds of the longest task on it. */
  task: number;
}

async function open(thread: string): Promise<Opened> {
  const visited = await visit(browser);
  const { page } = visited;
  // What the first page of all does, as fetching all others for offline, is over.
  await page.waitForLoadState('networkidle');
  await watch(page);
  await slow(page);
  await page.addInitScript(() => {
    const at = () => {
      const last = [...document.querySelectorAll('.md')].at(-1);
      if (!last?.textContent?.includes('The end of it.')) return requestAnimationFrame(at);
      return Object.assign(globalThis, { openedAt: performance.now() });
    };
    requestAnimationFrame(at);
  });
  await page.goto(`/chat/${thread}`);
  await page.waitForFunction(() => 'openedAt' in globalThis);
  const took = Math.round(await page.evaluate(() => (globalThis as unknown as { openedAt: number }).openedAt));
  return { ...visited, took, task: most((await seen(page)).tasks) };
}

describe('figures', () => {
  it(`a chat with ${ANSWERS} answers`, { timeout: 300_000 }, async () => {
    const thread = await talked(ANSWERS);
    // One opening is luck: of several, each in a browser of its own, the middle one counts.
    const opened: Opened[] = [];
    for (let turn = 0; turn < OPENINGS; turn += 1) {
      if (turn > 0) await opened.at(-1)?.context.close();
      opened.push(await open(thread));
    }
    const { context, page } = opened.at(-1) as Opened;
    const times = opened.map(({ took }) => took).sort((one, other) => one - other);
    const longest = opened.map(({ task }) => task).sort((one, other) => one - other);
    const middle = Math.floor(OPENINGS / 2);
    const typing = await type(page);
    // Whoever scrolls up reads on; until there is no more.
    await expect
      .poll(
        async () => {
          await page.locator('.scroll').evaluate((scroll) => scroll.scrollTo({ top: -scroll.scrollHeight }));
          return page.locator('.log article').count();
        },
        { timeout: 120_000 },
      )
      .toBe(2 * ANSWERS);
    const typingAll = await type(page);
    console.log(
      `FIGURES ${ANSWERS} answers, ${THROTTLE} x throttle: open ${times[middle]} ms (${times[0]} to ${times.at(-1)}), ` +
        `longest task ${longest[middle]} ms (to ${longest.at(-1)}); ` +
        `a key waits at most ${typing} ms, with all of them read ${typingAll} ms`,
    );
    await context.close();
  });

  it('41 kB of streamed Markdown', { timeout: 120_000 }, async () => {
    const { context, page } = await visit(browser);
    await watch(page);
    await page.goto('/chat/new');
    await composer(page).fill('paced');
    await slow(page);
    await forget(page);
    await page.locator('.composer button[type=submit]').click();
    await page.locator('.md').first().waitFor();
    const begun = await page.evaluate(() => performance.now());
    await page.locator('.talk > header .st').waitFor({ state: 'detached', timeout: 90_000 });
    const took = (await page.evaluate(() => performance.now())) - begun;
    const { tasks, frames } = await seen(page);
    const drawn = frames.filter((at) => at >= begun && at <= begun + took).length;
    console.log(
      `FIGURES 41 kB stream, ${THROTTLE} x throttle: ${Math.round(took)} ms, ${Math.round((1000 * drawn) / took)} frames a second, ` +
        `${tasks.length} long tasks, longest ${most(tasks)} ms`,
    );
    await context.close();
  });
});
