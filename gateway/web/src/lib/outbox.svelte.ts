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
  /** The thread that begins is a temporary one. */
  temporary?: boolean;
  text: string;
  files: Attached[];
  editedId?: string;
  model?: string;
  mode?: 'queue' | 'steer';
  writtenAt: number;
  /** It is in the browser's store: it survives this page. */
  isKept?: boolean;
  /** Why the server does not take it. Such a message waits for its writer. */
  refused?: { code: string; message: string };
}

/** A thread that began: what it was called here, its id, and the number of its first event. */
export interface Begun {
  name: string;
  threadId: string;
  seq: number;
}

/** What tabs tell each other: a message is no longer to be sent. */
interface Gone {
  id: string;
  begun?: Begun;
}

/** Refusals that pass by themselves. */
const PASSING = new Set(['database_unavailable', 'conflict', 'internal']);
const AGAIN_AFTER = 2_000;
/** Milliseconds for an answer; without one the connection is as good as gone. */
const ANSWERED_WITHIN = 10_000;
/** Where a message stands until the store has it, in the local storage: its writes are done when they return. */
const LEAVING = 'adjutant.leaving/';

export class Outbox {
  waiting = $state<Waiting[]>([]);
  /** What earlier visits left is there. */
  readonly loaded: Promise<void>;
  #scope: string;
  #send: (frame: ClientFrame) => boolean;
  /** What was sent on this connection and not answered. */
  #underway: string | null = null;
  #stuck: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #overdue: ReturnType<typeof setTimeout> | undefined;
  /** What was sent or taken back here or in another tab: it does not come up again. */
  #gone = new Set<string>();
  #others: BroadcastChannel;

  /** `begun` hears which thread a message began, also when another tab sent it; `stuck` that nobody answers. */
  constructor(scope: string, send: (frame: ClientFrame) => boolean, begun: (begun: Begun) => void, stuck: () => void) {
    this.#scope = scope;
    this.#send = send;
    this.#stuck = stuck;
    this.#others = new BroadcastChannel(`adjutant.outbox/${scope}`);
    this.#others.onmessage = ({ data }: MessageEvent<Gone>) => {
      if (data.begun) {
        this.#follow(data.begun, data.id);
        begun(data.begun);
      }
      this.#drop(data.id);
    };
    this.loaded = this.load();
  }

  /** Reads what is kept: of earlier visits, and of other tabs that may be gone. */
  async load() {
    const kept = await allKept<Waiting>('outbox', `${this.#scope}/`).catch(() => []);
    const known = new Set(this.waiting.map((message) => message.clientMessageId));
    const all = new Map([...this.#leaving(), ...kept].map((message) => [message.clientMessageId, message]));
    const others = [...all.values()].filter(({ clientMessageId: id }) => !known.has(id) && !this.#gone.has(id));
    const waiting = [...others.map((message) => ({ ...message, isKept: true })), ...this.waiting];
    this.waiting = waiting.sort((one, other) => one.writtenAt - other.writtenAt);
    this.flush();
  }

  /** Takes a message over: at once it is safe here, also where the page goes away. Returns when the store has it. */
  async add(message: Waiting) {
    const key = this.#key(message.clientMessageId);
    try {
      localStorage.setItem(LEAVING + key, JSON.stringify(message));
    } catch {
      // No room: it is on the page, until the store has it.
    }
    const length = this.waiting.push(message);
    const added = this.waiting[length - 1];
    this.flush();
    await keep('outbox', key, message).then(
      () => {
        if (added) added.isKept = true;
        localStorage.removeItem(LEAVING + key);
      },
      () => {},
    );
  }

  remove(id: string, begun?: Begun) {
    this.#drop(id);
    this.#others.postMessage({ id, ...(begun && { begun }) } satisfies Gone);
    localStorage.removeItem(LEAVING + this.#key(id));
    void forget('outbox', this.#key(id)).catch(() => {});
  }

  /** What the store did not have when its page went away. */
  #leaving(): Waiting[] {
    const names = Object.keys(localStorage).filter((name) => name.startsWith(LEAVING + this.#key('')));
    return names.map((name) => JSON.parse(localStorage.getItem(name) ?? '') as Waiting);
  }

  #drop(id: string) {
    this.#gone.add(id);
    this.waiting = this.waiting.filter((message) => message.clientMessageId !== id);
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
    void this.load();
  }

  flush() {
    if (this.#underway !== null) return;
    // What stands behind a refused message of its thread waits with it: the order is the writer's.
    const held = new Set<string>();
    const next = this.waiting.find((message) => {
      if (message.refused) held.add(message.thread);
      return !held.has(message.thread);
    });
    if (!next || !this.#send(frame(next))) return;
    const id = (this.#underway = next.clientMessageId);
    clearTimeout(this.#overdue);
    this.#overdue = setTimeout(() => this.#underway === id && this.#stuck(), ANSWERED_WITHIN);
  }

  /** Takes out the message that is acknowledged. What it began, if it was one of these and began something. */
  acked(ack: Ack): Begun | undefined {
    const message = this.waiting.find((other) => other.clientMessageId === ack.clientMessageId);
    if (!message) return undefined;
    const begun = message.isNew ? { name: message.thread, threadId: ack.threadId, seq: ack.seq } : undefined;
    if (begun) this.#follow(begun, message.clientMessageId);
    this.remove(message.clientMessageId, begun);
    return begun;
  }

  /** What was written behind a message that begins a thread belongs into that thread. */
  #follow({ name, threadId }: Begun, first: string) {
    const behind = this.waiting.filter((other) => other.thread === name && other.clientMessageId !== first);
    for (const message of behind) {
      [message.thread, message.isNew] = [threadId, false];
      void keep('outbox', this.#key(message.clientMessageId), $state.snapshot(message)).catch(() => {});
    }
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
    // Text alone keeps the files of the message that it edits; parts are all that there is.
    content: parts.length === 1 && message.text && !message.editedId ? message.text : parts,
    ...(message.isNew ? message.temporary && { temporary: true } : { threadId: message.thread }),
    ...(message.editedId && { editedId: message.editedId }),
    ...(message.model && { model: message.model }),
    ...(message.mode && { mode: message.mode }),
  };
}
