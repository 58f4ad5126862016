// Messages that have no ack yet. They are kept until the server has them, also over a reload or a night without
// network, and go out one after the other, each under its own id: the server takes none twice.
import type { Ack, ClientFrame, ErrorFrame, SentPart, Submit } from '../wire/frames';
import type { Attached } from './message.svelte';
import { allKept, forget, keep } from './keep';

export interface Waiting {
  clientMessageId: string;
  /** The thread, or a name of ours for one that begins with this message. */
  thread: string;
  isNew: boolean;
  text: string;
  files: Attached[];
  editedId?: string;
  model?: string;
  mode?: 'queue' | 'steer';
  writtenAt: number;
  /** Why the server does not take it. Such a message waits for its writer. */
  refused?: { code: string; message: string };
}

/** Refusals that pass by themselves. */
const PASSING = new Set(['database_unavailable', 'conflict', 'internal']);
const AGAIN_AFTER = 2_000;

export class Outbox {
  waiting = $state<Waiting[]>([]);
  #scope: string;
  #send: (frame: ClientFrame) => boolean;
  /** What was sent on this connection and not answered. */
  #underway: string | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(scope: string, send: (frame: ClientFrame) => boolean) {
    this.#scope = scope;
    this.#send = send;
  }

  async load() {
    const kept = await allKept<Waiting>('outbox', `${this.#scope}/`);
    const known = new Set(this.waiting.map((message) => message.clientMessageId));
    const older = kept.filter((message) => !known.has(message.clientMessageId));
    this.waiting = [...older, ...this.waiting].sort((one, other) => one.writtenAt - other.writtenAt);
    this.flush();
  }

  async add(message: Waiting) {
    this.waiting.push(message);
    await keep('outbox', this.#key(message.clientMessageId), $state.snapshot(message));
    this.flush();
  }

  remove(id: string) {
    this.waiting = this.waiting.filter((message) => message.clientMessageId !== id);
    void forget('outbox', this.#key(id));
    if (this.#underway === id) this.#underway = null;
    this.flush();
  }

  /** Takes a refused message up again. */
  again(id: string) {
    const message = this.waiting.find((other) => other.clientMessageId === id);
    if (message) delete message.refused;
    this.flush();
  }

  /** A new connection: what was under way on the old one goes out again. */
  opened() {
    this.#underway = null;
    this.flush();
  }

  flush() {
    if (this.#underway !== null) return;
    // What stands behind a refused message of its thread waits with it: the order is the writer's.
    const held = new Set<string>();
    const next = this.waiting.find((message) => {
      if (message.refused) held.add(message.thread);
      return !held.has(message.thread);
    });
    if (next && this.#send(frame(next))) this.#underway = next.clientMessageId;
  }

  /** The message that is acknowledged, if it was one of these. */
  acked(ack: Ack): Waiting | undefined {
    const message = this.waiting.find((other) => other.clientMessageId === ack.clientMessageId);
    if (!message) return undefined;
    // What was written behind a message that begins a thread belongs into that thread.
    if (message.isNew) {
      for (const other of this.waiting.filter((later) => later.thread === message.thread && later !== message)) {
        [other.thread, other.isNew] = [ack.threadId, false];
        void keep('outbox', this.#key(other.clientMessageId), $state.snapshot(other));
      }
    }
    this.remove(ack.clientMessageId);
    return message;
  }

  refused(error: ErrorFrame) {
    const message = this.waiting.find((other) => other.clientMessageId === error.clientMessageId);
    if (!message) return;
    this.#underway = null;
    if (PASSING.has(error.code)) {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.flush(), AGAIN_AFTER);
      return;
    }
    message.refused = { code: error.code, message: error.message };
    this.flush();
  }

  #key(id: string): string {
    return `${this.#scope}/${id}`;
  }
}

function frame(message: Waiting): Submit {
  const parts: SentPart[] = message.files.map(({ fileId }) => ({ type: 'file', fileId }));
  if (message.text) parts.unshift({ type: 'text', text: message.text });
  return {
    type: 'run.submit',
    clientMessageId: message.clientMessageId,
    content: parts.length === 1 && message.text ? message.text : parts,
    ...(!message.isNew && { threadId: message.thread }),
    ...(message.editedId && { editedId: message.editedId }),
    ...(message.model && { model: message.model }),
    ...(message.mode && { mode: message.mode }),
  };
}
