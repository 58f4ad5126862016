// The worker that keeps the page readable offline, and word of a newer page. It never reloads by itself: somebody may
// be writing.

class Updates {
  /** A newer page is there: it waits, or another tab took it. */
  isReady = $state(false);
  /** A part of this page is gone from the server: only a reload goes on. */
  isBroken = $state(false);
  #waiting: ServiceWorker | null = null;
  #registration: ServiceWorkerRegistration | null = null;
  #looked = Date.now();
  #taking = false;

  follow(registration: ServiceWorkerRegistration) {
    this.#registration = registration;
    const look = (worker: ServiceWorker | null) => {
      if (!worker) return;
      const installed = () => {
        if (worker.state === 'installed' && navigator.serviceWorker.controller) void this.#found(worker);
      };
      installed();
      worker.addEventListener('statechange', installed);
    };
    look(registration.waiting);
    registration.addEventListener('updatefound', () => look(registration.installing));
    navigator.serviceWorker.addEventListener('controllerchange', () => this.#taken());
    setInterval(() => this.look(), HOUR);
    document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && this.look(HOUR));
  }

  /** Asks whether there is a newer one, unless that was asked a moment ago. */
  look(pause = MINUTE) {
    if (Date.now() - this.#looked < pause) return;
    this.#looked = Date.now();
    void this.#registration?.update().catch(() => {});
  }

  take() {
    this.#taking = true;
    if (this.#waiting?.state === 'installed') this.#waiting.postMessage('take');
    else location.reload();
  }

  async #found(worker: ServiceWorker) {
    // This page came from the network, and is the new one already: only its worker is behind.
    if (await isOf(worker)) return worker.postMessage('take');
    this.#waiting = worker;
    this.isReady = true;
  }

  #taken() {
    if (this.#taking) return location.reload();
    if (this.#waiting) this.isReady = true;
  }
}

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** Whether this page is the one that the worker was made with. */
function isOf(worker: ServiceWorker): Promise<boolean> {
  const script = document.querySelector<HTMLScriptElement>('script[type=module][src]');
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve) => {
    port1.onmessage = ({ data }: MessageEvent<boolean>) => resolve(data);
    worker.postMessage({ has: script ? new URL(script.src).pathname : '' }, [port2]);
  });
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
  addEventListener('vite:preloadError', () => (updates.isBroken = navigator.onLine));
  if (!('serviceWorker' in navigator) || import.meta.env.DEV) return;
  void navigator.serviceWorker.register(workerUrl()).then((registration) => updates.follow(registration));
}
