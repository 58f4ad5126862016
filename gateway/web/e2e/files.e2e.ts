// Files that go to the assistant and come back: what UI.md lists as 15.
import { readFileSync } from 'node:fs';
import type { Browser, BrowserContext, CDPSession, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { broken, composer, fits, launch, PATIENCE, picture, say, SIZES, visit, type Size } from './support';

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(async () => {
  await browser.close();
});

const sizes = Object.keys(SIZES) as Size[];

interface Given {
  name: string;
  mimeType: string;
  buffer: Buffer;
}

const icon = (name: string) => readFileSync(new URL(`../public/${name}`, import.meta.url));
const image = (name: string): Given => ({ name, mimeType: 'image/png', buffer: icon('icon-192.png') });
/** A photo that takes its time: a small one, and much behind it that nobody looks at. */
const photo = (name: string): Given => ({
  ...image(name),
  buffer: Buffer.concat([icon('icon-192.png'), Buffer.alloc(600_000)]),
});
const text = (name: string, content: string): Given => ({ name, mimeType: 'text/plain', buffer: Buffer.from(content) });

const tray = (page: Page) => page.getByRole('list', { name: 'Files' });
const removes = (page: Page) => tray(page).getByRole('button', { name: /^Remove / });

/** As a person does it: the button, on a telephone its menu, and the dialog of the system. */
async function choose(page: Page, size: Size, files: Given[]) {
  const asked = page.waitForEvent('filechooser');
  await page.getByRole('button', { name: 'Add a file' }).click();
  if (size === 'phone') await page.getByRole('button', { name: 'Photos and files' }).click();
  await (await asked).setFiles(files);
}

/** What a program or the desktop hands over by drag, or by the clipboard. */
async function hand(
  page: Page,
  how: 'drop' | 'paste',
  place: string,
  parts: { name?: string; type: string; data: string }[],
) {
  await composer(page).waitFor();
  await page.evaluate(
    ([kind, selector, given]) => {
      const data = new DataTransfer();
      for (const part of given) {
        const bytes = Uint8Array.from(atob(part.data), (letter) => letter.charCodeAt(0));
        if (part.name === undefined) data.setData(part.type, new TextDecoder().decode(bytes));
        else data.items.add(new File([bytes], part.name, { type: part.type }));
      }
      const target = document.querySelector(selector);
      const common = { bubbles: true, cancelable: true };
      if (kind === 'paste')
        return target?.dispatchEvent(new ClipboardEvent('paste', { ...common, clipboardData: data }));
      for (const step of ['dragenter', 'dragover', 'drop'])
        target?.dispatchEvent(new DragEvent(step, { ...common, dataTransfer: data }));
    },
    [how, place, parts] as const,
  );
}

const base64 = (content: string | Buffer) => Buffer.from(content).toString('base64');

/** A link on which a file takes a while, so that there is something to see of its way. */
async function slowly(context: BrowserContext, page: Page): Promise<CDPSession> {
  const link = await context.newCDPSession(page);
  await link.send('Network.enable');
  await link.send('Network.emulateNetworkConditions', {
    offline: false,
    latency: 0,
    downloadThroughput: -1,
    uploadThroughput: 60_000,
  });
  return link;
}

/** The answer is there, and stored. */
async function heard(page: Page, said: string) {
  await page.locator('.log .md', { hasText: said }).last().waitFor();
  await page.locator('.talk > header .st').waitFor({ state: 'detached' });
  await page.waitForURL(/\/chat\/[0-9a-f-]{36}$/);
}

/** What the server says that the model was asked, step by step. */
async function asked(page: Page): Promise<string> {
  const thread = new URL(page.url()).pathname.split('/').at(-1);
  const messages = await page.request.get(`/api/threads/${thread}/messages`);
  const { items } = (await messages.json()) as { items: { runId?: string }[] };
  const run = items.map(({ runId }) => runId).findLast(Boolean);
  return (await page.request.get(`/api/runs/${run}/context`)).text();
}

describe.each(sizes)('on a %s', (size) => {
  it('files are chosen, looked at, taken out and sent; the model is shown them, and they come back whole', async () => {
    const { context, page, faults } = await visit(browser, { size });
    await page.goto('/chat/new');
    await choose(page, size, [image('plan.png'), text('notes.md', '# Notes\n\nBuy **milk**.'), text('old.txt', 'old')]);
    await expect.poll(() => removes(page).count(), { timeout: PATIENCE }).toBe(3);
    const send = page.locator('.composer button[type=submit]');
    // Files alone can be sent; a file that is taken out does not go along.
    expect(await send.isEnabled()).toBe(true);
    await page.getByRole('button', { name: 'Remove old.txt' }).click();
    expect(await tray(page).textContent()).not.toContain('old.txt');
    await picture(page, `files-tray-${size}`);
    expect(await broken(page)).toEqual([]);
    await say(page, 'echo look at these');
    await heard(page, 'echo look at these');
    expect(await tray(page).count()).toBe(0);

    const mine = page.locator('.entry.mine').last();
    const shown = mine.locator('img');
    await expect
      .poll(() => shown.evaluate((img: HTMLImageElement) => img.naturalWidth), { timeout: PATIENCE })
      .toBe(192);
    expect(await shown.getAttribute('src')).toMatch(/^blob:/);
    expect(await mine.textContent()).toContain('plan.png');
    expect(await mine.textContent()).toMatch(/notes\.md\s*\d+ B/);
    await picture(page, `files-sent-${size}`);
    expect(await broken(page)).toEqual([]);
    expect(await fits(page)).toBe(true);

    const context1 = await asked(page);
    expect(context1).toContain('plan.png');
    expect(context1).toContain('Buy **milk**.');
    expect(context1).not.toContain('old.txt');

    // Read anew from the server, not from what was chosen here.
    await page.reload();
    await page.getByRole('button', { name: 'Open plan.png' }).click();
    const dialog = page.getByRole('dialog', { name: 'plan.png' });
    const big = dialog.getByRole('img', { name: 'plan.png' });
    await expect.poll(() => big.evaluate((img: HTMLImageElement) => img.naturalWidth), { timeout: PATIENCE }).toBe(192);
    await picture(page, `files-viewer-${size}`);
    expect(await broken(page)).toEqual([]);
    const taken = page.waitForEvent('download');
    await dialog.getByRole('button', { name: 'Download' }).click();
    const file = await taken;
    expect(file.suggestedFilename()).toBe('plan.png');
    expect(readFileSync(await file.path()).equals(icon('icon-192.png'))).toBe(true);
    await dialog.getByRole('button', { name: 'Close' }).click();
    await page.getByRole('button', { name: 'Open notes.md' }).click();
    expect(await page.getByRole('dialog', { name: 'notes.md' }).locator('pre').textContent()).toBe(
      '# Notes\n\nBuy **milk**.',
    );
    await page.keyboard.press('Escape');
    await page.getByRole('dialog', { name: 'notes.md' }).waitFor({ state: 'detached' });
    expect(faults).toEqual([]);
    await context.close();
  });

  it('a file is also added by a command', async () => {
    const { context, page, faults } = await visit(browser, { size });
    await page.goto('/chat/new');
    // Before the palette opens: the browser is told to hand over its dialog, which takes a moment.
    const asked = page.waitForEvent('filechooser');
    await composer(page).fill('/file');
    await page.getByRole('option', { name: 'Add a file' }).waitFor();
    await page.keyboard.press('Enter');
    await (await asked).setFiles([text('notes.md', '# Notes')]);
    await expect.poll(() => removes(page).count(), { timeout: PATIENCE }).toBe(1);
    expect(await composer(page).inputValue()).toBe('');
    expect(faults).toEqual([]);
    await context.close();
  });

  it('what cannot be taken is said at the file, in words, and the rest goes on', async () => {
    const { context, page, faults } = await visit(browser, { size });
    await page.goto('/chat/new');
    const program = {
      name: 'setup.exe',
      mimeType: 'application/octet-stream',
      buffer: Buffer.from('MZ\0\u0001\0\0\0'),
    };
    await choose(page, size, [program, text('empty.txt', ''), text('fine.txt', 'fine')]);
    const row = (name: string) => tray(page).getByRole('alert').filter({ hasText: name });
    await row('setup.exe').getByText('This kind of file is not taken.', { exact: false }).waitFor();
    await row('empty.txt').getByText('It is empty.').waitFor();
    await page.getByRole('button', { name: 'Remove fine.txt' }).waitFor();
    // 21 MB are not sent to be refused. They are too many for the wire to the browser, so they are made there.
    let sent = 0;
    page.on('request', (request) => (sent += request.url().includes('/api/files') ? 1 : 0));
    await page.evaluate(() => {
      const data = new DataTransfer();
      data.items.add(new File([new Uint8Array(21 * 1024 * 1024)], 'film.mp4', { type: 'video/mp4' }));
      document.querySelector('main')?.dispatchEvent(new DragEvent('drop', { bubbles: true, dataTransfer: data }));
    });
    await row('film.mp4').getByText('It has 22.0 MB. A file may have 21.0 MB.').waitFor();
    expect(sent).toBe(0);
    await picture(page, `files-refused-${size}`);
    expect(await broken(page)).toEqual([]);
    expect(await fits(page)).toBe(true);
    for (const name of ['setup.exe', 'empty.txt', 'film.mp4'])
      await page.getByRole('button', { name: `Remove ${name}` }).click();
    // A message takes sixteen; the seventeenth waits for the next one.
    await choose(
      page,
      size,
      Array.from({ length: 16 }, (_, index) => text(`n${index}.txt`, `n${index}`)),
    );
    await row('n15.txt').getByText('A message takes 16 files. Send it with the next one.').waitFor();
    await expect
      .poll(() => page.locator('.composer button[type=submit]').isEnabled(), { timeout: PATIENCE })
      .toBe(true);
    await say(page, 'echo sixteen');
    await heard(page, 'echo sixteen');
    expect(await page.locator('.entry.mine').last().locator('.file').count()).toBe(16);
    await page.getByRole('button', { name: 'Try n15.txt again' }).click();
    await page.getByRole('button', { name: 'Remove n15.txt' }).waitFor();
    expect(faults).toEqual([]);
    await context.close();
  });

  it('a file on its way says how far it is, and can be stopped', async () => {
    const { context, page, faults } = await visit(browser, { size });
    await page.goto('/chat/new');
    const link = await slowly(context, page);
    await choose(page, size, [photo('slow.png')]);
    const bar = page.getByRole('progressbar', { name: 'Sending slow.png' });
    await expect.poll(() => bar.getAttribute('value'), { timeout: PATIENCE }).toMatch(/^0\.\d*[1-9]/);
    await picture(page, `files-underway-${size}`);
    expect(await broken(page)).toEqual([]);
    // Nothing is sent without a file that is still on its way.
    await composer(page).fill('echo without it');
    expect(await page.locator('.composer button[type=submit]').isDisabled()).toBe(true);
    await page.getByRole('button', { name: 'Stop sending slow.png' }).click();
    expect(await tray(page).count()).toBe(0);
    await link.detach();
    await say(page, 'echo without it');
    await heard(page, 'echo without it');
    expect(await page.locator('.entry.mine').last().locator('.file').count()).toBe(0);
    expect(faults).toEqual([]);
    await context.close();
  });

  it('a file whose way is cut says so, and is tried again', async () => {
    const { context, page, faults } = await visit(browser, { size });
    await page.goto('/chat/new');
    const link = await slowly(context, page);
    await choose(page, size, [photo('train.png')]);
    const bar = page.getByRole('progressbar', { name: 'Sending train.png' });
    await expect.poll(() => bar.getAttribute('value'), { timeout: PATIENCE }).toMatch(/^0\.\d*[1-9]/);
    await context.setOffline(true);
    await page.getByText('The server cannot be reached. It is not sent.').waitFor();
    await composer(page).fill('echo from the train');
    await picture(page, `files-cut-${size}`);
    await link.send('Network.emulateNetworkConditions', {
      offline: false,
      latency: 0,
      downloadThroughput: -1,
      uploadThroughput: -1,
    });
    await context.setOffline(false);
    await page.getByRole('button', { name: 'Try train.png again' }).click();
    await page.getByRole('button', { name: 'Remove train.png' }).waitFor();
    await page.locator('.composer button[type=submit]').click();
    await heard(page, 'echo from the train');
    expect(await page.locator('.entry.mine').last().textContent()).toContain('train.png');
    expect(faults).toEqual([]);
    await context.close();
  });

  it('a draft keeps its files over a reload, and says which did not arrive', async () => {
    const { context, page, faults } = await visit(browser, { size });
    await page.goto('/chat/new');
    await choose(page, size, [image('kept.png')]);
    await page.getByRole('button', { name: 'Remove kept.png' }).waitFor();
    await composer(page).fill('echo with a picture');
    await slowly(context, page);
    await choose(page, size, [photo('halfway.png')]);
    const bar = page.getByRole('progressbar', { name: 'Sending halfway.png' });
    await expect.poll(() => bar.getAttribute('value'), { timeout: PATIENCE }).toMatch(/^0\.\d*[1-9]/);
    await page.reload();
    await page.getByRole('button', { name: 'Remove kept.png' }).waitFor();
    await expect.poll(() => composer(page).inputValue(), { timeout: PATIENCE }).toBe('echo with a picture');
    await tray(page).getByText('It was on its way when the page went. Add it again.').waitFor();
    await page.getByRole('button', { name: 'Remove halfway.png' }).click();
    await page.locator('.composer button[type=submit]').click();
    await heard(page, 'echo with a picture');
    const shown = page.locator('.entry.mine img').last();
    await expect
      .poll(() => shown.evaluate((img: HTMLImageElement) => img.naturalWidth), { timeout: PATIENCE })
      .toBe(192);
    expect(faults).toEqual([]);
    await context.close();
  });

  it('a model that is not shown images says so before, and one that is can be taken', async () => {
    const { context, page, faults } = await visit(browser, { size });
    const models = await page.request.get('/api/models');
    const { items } = (await models.json()) as { items: { model: string; images: boolean }[] };
    expect(items.map(({ model, images }) => [model, images])).toEqual([
      ['scripted', true],
      ['second', false],
    ]);
    // The same models in the other order: the one that comes first sees nothing.
    await page.route('**/api/models', (route) => route.fulfill({ json: { items: [...items].reverse() } }));
    await page.goto('/chat/new');
    await choose(page, size, [image('chart.png')]);
    await page.getByText('second is not shown images. It is only told that there is one.').waitFor();
    await picture(page, `files-unseen-${size}`);
    expect(await broken(page)).toEqual([]);
    await page.getByRole('button', { name: 'Use scripted' }).click();
    await page.getByText('second is not shown images.', { exact: false }).waitFor({ state: 'detached' });
    await page.getByRole('button', { name: 'Remove chart.png' }).click();
    const pdf = { name: 'bill.pdf', mimeType: 'application/pdf', buffer: Buffer.from('%PDF-1.7\n%%EOF\n') };
    await choose(page, size, [pdf]);
    await page.getByText('scripted is not shown PDFs. It is only told that there is one.').waitFor();
    expect(faults).toEqual([]);
    await context.close();
  });

  it('hostile names are text, end where they end, and are harmless on a disk', async () => {
    const { context, page, faults } = await visit(browser, { size });
    await page.goto('/chat/new');
    const names = [
      '<img src=x onerror="globalThis.hacked=1">.txt',
      '../../etc/passwd\u202egnp.exe',
      `${'long '.repeat(50)}end.txt`,
      `${'🐈'.repeat(60)}.txt`,
      'CON.txt',
    ];
    await hand(
      page,
      'drop',
      'main',
      names.map((name) => ({ name, type: 'text/plain', data: base64('words') })),
    );
    await expect.poll(() => removes(page).count(), { timeout: PATIENCE }).toBe(5);
    await picture(page, `files-names-${size}`);
    const expected = ['passwdgnp.exe', `${'🐈'.repeat(60)}.txt`, 'CON.txt'];
    await say(page, 'echo names');
    await heard(page, 'echo names');
    const all = await page.locator('.entry.mine .file .name').allTextContents();
    expect(all[0]).toContain('<img src=x onerror=');
    for (const name of expected) expect(all.some((one) => name.endsWith(one) || one === name)).toBe(true);
    expect(all.join('')).not.toMatch(/[\u202a-\u202e]/);
    // Of a long name the end is seen.
    const long = page.locator('.entry.mine .file', { hasText: 'end.txt' });
    const ends = await long.evaluate((file) => {
      const [box, end] = [file.getBoundingClientRect(), file.querySelector('.end')?.getBoundingClientRect()];
      return end !== undefined && end.width > 20 && end.right <= box.right && end.right <= innerWidth;
    });
    expect(ends).toBe(true);
    expect(await fits(page)).toBe(true);
    await picture(page, `files-names-sent-${size}`);
    const safe = [];
    for (const button of await page
      .locator('.entry.mine')
      .getByRole('button', { name: /^Download / })
      .all()) {
      const taken = page.waitForEvent('download');
      await button.click();
      safe.push((await taken).suggestedFilename());
    }
    expect(safe).toHaveLength(5);
    for (const name of safe) expect(name).toMatch(/^(?![ .]|con\.)[^\\/:*?"<>|\p{Cc}\u202a-\u202e]+$/iu);
    expect(safe.some((name) => name.endsWith('long end.txt'))).toBe(true);
    expect(await page.evaluate(() => (globalThis as { hacked?: number }).hacked)).toBeUndefined();
    expect(faults).toEqual([]);
    await context.close();
  });
});

describe('by drag and by clipboard', () => {
  it('a file dropped anywhere, a pasted image and a long paste become files; copied text stays text', async () => {
    const { context, page, faults } = await visit(browser);
    await page.goto('/chat/new');
    await composer(page).waitFor();
    await hand(page, 'drop', '.log', [{ name: 'dropped.txt', type: 'text/plain', data: base64('dropped') }]);
    await page.getByRole('button', { name: 'Remove dropped.txt' }).waitFor();
    await hand(page, 'paste', 'textarea', [
      { name: 'image.png', type: 'image/png', data: base64(icon('icon-192.png')) },
    ]);
    await page.getByRole('button', { name: 'Remove image.png' }).waitFor();
    // A spreadsheet lays a picture of the cells beside their text: the text is meant.
    const picture1 = { name: 'image.png', type: 'image/png', data: base64(icon('icon-192.png')) };
    await hand(page, 'paste', 'textarea', [
      { type: 'text/plain', data: base64('a cell') },
      { type: 'text/html', data: base64('<td>a cell</td>') },
      picture1,
    ]);
    expect(await tray(page).getByRole('listitem').count()).toBe(2);
    // The clipboard itself, with more text than a message wants.
    const long = 'All work and no play. '.repeat(500);
    await page.evaluate((letters) => navigator.clipboard.writeText(letters), long);
    await composer(page).focus();
    await page.keyboard.press('ControlOrMeta+V');
    await page.getByRole('button', { name: 'Remove Pasted text.txt' }).waitFor();
    expect(await composer(page).inputValue()).toBe('');
    await page.evaluate(() => navigator.clipboard.writeText('echo a short one'));
    await page.keyboard.press('ControlOrMeta+V');
    expect(await composer(page).inputValue()).toBe('echo a short one');
    await page.keyboard.press('Enter');
    await heard(page, 'echo a short one');
    expect(await asked(page)).toContain(long.slice(0, 2_000));
    expect(faults).toEqual([]);
    await context.close();
  });

  it('a file dropped where none is taken does not replace the page', async () => {
    const { context, page, faults } = await visit(browser);
    await page.goto('/settings');
    await page.locator('#main').waitFor();
    const prevented = await page.evaluate(() => {
      const data = new DataTransfer();
      data.items.add(new File(['x'], 'x.html', { type: 'text/html' }));
      const drop = new DragEvent('drop', { bubbles: true, cancelable: true, dataTransfer: data });
      document.body.dispatchEvent(drop);
      return drop.defaultPrevented;
    });
    expect(prevented).toBe(true);
    expect(faults).toEqual([]);
    await context.close();
  });
});

describe('on a telephone', () => {
  it('the camera is one of the ways', async () => {
    const { context, page, faults } = await visit(browser, { size: 'phone' });
    await page.goto('/chat/new');
    await page.getByRole('button', { name: 'Add a file' }).click();
    const take = page.getByRole('button', { name: 'Take a photo' });
    await take.waitFor();
    await picture(page, 'files-ways-phone');
    expect(await broken(page)).toEqual([]);
    const asked = page.waitForEvent('filechooser');
    await take.click();
    const chooser = await asked;
    // Which is what brings up the camera, and no choice among other things.
    expect(await chooser.element().getAttribute('capture')).toBe('environment');
    expect(await chooser.element().getAttribute('accept')).toBe('image/*');
    await chooser.setFiles([image('photo.png')]);
    await page.getByRole('button', { name: 'Remove photo.png' }).waitFor();
    await take.waitFor({ state: 'hidden' });
    expect(faults).toEqual([]);
    await context.close();
  });
});

describe('a file that would do harm', () => {
  it.each([
    ['page.html', '<!doctype html><script>document.title="hacked";fetch("http://evil.example/")</script><h1>hi</h1>'],
    [
      'drawing.svg',
      '<svg xmlns="http://www.w3.org/2000/svg" onload="document.title=\'hacked\'"><script>1</script></svg>',
    ],
  ])('%s is text here, and is handed over where its address is opened', async (name, content) => {
    const { context, page, faults } = await visit(browser);
    await page.goto('/chat/new');
    await choose(page, 'desktop', [{ name, mimeType: 'text/html', buffer: Buffer.from(content) }]);
    await page.getByRole('button', { name: `Remove ${name}` }).waitFor();
    await say(page, 'echo harm');
    await heard(page, 'echo harm');
    await page.getByRole('button', { name: `Open ${name}` }).click();
    const dialog = page.getByRole('dialog', { name });
    expect(await dialog.locator('pre').textContent()).toBe(content);
    expect(await dialog.locator('pre *').count()).toBe(0);
    expect(await page.title()).not.toContain('hacked');

    const thread = new URL(page.url()).pathname.split('/').at(-1);
    const messages = await page.request.get(`/api/threads/${thread}/messages`);
    const { items } = (await messages.json()) as { items: { content: { fileId?: string }[] }[] };
    const id = items.flatMap((message) => message.content).find((part) => part.fileId)?.fileId;
    const address = `/api/files/${id}/content`;
    const answer = await page.request.get(address);
    const headers = answer.headers();
    expect(headers['content-type']).toBe('text/plain; charset=utf-8');
    expect(headers['content-disposition']).toContain('attachment');
    expect(headers['content-security-policy']).toContain('sandbox');
    expect(headers['x-content-type-options']).toBe('nosniff');
    // The address bar gets a download and no page.
    const other = await context.newPage();
    const taken = other.waitForEvent('download');
    await other.goto(address).catch(() => {});
    const file = await taken;
    expect(file.suggestedFilename()).toBe(name);
    expect(readFileSync(await file.path(), 'utf8')).toBe(content);
    expect(await other.title()).not.toContain('hacked');
    expect(faults).toEqual([]);
    await context.close();
  });
});
