// The one WebSocket of a page: cut in the middle of an answer, dead without a word, and held by a device that slept.
import type { Browser, Page, WebSocketRoute } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Rest } from './rest';
import { answered, control, launch, PATIENCE, say, visit, type Size } from './support';

const sizes: Size[] = ['desktop', 'phone'];

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(async () => {
  await browser.close();
});

/** A line between the page and the server that can be cut, closed to new ones, and made deaf. */
class Line {
  /** Sockets that came through. */
  opened = 0;
  isShut = false;
  /** Times that the server said that it is there. */
  pongs = 0;
  #page: WebSocketRoute | undefined;
  #deaf = new Set<WebSocketRoute>();

  static async of(page: Page): Promise<Line> {
    const line = new Line();
    // The page that was shown until now may just be opening its own.
    await page.goto('about:blank');
    await page.routeWebSocket(/\/ws\?/, (socket) => line.#take(socket));
    return line;
  }

  #take(socket: WebSocketRoute) {
    if (this.isShut) return void socket.close({ code: 4999, reason: 'the line is shut' });
    this.opened += 1;
    this.#page = socket;
    const server = socket.connectToServer();
    socket.onMessage((frame) => this.#deaf.has(socket) || server.send(frame));
    server.onMessage((frame) => {
      if (this.#deaf.has(socket)) return;
      socket.send(frame);
      if (frame === '{"type":"pong"}') this.pongs += 1;
    });
  }

  async cut() {
    await this.#page?.close({ code: 4999, reason: 'the line is cut' });
  }

  /** The socket stays open, and nothing comes through it any more. */
  die() {
    if (this.#page) this.#deaf.add(this.#page);
  }
}

const HELD = 'Some words and the rest.';

const md = (page: Page, text: string) => page.locator('.md', { hasText: text });
/** The answers, whole. */
const text = (page: Page) => page.locator('.md').allTextContents();

describe.each(sizes)('on a %s', (size) => {
  it('a socket that is cut in the middle of an answer is opened again, and the answer goes on', async () => {
    const { context, page, faults } = await visit(browser, { size, key: (await Rest.person()).key });
    const line = await Line.of(page);
    await page.goto('/chat/new');
    await say(page, 'hold');
    await md(page, 'Some words').waitFor();
    await line.cut();
    await expect.poll(() => line.opened, { timeout: PATIENCE }).toBe(2);
    await control('release');
    await answered(page, HELD);
    expect((await text(page)).map((words) => words.split('Some words').length - 1)).toEqual([1]);
    expect(faults).toEqual([]);
    await context.close();
  });

  it('what was written while there was no connection is there once, and the page said that it had none', async () => {
    const rest = await Rest.person();
    const { context, page, faults } = await visit(browser, { size, key: rest.key });
    const line = await Line.of(page);
    await page.goto('/chat/new');
    await say(page, 'hold');
    await md(page, 'Some words').waitFor();
    line.isShut = true;
    await line.cut();
    await page.getByText(/^Offline\. You can read/).waitFor();
    await control('release');
    const ended = async () => (await rest.read<{ items: { state: string }[] }>('/api/runs')).items[0]?.state;
    await expect.poll(ended, { timeout: PATIENCE }).toBe('succeeded');
    expect((await text(page)).join()).not.toContain('the rest');
    line.isShut = false;
    await answered(page, HELD);
    expect((await text(page)).map((words) => words.split('Some words').length - 1)).toEqual([1]);
    await page.getByText(/^Offline\. You can read/).waitFor({ state: 'detached' });
    expect(faults).toEqual([]);
    await context.close();
  });

  it('a socket that died without a word is noticed, and stop does not go to it', async () => {
    const { context, page, faults } = await visit(browser, { size, key: (await Rest.person()).key });
    await page.clock.install();
    const line = await Line.of(page);
    await page.goto('/chat/new');
    await say(page, 'hold');
    await md(page, 'Some words').waitFor();
    // While the server says that it is there, a silence is no reason to connect anew.
    for (const pongs of [1, 2, 3]) {
      await page.clock.runFor(21_000);
      await expect.poll(() => line.pongs, { timeout: PATIENCE }).toBe(pongs);
    }
    expect(line.opened).toBe(1);
    line.die();
    await page.locator('.talk > header').getByRole('button', { name: 'Stop' }).click();
    // Twenty seconds of silence, and eight for an answer.
    await page.clock.runFor(30_000);
    await expect.poll(() => line.opened, { timeout: PATIENCE }).toBe(2);
    await page.getByText('Stopped.').waitFor();
    expect(faults).toEqual([]);
    await context.close();
  });

  it('a device that slept does not trust the socket that it finds', async () => {
    const { context, page, faults } = await visit(browser, { size, key: (await Rest.person()).key });
    await page.clock.install();
    const line = await Line.of(page);
    await page.goto('/chat/new');
    await expect.poll(() => line.opened).toBe(1);
    const look = (state: 'hidden' | 'visible') =>
      page.evaluate((now) => {
        Object.defineProperty(document, 'visibilityState', { configurable: true, value: now });
        document.dispatchEvent(new Event('visibilitychange'));
      }, state);
    await look('hidden');
    await page.clock.runFor(10_000);
    await look('visible');
    expect(line.opened).toBe(1);
    await look('hidden');
    // Nobody looks: nothing is asked.
    line.die();
    await page.clock.runFor(60_000);
    expect(line.opened).toBe(1);
    await look('visible');
    await expect.poll(() => line.opened, { timeout: PATIENCE }).toBe(2);
    await say(page, 'echo awake');
    await answered(page, 'echo awake');
    expect(faults).toEqual([]);
    await context.close();
  });
});
