// What is on a person's desk: the connection, the threads, what waits for them, and the conversations that are open.
// Pages read it; it alone listens to the socket.
import { newId } from './ids';
import { SvelteMap } from 'svelte/reactivity';
import type { Ack, ErrorFrame, EventFrame, ServerFrame } from '../wire/frames';
import { answer, api, Problem, sentence } from './api';
import { begunBefore, keepBegun } from './fresh';
import { forgetReadable } from './keep';
import { load, older, PAGE, take } from './loading';
import type { Attached } from './message.svelte';
import { Needs } from './needs.svelte';
import { Outbox, type Begun, type Waiting } from './outbox.svelte';
import { beginReading, keptTalk, lastSeen, sawServer } from './reading';
import { session } from './session.svelte';
import { Socket, type Link, type Listener } from './socket';
import { LATE, Threads } from './threads.svelte';
import { toasts } from './toasts.svelte';
import { Transcript } from './transcript.svelte';
import { updates } from './updates.svelte';

/** How many conversations are kept up to date in the background. */
const OPEN = 8;

export class Conversation {
  readonly transcript: Transcript;
  older = $state<string | null>(null);
  /** What stands before is being read. */
  reading: Promise<void> | null = null;
  loading = $state(true);
  failure = $state.raw<unknown>(null);
  /** What is shown is as it was then, kept in this browser: the server could not be asked. */
  keptAt = $state<string | null>(null);

  constructor(id: string) {
    this.transcript = new Transcript(id);
  }
}

class Desk implements Listener {
  connection = $state<Link>('connecting');
  closedWith = $state<number | null>(null);
  /** The last refusal that belongs to no message. */
  refusal = $state.raw<ErrorFrame | null>(null);
  threads = new Threads();
  needs = new Needs();
  conversations = new SvelteMap<string, Conversation>();
  /** Threads that began with a message of this page: the name they had here, and their id. */
  begun = new SvelteMap<string, string>(begunBefore());
  /** Null before somebody is signed in. */
  outbox = $state.raw<Outbox | null>(null);
  #socket = new Socket(this);

  async begin() {
    const outbox = new Outbox(
      session.scope,
      (frame) => this.#socket.send(frame),
      (begun) => this.#began(begun),
      () => this.#socket.renew(),
    );
    this.outbox = outbox;
    this.#socket.start();
    void beginReading().catch(() => {});
    await Promise.all([outbox.loaded, this.threads.load(), this.needs.load()]);
  }

  end() {
    this.#socket.stop();
  }

  /** The conversation of that thread, read if it is not at hand. */
  open(id: string): Conversation {
    let conversation = this.conversations.get(id);
    if (!conversation) {
      conversation = new Conversation(id);
      this.conversations.set(id, conversation);
      this.#leaveOldest(id);
      void this.#read(conversation);
    }
    return conversation;
  }

  /** Tries again what could not be read. */
  reread(conversation: Conversation) {
    if (!conversation.failure && conversation.keptAt === null) return;
    conversation.failure = null;
    conversation.loading = true;
    void this.#read(conversation);
  }

  async #read(conversation: Conversation) {
    const { transcript } = conversation;
    const late = setTimeout(() => void this.#showKept(conversation), LATE);
    try {
      conversation.older = (await load(transcript)).older;
      [conversation.failure, conversation.keptAt, conversation.loading] = [null, null, false];
      if (transcript.last !== null)
        this.#socket.send({ type: 'resume', threads: { [transcript.id]: transcript.last } });
    } catch (error) {
      conversation.failure = error;
      await this.#showKept(conversation);
      const isNone = error instanceof Problem && (error.status === 404 || error.status === 400);
      if (isNone) this.threads.gone.add(transcript.id);
      if (isNone) this.conversations.delete(transcript.id);
    } finally {
      clearTimeout(late);
      conversation.loading = false;
    }
  }

