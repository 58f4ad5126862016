// One thread as its events tell it: the eight rules of docs/protocol.md. Knows nothing of sockets and requests.
import { SvelteMap } from 'svelte/reactivity';
import type { AgUi, EventFrame, ThreadChanged, WireMessage } from '../wire/frames';
import { partsOf } from './modelNames';
import { Call, Message, Run, type Attached, type Need } from './message.svelte';

const THINKING = '-thinking';

/** A piece at its place: mostly the end, where nothing has to be copied. */
function placed(text: string, offset: number, piece: string): string {
  return offset === text.length ? text + piece : text.slice(0, offset) + piece;
}

export class Transcript {
  readonly id: string;
  /** The number of the last event that was applied; null before the first of a thread that was never named. */
  last: number | null = null;
  messages = $state<Message[]>([]);
  runs = new SvelteMap<string, Run>();
  needs = $state<Need[]>([]);
  thread = $state.raw<ThreadChanged | null>(null);
  /** What is told is news. Before, it is what had happened when this was opened: of its times nothing is known. */
  isLive = $state(true);
  #known = 0;
  /** Grows when the branch that is shown is no more what was loaded: a message was edited, or an answer tried again. */
  turns = $state(0);

  constructor(id: string) {
    this.id = id;
  }

  /** The run that goes on, or waits; queued ones stand behind it. */
  get current(): Run | undefined {
    return [...this.runs.values()].find((run) => run.isOpen && run.phase !== 'queued');
  }

  get queued(): Message[] {
    return this.messages.filter((message) => message.queued);
  }

  /** Up to that number, what comes had happened before. */
  until(seq: number) {
    this.#known = seq;
    this.isLive = (this.last ?? 0) >= seq;
  }

  /** Applies a frame unless its number says that it is known, or comes again later. True if it was applied. */
  apply(frame: EventFrame): boolean {
    if (frame.seq !== undefined) {
      this.last ??= frame.seq - 1;
      if (frame.seq !== this.last + 1) return false;
      this.last = frame.seq;
    }
    this.#event(frame.event, frame.runId ?? '', frame.offset ?? 0, frame.seq === undefined);
    if (!this.isLive && (this.last ?? 0) >= this.#known) this.isLive = true;
    return true;
  }

  find(id: string): Message | undefined {
    return this.messages.find((message) => message.id === id);
  }

  /** Where a call stands. */
  call(id: string): Call | undefined {
    for (let index = this.messages.length - 1; index >= 0; index -= 1) {
      const call = this.messages[index]?.call(id);
      if (call) return call;
    }
    return undefined;
  }

  run(id: string): Run {
    let run = this.runs.get(id);
    if (!run) {
      run = new Run(id);
      this.runs.set(id, run);
    }
    return run;
  }

  #event(event: AgUi, runId: string, offset: number, isOpen: boolean) {
    switch (event.type) {
      case 'RUN_STARTED': {
        const run = this.run(runId);
        run.begun = Date.now();
        if (run.phase !== 'queued') run.phase = 'running';
        // Of a queued run, the number is that of the state that follows.
        for (const message of event.input.messages) this.#bring(message, runId, isOpen);
        const answers = event.input.forwardedProps?.answers;
        run.asked = answers ?? event.input.messages.findLast((message) => message.role === 'user')?.id ?? null;
        if (answers) this.#cut(answers, runId);
        return;
      }
      case 'TEXT_MESSAGE_START':
        this.#answer(event.messageId, runId).text = '';
        return;
      case 'TEXT_MESSAGE_CONTENT': {
        const message = this.#answer(event.messageId, runId);
        message.text = placed(message.text, offset, event.delta);
        return;
      }
      case 'TEXT_MESSAGE_END': {
        const message = this.#answer(event.messageId, runId);
        message.done = true;
        message.partial = event.metadata?.partial ?? false;
        if (event.metadata?.model) message.model = partsOf(event.metadata.model).name;
        return;
      }
      case 'REASONING_MESSAGE_START': {
        const message = this.#answer(event.messageId.replace(THINKING, ''), runId);
        message.thinking = '';
        message.thinkingSince = this.isLive ? Date.now() : null;
        return;
      }
      case 'REASONING_MESSAGE_CONTENT': {
        const message = this.#answer(event.messageId.replace(THINKING, ''), runId);
        message.thinking = placed(message.thinking, offset, event.delta);
        return;
      }
      case 'REASONING_MESSAGE_END': {
        const message = this.#answer(event.messageId.replace(THINKING, ''), runId);
        if (message.thinkingSince !== null) message.thought = Math.round((Date.now() - message.thinkingSince) / 1000);
        return;
      }
      case 'TOOL_CALL_START': {
        const message = this.#answer(event.parentMessageId, runId);
        const known = message.call(event.toolCallId);
        const call = known ?? new Call(event.toolCallId, event.toolCallName);
        call.name = event.toolCallName;
        call.args = '';
        if (!known) message.calls.push(call);
        return;
      }
      case 'TOOL_CALL_ARGS': {
        const call = this.call(event.toolCallId);
        if (call) call.args += event.delta;
        return;
      }
      case 'TOOL_CALL_END': {
        const call = this.call(event.toolCallId);
        if (call && this.isLive) call.begun = Date.now();
        return;
      }
      case 'TOOL_CALL_RESULT': {
        const call = this.call(event.toolCallId);
        const { outcome, truncated } = event.metadata;
        if (!call) return;
        call.result = { content: event.content, outcome, truncated: truncated ?? false };
        call.took = event.metadata.tookMs ?? null;
        return;
      }
      case 'RUN_FINISHED': {
        const run = this.run(runId);
        // Taken back before its turn: it was never said.
        if (run.phase === 'queued') this.messages = this.messages.filter((message) => message.runId !== runId);
        run.phase = event.outcome.type === 'success' ? 'succeeded' : 'cancelled';
        this.#end(run, event.usage);
        return;
      }
      case 'RUN_ERROR': {
        const run = this.run(runId);
        run.phase = 'failed';
        run.error = { code: event.code, message: event.message };
        this.#end(run, event.usage);
        return;
      }
      case 'CUSTOM':
        this.#custom(event, runId);
        return;
      default:
    }
  }

