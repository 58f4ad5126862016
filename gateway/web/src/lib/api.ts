// Requests to the server's REST interface, typed by its own document. A refusal is a `Problem`.
import createClient, { type Middleware } from 'openapi-fetch';
import type { components, paths } from '../wire/rest';

export type Schemas = components['schemas'];

/** What the server says when it refuses, or what became of the way to it (`offline`). */
export class Problem extends Error {
  readonly code: string;
  readonly status: number;

  constructor(code: string, message: string, status: number) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

/** Which profile is meant; the session's own where it is null. */
let profile: string | null = null;
let onUnauthorized: () => void = () => {};

export function useProfile(name: string | null) {
  profile = name;
}

/** What to do when the session is over. */
export function whenUnauthorized(act: () => void) {
  onUnauthorized = act;
}

const scope: Middleware = {
  onRequest({ request }) {
    if (profile !== null) request.headers.set('X-Profile', profile);
    return request;
  },
  async onResponse({ response }) {
    if (response.ok) return;
    const said: { code?: string; detail?: string } = await response.json().catch(() => ({}));
    if (response.status === 401) onUnauthorized();
    throw new Problem(said.code ?? 'unknown', said.detail ?? `the server answered ${response.status}`, response.status);
  },
  onError() {
    return new Problem('offline', 'the server cannot be reached', 0);
  },
};

export const api = createClient<paths>({ baseUrl: location.origin, credentials: 'same-origin' });
api.use(scope);

/** The body of an answer: whatever is no 2xx was thrown before. */
export async function answer<T>(request: Promise<{ data?: T }>): Promise<T> {
  return (await request).data as T;
}

/** The sentence to show for whatever went wrong. */
export function sentence(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  const upper = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(upper) ? upper : `${upper}.`;
}
