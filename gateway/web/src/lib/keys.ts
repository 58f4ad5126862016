// API keys: what programs sign in with. A key is shown once, when it is made.
import { ask, isMissing } from './plain';

export interface ApiKey {
  id: string;
  label: string;
  /** `*`: all profiles. */
  profile?: string | null;
  role?: string | null;
  createdAt?: string | null;
  lastUsed?: string | null;
}

export interface NewKey {
  label: string;
  profile?: string;
  role?: 'personal' | 'admin';
}

/** `null`: this server lists no keys. */
export async function listKeys(): Promise<ApiKey[] | null> {
  try {
    const page = (await (await ask('GET', '/api/keys')).json()) as { items: ApiKey[] };
    return page.items;
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

export async function makeKey(key: NewKey): Promise<ApiKey & { key: string }> {
  return (await (await ask('POST', '/api/keys', key)).json()) as ApiKey & { key: string };
}

export async function revokeKey(id: string): Promise<void> {
  await ask('DELETE', `/api/keys/${encodeURIComponent(id)}`, undefined, false);
}
