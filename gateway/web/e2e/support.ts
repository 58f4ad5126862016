// A browser in front of the real server, and the levers of its test: the scripted model's gate, kill -9, the network.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { mkdirSync } from 'node:fs';
import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core';
import { expect } from 'vitest';

function setting(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is missing: the journeys are started by the Rust test proof_browser`);
  return value;
}

export const URL_OF = setting('ADJUTANT_E2E_URL');
export const KEY = setting('ADJUTANT_E2E_KEY');
const CONTROL = setting('ADJUTANT_E2E_CONTROL');
const PICTURES = process.env['ADJUTANT_E2E_PICTURES'];

export const SIZES = {
  desktop: { width: 1440, height: 900 },
  phone: { width: 390, height: 844 },
} as const;
export type Size = keyof typeof SIZES;

/** What a journey waits for at most. */
export const PATIENCE = 20_000;

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
];

export async function launch(): Promise<Browser> {
  return chromium.launch({ executablePath: process.env['ADJUTANT_CHROMIUM'] ?? '/usr/bin/chromium', args: FLAGS });
}

/** Does something to the server, its model or the shop: `release`, `stop`, `start`, `go`; `person/NAME` makes one and answers with their key. */
export async function control(lever: string): Promise<string> {
  const answer = await fetch(`${CONTROL}/${lever}`, { method: 'POST' });
  const said = await answer.text();
  if (!answer.ok) throw new Error(`${lever}: ${answer.status} ${said}`);
  return said;
}

export interface Visit {
  context: BrowserContext;
  page: Page;
  /** What the page said that it should not have: errors, refused loads, requests to elsewhere. */
  faults: string[];
}

export interface Manner {
  size?: Size;
  theme?: 'light' | 'dark';
  /** Without it the page is signed in. */
  signedOut?: boolean;
  /** Another person's key. */
  key?: string;
  /** How the browser is named in the list of devices. */
  label?: string;
}

export async function visit(browser: Browser, manner: Manner = {}): Promise<Visit> {
  const size = manner.size ?? 'desktop';
  const context = await browser.newContext({
    viewport: SIZES[size],
    colorScheme: manner.theme ?? 'light',
    isMobile: size === 'phone',
    hasTouch: size === 'phone',
    locale: 'en-GB',
    timezoneId: 'Europe/Berlin',
    permissions: ['clipboard-read', 'clipboard-write'],
    baseURL: URL_OF,
  });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  const faults: string[] = [];
  page.on('pageerror', (error) => faults.push(`error: ${String(error)}`));
  page.on('console', (message) => {
    const text = message.text();
    // A refused sign-in, a missing row or a server that is down is said by the page, not only by the console.
    const isAnswer = /Failed to load resource|WebSocket connection|net::ERR/.test(text);
    if (message.type() === 'error' && !isAnswer) faults.push(`console: ${text}`);
  });
  const judge = (address: string) => {
    const url = new URL(address);
    const isOurs = url.host === new URL(URL_OF).host || ['data:', 'blob:'].includes(url.protocol);
    if (!isOurs) faults.push(`a request to ${url.protocol}//${url.host}`);
  };
  page.on('request', (request) => judge(request.url()));
  page.on('websocket', (socket) => judge(socket.url()));
  if (!manner.signedOut) {
    const answer = await context.request.post('/api/session', {
      headers: { 'X-API-Key': manner.key ?? KEY, Origin: URL_OF },
      data: { label: manner.label ?? 'journey' },
    });
    expect(answer.status()).toBe(201);
  }
  await page.goto('/');
  return { context, page, faults };
}

