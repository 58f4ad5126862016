// Requests to routes that the server's own document does not name yet. Where a route is not there, `missing` is thrown, so that
// whoever asks can say that this server cannot do it.
import { Problem } from './api';
import { session } from './session.svelte';

/** This server has no such route. */
export const MISSING = 'route_missing';

export function isMissing(error: unknown): boolean {
  return error instanceof Problem && error.code === MISSING;
}

/** `GET /api/keys` and so on. `mayLack`: a 404 says that the route is not there, not that a thing is not. */
export async function ask(method: string, path: string, body?: unknown, mayLack = true): Promise<Response> {
  const headers: Record<string, string> = {};
  if (session.who?.anyProfile) headers['X-Profile'] = session.profile;
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  const init = {
    method,
    headers,
    credentials: 'same-origin',
    ...(body !== undefined && { body: JSON.stringify(body) }),
  };
  let response: Response;
  try {
    response = await fetch(path, init as RequestInit);
  } catch {
    throw new Problem('offline', 'the server cannot be reached', 0);
  }
  if (response.ok) return response;
  if (mayLack && (response.status === 404 || response.status === 405)) {
    throw new Problem(MISSING, 'this server cannot do that yet', response.status);
  }
  const said: { code?: string; detail?: string } = await response.json().catch(() => ({}));
  throw new Problem(said.code ?? 'unknown', said.detail ?? `the server answered ${response.status}`, response.status);
}