  /** What was kept of it, until the server says more. Nothing that happens is put behind it: that is read then. */
  async #showKept(conversation: Conversation) {
    const items = await keptTalk(conversation.transcript.id);
    if (!items || !conversation.loading || conversation.transcript.last !== null) return;
    take(conversation.transcript, items, []);
    [conversation.keptAt, conversation.failure] = [lastSeen(), null];
  }

  /** Reads the branch that is shown anew: which siblings its messages have, and what was said elsewhere. */
  async refresh(conversation: Conversation) {
    const before = new Set(conversation.transcript.messages.map((message) => message.id));
    conversation.older = (await load(conversation.transcript, before)).older;
  }

  /** Reads what stands before. Whoever asks meanwhile waits for the same. */
  more(conversation: Conversation, limit = PAGE): Promise<void> {
    conversation.reading ??= this.#more(conversation, limit).finally(() => (conversation.reading = null));
    return conversation.reading;
  }

  async #more(conversation: Conversation, limit: number) {
    const { transcript, older: before } = conversation;
    if (before === null) return;
    const page = await older(transcript.id, before, limit);
    // Read anew meanwhile: this is not what stands before it.
    if (conversation.older !== before) return;
    take(transcript, page.items, transcript.messages);
    conversation.older = page.older;
  }

  #leaveOldest(kept: string) {
    for (const id of this.conversations.keys()) {
      if (this.conversations.size <= OPEN) return;
      if (id !== kept) this.conversations.delete(id);
    }
  }

  /** Sends a message, now or when there is a connection; returns when it is kept. */
  async say(message: Omit<Waiting, 'writtenAt'>): Promise<void> {
    await this.outbox?.add({ ...message, writtenAt: Date.now() });
  }

  /** Stops a run. Not over the socket, which would not say that nobody heard it. */
  cancel(runId: string) {
    api.POST('/api/runs/{id}/cancel', { params: { path: { id: runId } } }).catch((error: unknown) => {
      toasts.say(sentence(error));
    });
  }

  /** Changes a message that waits for its turn. */
  async revise(runId: string, text: string, files: Attached[]) {
    const body = { content: content(text, files) };
    await answer(api.PATCH('/api/runs/{id}', { params: { path: { id: runId } }, body }));
  }

  /** Says an earlier message otherwise, without an answer for now. */
  async save(threadId: string, editedId: string, text: string, files: Attached[]) {
    const body = { editedId, content: content(text, files) };
    await answer(api.POST('/api/threads/{id}/messages', { params: { path: { id: threadId } }, body }));
    const conversation = this.conversations.get(threadId);
    // It is saved; what is not read now is told by the socket.
    if (conversation) await this.refresh(conversation).catch(() => {});
  }

  tryAgain(threadId: string, messageId: string, model?: string): boolean {
    const id = newId();
    return this.#socket.send({ type: 'run.retry', clientMessageId: id, threadId, messageId, ...(model && { model }) });
  }

  known(): Record<string, number> {
    const last: [string, number][] = [];
    for (const { transcript } of this.conversations.values()) {
      if (transcript.last !== null) last.push([transcript.id, transcript.last]);
    }
    return Object.fromEntries(last);
  }

  sure(): Promise<void> {
    return session.sure();
  }

  opened() {
    this.outbox?.opened();
    for (const conversation of this.conversations.values()) this.reread(conversation);
    // What ended while there was no connection is in nobody's transcript.
    void this.threads.load();
    void this.needs.load();
    if (session.me === null) void session.refresh().catch(() => {});
    sawServer();
    // A server that was away may have come back as a newer one.
    updates.look();
  }

  link(link: Link, code?: number) {
    // Of whoever was signed out nothing is written any more.
    if (this.connection === 'open' && !code) sawServer();
    this.connection = link;
    this.closedWith = code ?? null;
    if (session.isLeaving) return;
    if (code === 4001) {
      session.phase = 'signed-out';
      session.expired = true;
      void forgetReadable().catch(() => {});
    }
    if (code === 4002) session.profileGone();
  }

  frame(frame: ServerFrame) {
    switch (frame.type) {
      case 'ack':
        return this.#acked(frame);
      case 'error':
        return this.#refused(frame);
      case 'event':
        return this.#event(frame);
      default:
    }
  }

  #acked(ack: Ack) {
    const begun = this.outbox?.acked(ack);
    if (begun) this.#began(begun);
  }

  #began({ name, threadId, seq }: Begun) {
    this.begun.set(name, threadId);
    keepBegun(this.begun);
    if (this.conversations.has(threadId)) return;
    // All of it happens from here on: nothing needs to be read.
    const conversation = new Conversation(threadId);
    conversation.transcript.last = seq - 1;
    conversation.loading = false;
    this.conversations.set(threadId, conversation);
    this.#socket.send({ type: 'resume', threads: { [threadId]: seq - 1 } });
  }

  #refused(error: ErrorFrame) {
    if (error.clientMessageId) this.outbox?.refused(error);
    if (error.code === 'seq_ahead') {
      for (const conversation of this.conversations.values()) {
        if (error.message.includes(conversation.transcript.id)) this.conversations.delete(conversation.transcript.id);
      }
      return;
    }
    if (error.code === 'already_decided' || error.code === 'already_answered') void this.needs.load();
    this.refusal = error;
  }

  #event(frame: EventFrame) {
    const conversation = this.conversations.get(frame.threadId);
    // While a conversation is read nothing is applied to it: what happens meanwhile is asked for behind what was read.
    const transcript = conversation?.loading ? undefined : conversation?.transcript;
    const applied = transcript ? transcript.apply(frame) : true;
    if (!applied) return;
    this.threads.event(frame);
    this.needs.event(frame);
    if (!conversation || !transcript) return;
    const { event } = frame;
    const moved = event.type === 'CUSTOM' && event.name === 'thread.changed' && event.value.headId !== null;
    const isElsewhere = moved && !transcript.messages.some((message) => message.id === transcript.thread?.headId);
    const isSaidOtherwise = moved && transcript.turns > 0 && !transcript.current;
    const ended = event.type === 'RUN_FINISHED' || event.type === 'RUN_ERROR';
    if (isElsewhere || isSaidOtherwise || (ended && transcript.turns > 0)) {
      transcript.turns = 0;
      void this.refresh(conversation).catch(() => {});
    }
  }
}

/** All that a message is from now on: files that are not named are not its files. */
function content(text: string, files: Attached[]) {
  const parts = files.map(({ fileId }) => ({ type: 'file' as const, fileId }));
  return text === '' ? parts : [{ type: 'text' as const, text }, ...parts];
}

export const desk = new Desk();
