// Which page is shown. Addresses are paths; the server answers all of them with the same document.
import { entry, leave } from './places';

/** Lists of chats that have an address of their own. */
export type Shelf = 'chats' | 'archive' | 'deleted' | 'folder';

/** Where a list of chats is; the chats in it are one step further. */
export function shelfAddress(shelf: Shelf, folder: string): string {
  if (shelf === 'folder') return `/chat/folder/${encodeURIComponent(folder)}`;
  return shelf === 'chats' ? '/chat' : `/chat/${shelf}`;
}

class Router {
  path = $state(location.pathname);
  query = $state(new URLSearchParams(location.search));
  /** Grows with every page that is gone to. */
  moves = $state(0);
  /** How it was gone to: by a link, or by the browser's back and forward. */
  isReturn = true;

  constructor() {
    history.scrollRestoration = 'manual';
    const state = history.state as { key?: string } | null;
    history.replaceState({ key: entry(state?.key) }, '');
    addEventListener('popstate', ({ state }: PopStateEvent) => {
      leave();
      const { key } = (state ?? {}) as { key?: string };
      const name = entry(key);
      if (key === undefined) history.replaceState({ key: name }, '');
      this.isReturn = true;
      this.#read();
    });
  }

  /** The parts of the path: `/chat/T` is `['chat', 'T']`. */
  get parts(): string[] {
    return this.path.split('/').filter(Boolean).map(plain);
  }

  /** Of a page of chats: the list that is shown beside, the name of its folder if it is one, and the chat. */
  get chat(): { shelf: Shelf; folder: string; thread: string | null } {
    const [page, first, second, third] = this.parts;
    if (page !== 'chat' || first === 'search') return { shelf: 'chats', folder: '', thread: null };
    if (first === 'archive' || first === 'deleted') return { shelf: first, folder: '', thread: second ?? null };
    if (first === 'folder' && second) return { shelf: first, folder: second, thread: third ?? null };
    return { shelf: 'chats', folder: '', thread: first ?? null };
  }

  go(to: string, how: 'push' | 'replace' = 'push') {
    if (to === location.pathname + location.search) return;
    leave();
    const key = entry(undefined);
    if (how === 'push') history.pushState({ key }, '', to);
    else history.replaceState({ key }, '', to);
    this.isReturn = false;
    this.#read();
  }

  #read() {
    if (this.path !== location.pathname) this.moves += 1;
    this.path = location.pathname;
    this.query = new URLSearchParams(location.search);
  }
}

/** An address may be typed by hand: what cannot be decoded stays as it is. */
function plain(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export const router = new Router();

/** For the whole page: links to our own pages change the page without loading it. */
export function follow(event: MouseEvent) {
  const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
  const link = (event.target as Element).closest?.('a');
  if (!plain || event.defaultPrevented || !link || link.target || link.hasAttribute('download')) return;
  const to = new URL(link.href);
  const isFile = to.pathname.startsWith('/api/');
  if (to.origin !== location.origin || isFile || (to.hash && to.pathname === location.pathname)) return;
  event.preventDefault();
  router.go(to.pathname + to.search);
}
