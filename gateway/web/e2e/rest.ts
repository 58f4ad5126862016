// What stands when a journey begins, made by REST.
import { expect } from 'vitest';
import { control, URL_OF } from './support';

export class Rest {
  readonly name: string;
  readonly key: string;
  readonly profile: string;

  private constructor(name: string, key: string, profile: string) {
    this.name = name;
    this.key = key;
    this.profile = profile;
  }

  /** A person of the journey's own, so that no other journey's chats are in their lists. */
  static async person(): Promise<Rest> {
    const name = `p${crypto.randomUUID().slice(0, 8)}`;
    return new Rest(name, await control(`person/${name}?pays=true`), 'personal');
  }

  /** The same person in a further profile. */
  async further(profile: string, displayName: string): Promise<Rest> {
    await this.send('PUT', `/api/profiles/${profile}`, { displayName });
    return new Rest(this.name, this.key, profile);
  }

  async send(method: string, path: string, body?: unknown): Promise<Response> {
    const answer = await fetch(new URL(path, URL_OF), {
      method,
      headers: {
        'X-API-Key': this.key,
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
