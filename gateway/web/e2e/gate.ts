// What stands in front of a server at home: a proxy, which can serve another worker, or none of it for a while.
import http from 'node:http';
import net from 'node:net';
import type { AddressInfo } from 'node:net';
import type { Browser } from 'playwright-core';
import { expect } from 'vitest';
import { KEY, PATIENCE, SIZES, URL_OF, type Size, type Visit } from './support';

export interface Gate {
  url: string;
  /** Changes the worker's script on its way. */
  worker: (script: string) => string;
  /** The server behind is away: what a proxy then answers. */
  isAway: boolean;
  close(): void;
}

export async function gate(): Promise<Gate> {
  const behind = new URL(URL_OF);
  const there: Gate = { url: '', worker: (script) => script, isAway: false, close: () => {} };
  const server = http.createServer((request, response) => {
    if (there.isAway) return void response.writeHead(502, { 'content-type': 'text/html' }).end('<h1>Bad gateway</h1>');
    const { url: path, method, headers } = request;
    const onward = http.request({ host: behind.hostname, port: behind.port, path, method, headers }, (answer) => {
      const isWorker = path === '/sw.js' && answer.statusCode === 200 && !answer.headers['content-encoding'];
      if (!isWorker) {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        return void answer.pipe(response);
      }
      const pieces: Buffer[] = [];
      answer.on('data', (piece: Buffer) => pieces.push(piece));
      answer.on('end', () => {
        const { 'content-length': _, etag: __, ...rest } = answer.headers;
        response.writeHead(200, { ...rest, 'cache-control': 'no-cache' });
        response.end(there.worker(Buffer.concat(pieces).toString()));
      });
    });
    onward.on('error', () => request.socket.destroy());
    if (path === '/sw.js') {
      for (const name of ['accept-encoding', 'if-none-match', 'if-modified-since']) onward.removeHeader(name);
    }
    request.pipe(onward);
  });
  const sockets = new Set<net.Socket>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  server.on('upgrade', (request, socket, head) => {
    if (there.isAway) return void socket.destroy();
    const onward = net.connect(Number(behind.port), behind.hostname, () => {
      const lines = request.rawHeaders.map((value, index) => value + (index % 2 === 0 ? ': ' : '\r\n'));
      onward.write(`${request.method} ${request.url} HTTP/1.1\r\n${lines.join('')}\r\n`);
      onward.write(head);
      socket.pipe(onward).pipe(socket);
    });
    onward.on('error', () => socket.destroy());
    socket.on('error', () => onward.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  there.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  there.close = () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  return there;
}

/** A visit through the gate, signed in. */
export async function through(browser: Browser, { url }: Gate, size: Size = 'desktop'): Promise<Visit> {
  const context = await browser.newContext({ viewport: SIZES[size], baseURL: url, locale: 'en-GB' });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  const faults: string[] = [];
  page.on('pageerror', (error) => faults.push(`error: ${String(error)}`));
  const headers = { 'X-API-Key': KEY, Origin: url };
  const answer = await context.request.post('/api/session', { headers, data: { label: 'journey' } });
  expect(answer.status()).toBe(201);
  await page.goto('/');
  return { context, page, faults };
}
