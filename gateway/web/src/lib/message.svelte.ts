// What a conversation shows: messages, the calls in them, the runs that made them, and what they ask of a person.
import type { ApprovalRequested, Decision, Outcome, QuestionAsked, TokenUsage } from '../wire/frames';

export interface Attached {
  fileId: string;
  name: string;
  mediaType: string;
  size: number;
}

export interface Result {
  content: string;
  outcome: Outcome;
  truncated: boolean;
}

export class Call {
  readonly id: string;
  name = $state('');
  /** JSON, perhaps not whole yet. */
  args = $state('');
  result = $state.raw<Result | null>(null);
  progress = $state.raw<{ done: number; total?: number; message?: string } | null>(null);
  /** What a person said to it, where this page heard that. */
  decision = $state.raw<Decision | null>(null);
  /** When this page saw it begin, by its own clock, and how long it took: null where it was not there. */
  begun = $state.raw<number | null>(null);
  took = $state<number | null>(null);

  constructor(id: string, name: string) {
    this.id = id;
    this.name = name;
  }
}

export class Message {
  readonly id: string;
  readonly role: 'user' | 'assistant' | 'system';
  runId: string | null = null;
  /** Which model wrote it, by its own name; null where nobody said. */
  model = $state<string | null>(null);
  parentId = $state<string | null>(null);
  siblingIds = $state.raw<string[]>([]);
  clientMessageId: string | null = null;
  text = $state('');
  thinking = $state('');
  /** Seconds that it thought, where this page saw it think. */
  thought = $state<number | null>(null);
  thinkingSince: number | null = null;
  calls = $state<Call[]>([]);
  files = $state.raw<Attached[]>([]);
  /** Complete and stored. */
  done = $state(false);
  partial = $state(false);
  /** It waits for the run before it. */
  queued = $state(false);
  createdAt: string | null = null;

  constructor(id: string, role: Message['role']) {
    this.id = id;
    this.role = role;
  }

  call(id: string): Call | undefined {
    return this.calls.find((call) => call.id === id);
  }
}

export type RunPhase =
  'queued' | 'running' | 'waiting' | 'quarantined' | 'joined' | 'succeeded' | 'cancelled' | 'failed';

export class Run {
  readonly id: string;
  /** The message of the person that it answers. */
  asked: string | null = null;
  phase = $state<RunPhase>('running');
  reason = $state<string | null>(null);
  error = $state.raw<{ code: string; message: string } | null>(null);
  usage = $state.raw<TokenUsage[]>([]);
  /** By this page's clock. */
  begun = $state<number | null>(null);

  constructor(id: string) {
    this.id = id;
  }

  /** Which model wrote; null where several did, as the sums do not say who wrote what. */
  get model(): string | null {
    const [only, ...others] = this.usage;
    return others.length === 0 ? (only?.model ?? null) : null;
  }

  get isOpen(): boolean {
    return (
      this.phase === 'queued' || this.phase === 'running' || this.phase === 'waiting' || this.phase === 'quarantined'
    );
  }
}

export interface Asked {
  kind: 'approval';
  id: string;
  runId: string;
  body: ApprovalRequested;
}

export interface Form {
  kind: 'question';
  id: string;
  runId: string;
  body: QuestionAsked;
}

export type Need = Asked | Form;
