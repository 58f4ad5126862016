// What stands when a journey begins, made by REST.
import { expect } from 'vitest';
import { KEY, URL_OF } from './support';

/** A key that opens every profile. */
export const ALL_KEY = process.env['ADJUTANT_E2E_ALL_KEY'] ?? KEY;

export class Rest {
  readonly profile: string;
  readonly #key: string;

  private constructor(profile: string, key: string) {
    this.profile = profile;
    this.#key = key;
  }

  /** Without any chat, so that those of other journeys are in no list. */
  static async fresh(): Promise<Rest> {
    const rest = new Rest('personal', KEY);
    for (;;) {
      const { items } = await rest.read<{ items: { id: string }[] }>('/api/threads?archived=all&limit=100');
      if (items.length === 0) return rest;
      await Promise.all(items.map(({ id }) => rest.send('DELETE', `/api/threads/${id}`)));
    }
  }

  /** A new profile. */
  static async made(name: string, displayName: string): Promise<Rest> {
    // Asked in the profile that there is.
    await new Rest('personal', ALL_KEY).send('PUT', `/api/profiles/${name}`, { displayName });
    return new Rest(name, ALL_KEY);
  }

  async send(method: string, path: string, body?: unknown): Promise<Response> {
    const answer = await fetch(new URL(path, URL_OF), {
      method,
      headers: {
        'X-API-Key': this.#key,
        'X-Profile': this.profile,
        Accept: 'application/json',
        ...(body !== undefined && { 'Content-Type': 'application/json' }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
    return answer;
  }

  async read<T>(path: string): Promise<T> {
    return (await this.send('GET', path)).json() as Promise<T>;
  }

  /** Says it and waits for the answer; in which thread. */
  async ask(text: string, thread?: string): Promise<string> {
    const body = { text, ...(thread && { threadId: thread }) };
    const { threadId, state } = (await (await this.send('POST', '/api/v1/ask', body)).json()) as Record<string, string>;
    expect(state).toBe('done');
    return threadId ?? '';
  }

  /** A run of so many steps, each a text and a call: two messages a step. */
  async steps(texts: string[], thread?: string): Promise<string> {
    const call = (key: string) => ({ call: 'effects__look', args: { key } });
    return this.ask(`play ${JSON.stringify(texts.map((text, at) => [text, call(`step ${at}`)]))}`, thread);
  }

  /** Begins so many chats at once, and waits until all have their answer and their title. */
  async chats(texts: string[]): Promise<string[]> {
    const ids = await Promise.all(texts.map((text) => this.ask(text)));
    const isTitled = async () => {
      const threads = await Promise.all(ids.map((id) => this.read<{ title: string | null }>(`/api/threads/${id}`)));
      return threads.every((thread) => thread.title !== null);
    };
    await expect.poll(isTitled, { timeout: 30_000 }).toBe(true);
    return ids;
  }
}
