// The worker that keeps the page readable offline, and word of a newer page. It never reloads by itself: somebody may
// be writing.

class Updates {
  /** A newer page is there, and waits. */
  isReady = $state(false);
  #waiting: ServiceWorker | null = null;

  ready(worker: ServiceWorker) {
    this.#waiting = worker;
    this.isReady = true;
  }

  take() {
    navigator.serviceWorker.addEventListener('controllerchange', () => location.reload(), { once: true });
    this.#waiting?.postMessage('take');
  }
}

export const updates = new Updates();

interface ScriptPolicy {
  createPolicy(name: string, rules: { createScriptURL(url: string): string }): { createScriptURL(url: string): string };
}

/** The address of the worker as Trusted Types want it: this one and no other. */
function workerUrl(): string {
  const trusted = (globalThis as { trustedTypes?: ScriptPolicy }).trustedTypes;
  const policy = trusted?.createPolicy('adjutant-worker', { createScriptURL: () => '/sw.js' });
  return policy ? policy.createScriptURL('') : '/sw.js';
}

export function watchForUpdates() {
  if (!('serviceWorker' in navigator) || import.meta.env.DEV) return;
  void navigator.serviceWorker.register(workerUrl()).then((registration) => {
    const look = (worker: ServiceWorker | null) => {
      if (!worker) return;
      const isUpdate = () => worker.state === 'installed' && navigator.serviceWorker.controller !== null;
      if (isUpdate()) return updates.ready(worker);
      worker.addEventListener('statechange', () => isUpdate() && updates.ready(worker));
    };
    look(registration.waiting);
    registration.addEventListener('updatefound', () => look(registration.installing));
    setInterval(() => void registration.update().catch(() => {}), 3_600_000);
  });
}