const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Rules that the page breaks, WCAG 2.2 AA and best practice. */
export async function broken(page: Page): Promise<string[]> {
  // Between two themes a colour is neither the one nor the other.
  await page.evaluate(async () => {
    const changing = document.getAnimations().filter((one) => one instanceof CSSTransition);
    await Promise.allSettled(changing.map((one) => one.finished));
  });
  await page.evaluate(axeSource);
  return page.evaluate(async () => {
    const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
    const axe = (globalThis as unknown as { axe: { run(context: Document, options: object): Promise<AxeResult> } }).axe;
    const result = await axe.run(document, { runOnly: { type: 'tag', values: tags } });
    return result.violations.map(
      (rule) => `${rule.id}: ${rule.nodes.map((node) => node.target.join(' ')).join(' | ')}`,
    );
  });
}

interface AxeResult {
  violations: { id: string; nodes: { target: string[] }[] }[];
}

/** Keeps a picture, where somebody wants to look at them. */
export async function picture(page: Page, name: string) {
  if (!PICTURES) return;
  mkdirSync(PICTURES, { recursive: true });
  await page.screenshot({ path: `${PICTURES}/${name}.png` });
}

/** Nothing is wider than the window. */
export async function fits(page: Page): Promise<boolean> {
  return page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);
}

/** Controls whose words are cut, or that lie on one another. */
export async function crowded(page: Page, within: string): Promise<string[]> {
  return page.evaluate((within) => {
    const all = [...document.querySelectorAll<HTMLElement>(`${within} :is(button, a.btn, label, select)`)];
    const controls = all.filter((one) => one.offsetParent && getComputedStyle(one).clipPath === 'none');
    const boxes = controls.map((one) => ({ one, box: one.getBoundingClientRect() })).filter(({ box }) => box.width > 1);
    const cut = boxes.filter(({ one, box }) => {
      if (one.tagName === 'SELECT') return false;
      const walk = document.createTreeWalker(one, NodeFilter.SHOW_TEXT);
      for (let text = walk.nextNode(); text; text = walk.nextNode()) {
        // What only screen readers hear takes no room.
        if (text.parentElement?.closest('.vh')) continue;
        const range = document.createRange();
        range.selectNodeContents(text);
        const says = range.getBoundingClientRect();
        if (says.width > 0 && (says.left < box.left - 1 || says.right > box.right + 1)) return true;
      }
      return false;
    });
    const on = boxes.filter(({ one, box }) =>
      boxes.some(
        (other) =>
          !other.one.contains(one) &&
          !one.contains(other.one) &&
          box.left < other.box.right - 1 &&
          box.right > other.box.left + 1 &&
          box.top < other.box.bottom - 1 &&
          box.bottom > other.box.top + 1,
      ),
    );
    return [...cut, ...on].map(({ one }) => one.textContent.trim() || (one.getAttribute('aria-label') ?? one.tagName));
  }, within);
}

export const composer = (page: Page) => page.getByRole('textbox', { name: 'Message', exact: true });

/** Writes and sends. */
export async function say(page: Page, text: string) {
  await composer(page).fill(text);
  await page.locator('.composer button[type=submit]').click();
}

/** The last answer, when it is complete. What the person said may have the same words: it is not the answer. */
export async function answered(page: Page, text: string | RegExp) {
  await page.locator('.log article:not(.mine)', { hasText: text }).last().waitFor();
  await page.locator('.talk > header .st').waitFor({ state: 'detached' });
}

/** Ids of the chats that this browser keeps with their messages. */
export async function keptChats(page: Page, store = 'talks'): Promise<string[]> {
  return page.evaluate(async (name) => {
    // Whoever opens what is not there yet makes an empty one, and the page waits for it to be closed.
    const isThere = (await indexedDB.databases()).some((database) => database.name === 'adjutant');
    if (!isThere) return [];
    return new Promise<string[]>((resolve, reject) => {
      const opened = indexedDB.open('adjutant');
      opened.onerror = () => reject(opened.error);
      opened.onsuccess = () => {
        const keys = opened.result.transaction(name).objectStore(name).getAllKeys();
        keys.onsuccess = () => {
          opened.result.close();
          resolve(keys.result.map((key) => String(key).split('/').at(-1) ?? ''));
        };
      };
    });
  }, store);
}
