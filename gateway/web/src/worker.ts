// The service worker: the shell from the cache, so that the page opens without a network. What the server says about
// people (`/api/`, `/ws`) is never kept here. VERSION and SHELL are put in front of this file when it is built.
declare const VERSION: string;
declare const SHELL: string[];

const worker = self as unknown as ServiceWorkerGlobalScope;
/** Milliseconds without an answer, after which the page that is kept is shown: it asks for itself. */
const LATE = 4_000;
const CACHE = `shell-${VERSION}`;

worker.addEventListener('install', (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(SHELL)));
});

worker.addEventListener('activate', (event) => {
  const clean = async () => {
    for (const name of await caches.keys()) if (name !== CACHE) await caches.delete(name);
    await worker.clients.claim();
  };
  event.waitUntil(clean());
});

worker.addEventListener('message', ({ data, ports }) => {
  if (data === 'take') void worker.skipWaiting();
  // A page asks whether it is of this version.
  else if (typeof data?.has === 'string') ports[0]?.postMessage(SHELL.includes(data.has));
});

worker.addEventListener('fetch', (event) => {
  const { request } = event;
  const url = new URL(request.url);
  const isOurs = url.origin === worker.location.origin && request.method === 'GET';
  if (!isOurs || url.pathname.startsWith('/api/') || url.pathname === '/ws' || url.pathname.startsWith('/v1/')) return;
  if (request.mode === 'navigate') {
    // The newest page if there is a network and a server, else the one that is kept.
    const page = async () => {
      const kept = await caches.match('/');
      const answer = fetch(request);
      if (!kept) return answer;
      const late = new Promise<Response>((resolve) => setTimeout(() => resolve(kept), LATE));
      const isThere = (response: Response) => (response.status < 500 ? response : kept);
      return Promise.race([answer.then(isThere, () => kept), late]);
    };
    event.respondWith(page());
    return;
  }
  event.respondWith(caches.match(request).then((kept) => kept ?? fetch(request)));
});
