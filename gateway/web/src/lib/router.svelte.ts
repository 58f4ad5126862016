// Which page is shown. Addresses are paths; the server answers all of them with the same document.

class Router {
  path = $state(location.pathname);
  query = $state(new URLSearchParams(location.search));

  constructor() {
    addEventListener('popstate', () => this.#read());
  }

  /** The parts of the path: `/chat/T` is `['chat', 'T']`. */
  get parts(): string[] {
    return this.path.split('/').filter(Boolean).map(decodeURIComponent);
  }

  go(to: string, how: 'push' | 'replace' = 'push') {
    if (to === location.pathname + location.search) return;
    if (how === 'push') history.pushState(null, '', to);
    else history.replaceState(null, '', to);
    this.#read();
  }

  #read() {
    this.path = location.pathname;
    this.query = new URLSearchParams(location.search);
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