  #custom(event: Extract<AgUi, { type: 'CUSTOM' }>, runId: string) {
    switch (event.name) {
      case 'run.state': {
        const { state, parentId, reason } = event.value;
        const run = this.run(runId);
        run.phase = state;
        run.reason = reason ?? null;
        const first = this.messages.find((message) => message.runId === runId && message.role === 'user');
        for (const message of this.messages) if (message.runId === runId) message.queued = state === 'queued';
        if (first && parentId) {
          first.parentId = parentId;
          this.#toEnd(runId);
        }
        return;
      }
      case 'approval.requested':
        this.#need({ kind: 'approval', id: event.value.approvalId, runId, body: event.value });
        return;
      case 'approval.decided': {
        const { approvalId, toolCallId, decision } = event.value;
        this.#met(approvalId);
        const call = this.call(toolCallId);
        const isDecided = decision === 'once' || decision === 'always' || decision === 'deny';
        if (!call || !isDecided) return;
        // From here on it runs: before, it waited for a person.
        [call.decision, call.begun] = [decision, this.isLive ? Date.now() : null];
        return;
      }
      case 'question.asked':
        this.#need({ kind: 'question', id: event.value.questionId, runId, body: event.value });
        return;
      case 'question.answered':
        this.#met(event.value.questionId);
        return;
      case 'tool.progress': {
        const call = this.call(event.value.toolCallId);
        const { progress: done, total, message } = event.value;
        if (call) call.progress = { done, ...(total && { total }), ...(message && { message }) };
        return;
      }
      case 'thread.changed':
        this.thread = event.value;
        return;
      case 'messages.copied':
        // Of this thread: a message that was said otherwise, and begins a branch beside what is shown.
        for (const message of event.value.messages) this.#bring(message, '', event.value.from.threadId !== this.id);
        return;
      default:
    }
  }

  /** A message that came whole. */
  #bring(wire: WireMessage, runId: string, isQueued: boolean) {
    if (wire.role === 'tool') {
      const call = this.call(wire.toolCallId);
      // How it went is not told here: who reads the messages learns it.
      if (call) call.result ??= { content: wire.content, outcome: 'succeeded', truncated: false };
      return;
    }
    const role = wire.role === 'user' || wire.role === 'assistant' ? wire.role : 'system';
    const message = this.find(wire.id) ?? new Message(wire.id, role);
    const parts = typeof wire.content === 'string' ? [{ type: 'text' as const, text: wire.content }] : wire.content;
    message.text = (parts ?? []).map((part) => (part.type === 'text' ? part.text : '')).join('');
    message.files = (parts ?? []).flatMap((part): Attached[] => {
      if (part.type === 'text') return [];
      return [{ fileId: part.source.value, mediaType: part.source.mimeType, ...part.metadata }];
    });
    for (const { id, function: called } of (wire.role === 'assistant' && wire.toolCalls) || []) {
      const call = message.call(id) ?? new Call(id, called.name);
      call.args = called.arguments;
      if (!message.call(id)) message.calls.push(call);
    }
    message.runId = runId || message.runId;
    message.clientMessageId = wire.metadata?.clientMessageId ?? null;
    message.partial = wire.metadata?.partial ?? false;
    message.done = true;
    message.createdAt ??= new Date().toISOString();
    if (this.find(wire.id)) return;
    const parent = wire.metadata?.parentId ?? null;
    message.parentId = parent;
    if (role === 'user' && !isQueued) {
      if (parent !== null) this.#cut(parent, runId);
      // The first message of a thread, edited: it stands beside what is shown, behind nothing.
      else if (this.messages.some((other) => other.done && !other.queued && other.runId !== runId)) this.#turn([]);
    }
    // The answer may be told before what it answers.
    const isAnswer = (other: Message) => other.role === 'assistant' && other.runId === runId;
    const at = role === 'user' && !isQueued ? this.messages.findIndex(isAnswer) : -1;
    if (at < 0) this.messages.push(message);
    else this.messages.splice(at, 0, message);
  }

  /** What is shown from here on follows this message. */
  #cut(parent: string, runId: string) {
    const at = this.messages.findIndex((message) => message.id === parent);
    // Where it is not shown, it stands before all that is; with nothing shown, all of it happens from here on.
    const behind = this.messages.slice(at + 1).filter((message) => !message.queued);
    const own = behind.filter((message) => message.runId === runId);
    if (behind.length > own.length) this.#turn([...this.messages.slice(0, at + 1), ...own, ...this.queued]);
  }

  #turn(messages: Message[]) {
    this.messages = messages;
    this.turns += 1;
  }

  /** A run whose turn it is stands behind all that was said before. */
  #toEnd(runId: string) {
    const mine = this.messages.filter((message) => message.runId === runId);
    const others = this.messages.filter((message) => message.runId !== runId);
    const settled = others.filter((message) => !message.queued);
    this.messages = [...settled, ...mine, ...others.filter((message) => message.queued)];
  }

  /** The answer with that id, begun if it is new: before what waits for its turn. */
  #answer(id: string, runId: string): Message {
    const known = this.find(id);
    if (known) return known;
    // Its beginning may come later, with what was asked for: until then it is a run that goes on.
    if (runId) this.run(runId);
    const message = new Message(id, 'assistant');
    message.runId = runId;
    message.createdAt = new Date().toISOString();
    const at = this.messages.findIndex((other) => other.queued);
    if (at < 0) this.messages.push(message);
    else this.messages.splice(at, 0, message);
    return this.find(id) ?? message;
  }

  #end(run: Run, usage: Run['usage']) {
    run.usage = usage;
    for (const message of this.messages) if (message.runId === run.id) message.model ??= run.model;
    this.needs = this.needs.filter((need) => need.runId !== run.id);
    const isVoid = (message: Message) =>
      message.runId === run.id && message.role === 'assistant' && !message.done && message.calls.length === 0;
    this.messages = this.messages.filter((message) => !isVoid(message));
    for (const message of this.messages) if (message.runId === run.id) message.queued = false;
  }

  #need(need: Need) {
    this.needs = [...this.needs.filter((other) => other.id !== need.id), need];
  }

  #met(id: string) {
    this.needs = this.needs.filter((need) => need.id !== id);
  }
}
