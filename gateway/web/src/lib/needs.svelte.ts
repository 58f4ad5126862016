// What waits for this person in all threads: tools that need consent, and questions that tools ask.
import type { EventFrame } from '../wire/frames';
import { answer, api, type Schemas } from './api';

interface Common {
  id: string;
  threadId: string;
  runId: string;
  toolCallId: string;
  name: string;
  server: string | null;
  since: string;
}

export interface Approval extends Common {
  kind: 'approval';
  tool: string | null;
  arguments: unknown;
  risk: Schemas['Risk'];
  /** Why it asks, where an event said so. */
  why: string | null;
}

export interface Question extends Common {
  kind: 'question';
  message: string;
  fields: Schemas['Field'][];
}

export type Waiting = Approval | Question;

interface Meanwhile {
  added: Set<string>;
  stays: ((item: Waiting) => boolean)[];
}

export class Needs {
  items = $state.raw<Waiting[]>([]);
  loaded = $state(false);
  failure = $state.raw<unknown>(null);
  /** Grows with every decision, so that lists of what was decided are read again. */
  decided = $state(0);

  get count(): number {
    return this.items.length;
  }

  /** What events say while the list is read: what was read may be older. */
  #meanwhile = new Set<Meanwhile>();

  async load() {
    const meanwhile: Meanwhile = { added: new Set(), stays: [] };
    this.#meanwhile.add(meanwhile);
    const query = { state: 'pending', limit: 100 };
    try {
      const [approvals, questions] = await Promise.all([
        answer(api.GET('/api/approvals', { params: { query } })),
        answer(api.GET('/api/questions', { params: { query } })),
      ]);
      const items: Waiting[] = [
        ...approvals.items.map(approval),
        ...questions.items.map((item) => question(item as Schemas['QuestionView'])),
      ];
      const read = new Set(items.map((item) => item.id));
      const newer = this.items.filter((item) => meanwhile.added.has(item.id) && !read.has(item.id));
      const open = [...items, ...newer].filter((item) => meanwhile.stays.every((stays) => stays(item)));
      this.items = open.sort((one, other) => (one.since < other.since ? -1 : 1));
      this.failure = null;
    } catch (error) {
      this.failure = error;
    } finally {
      this.#meanwhile.delete(meanwhile);
    }
    this.loaded = true;
  }

  event({ threadId, runId, event }: EventFrame) {
    if (event.type === 'RUN_FINISHED' || event.type === 'RUN_ERROR') {
      return this.#keep((item) => item.runId !== runId);
    }
    if (event.type !== 'CUSTOM') return;
    const since = new Date().toISOString();
    if (event.name === 'approval.requested') {
      const { approvalId: id, toolCallId, name, server, tool, arguments: given, risk, why } = event.value;
      const common = { id, threadId, runId: runId ?? '', toolCallId, name, server: server ?? null, since };
      this.#add({ kind: 'approval', ...common, tool: tool ?? null, arguments: given, risk, why: why ?? null });
    }
    if (event.name === 'question.asked') {
      const { questionId: id, toolCallId, name, message, fields } = event.value;
      const server = name.includes('__') ? (name.split('__')[0] ?? null) : null;
      this.#add({
        kind: 'question',
        id,
        threadId,
        runId: runId ?? '',
        toolCallId,
        name,
        server,
        since,
        message,
        fields,
      });
    }
    if (event.name === 'approval.decided') this.#keep((item) => item.id !== event.value.approvalId);
    if (event.name === 'question.answered') this.#keep((item) => item.id !== event.value.questionId);
  }

  #add(item: Waiting) {
    for (const { added } of this.#meanwhile) added.add(item.id);
    const known = this.items.find((other) => other.id === item.id);
    const others = this.items.filter((other) => other.id !== item.id);
    this.items = [...others, { ...item, since: known?.since ?? item.since }];
  }

  #keep(stays: (item: Waiting) => boolean) {
    for (const meanwhile of this.#meanwhile) meanwhile.stays.push(stays);
    const before = this.items.length;
    this.items = this.items.filter(stays);
    if (this.items.length !== before) this.decided += 1;
  }
}

function approval(item: Schemas['ApprovalItem']): Approval {
  const { id, threadId, runId, toolCallId, name, risk, arguments: given } = item;
  const [server, tool] = [item.server ?? null, item.tool ?? null];
  return {
    kind: 'approval',
    id,
    threadId,
    runId,
    toolCallId,
    name,
    server,
    tool,
    arguments: given,
    risk,
    why: item.why ?? null,
    since: item.requestedAt,
  };
}

function question(item: Schemas['QuestionView']): Question {
  const { id, threadId, runId, toolCallId, name, message, fields, askedAt } = item;
  return {
    kind: 'question',
    id,
    threadId,
    runId,
    toolCallId,
    name,
    server: item.server ?? null,
    message,
    fields,
    since: askedAt,
  };
}
