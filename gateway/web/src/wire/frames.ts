// The frames of the WebSocket: docs/protocol.md. Names and shapes are those of gateway/src/wire.
import type { components } from './rest';

type Schemas = components['schemas'];

export type Field = Schemas['Field'];
export type Risk = Schemas['Risk'];
export type Part = Schemas['Part'];

/** A message as RUN_STARTED and messages.copied bring it. */
export interface WireMessage {
  id: string;
  role: 'user' | 'assistant' | 'system' | 'developer' | 'tool';
  content?: string | WirePart[];
  toolCalls?: { id: string; function: { name: string; arguments: string } }[];
  toolCallId?: string;
  metadata?: { clientMessageId?: string; parentId?: string; partial?: boolean; outcome?: Outcome };
}

export type WirePart =
  | { type: 'text'; text: string }
  | {
      type: 'image' | 'document';
      source: { type: 'file'; value: string; mimeType: string };
      metadata: { name: string; size: number };
    };

export type Outcome = 'succeeded' | 'failed' | 'denied' | 'unknown';
export type Decision = 'once' | 'always' | 'deny';

export interface TokenUsage {
  model: string;
  inputTokens: number;
  outputTokens: number;
  totalTokens: number;
  cachedInputTokens?: number;
}

export type Custom =
  | { name: 'run.state'; value: RunState }
  | { name: 'approval.requested'; value: ApprovalRequested }
  | { name: 'approval.decided'; value: { approvalId: string; toolCallId: string; decision: Decision | 'withdrawn' } }
  | { name: 'question.asked'; value: QuestionAsked }
  | { name: 'question.answered'; value: { questionId: string; toolCallId: string; action: string } }
  | { name: 'tool.progress'; value: { toolCallId: string; progress: number; total?: number; message?: string } }
  | { name: 'thread.changed'; value: ThreadChanged }
  | { name: 'messages.copied'; value: { messages: WireMessage[] } };

export interface RunState {
  state: 'queued' | 'running' | 'waiting' | 'joined' | 'quarantined';
  parentId?: string;
  joinedRunId?: string;
  reason?: string;
}

export interface ApprovalRequested {
  approvalId: string;
  toolCallId: string;
  name: string;
  server?: string;
  tool?: string;
  arguments: unknown;
  risk: Risk;
  why: 'destructive' | 'policy' | 'foreign_text' | 'address';
}

export interface QuestionAsked {
  questionId: string;
  toolCallId: string;
  name: string;
  message: string;
  fields: Field[];
}

export interface ThreadChanged {
  title: string | null;
  headId: string | null;
  pinned: boolean;
  archived: boolean;
  deletedAt: string | null;
}

export type AgUi =
  | {
      type: 'RUN_STARTED';
      threadId: string;
      runId: string;
      input: { messages: WireMessage[]; forwardedProps?: { answers?: string } };
    }
  | { type: 'RUN_FINISHED'; outcome: { type: 'success' | 'cancelled' }; usage: TokenUsage[] }
  | { type: 'RUN_ERROR'; message: string; code: string; usage: TokenUsage[] }
  | { type: 'TEXT_MESSAGE_START'; messageId: string }
  | { type: 'TEXT_MESSAGE_CONTENT'; messageId: string; delta: string }
  | { type: 'TEXT_MESSAGE_END'; messageId: string; metadata?: { partial?: boolean } }
  | { type: 'REASONING_START' | 'REASONING_END'; messageId: string }
  | { type: 'REASONING_MESSAGE_START' | 'REASONING_MESSAGE_END'; messageId: string }
  | { type: 'REASONING_MESSAGE_CONTENT'; messageId: string; delta: string }
  | { type: 'TOOL_CALL_START'; toolCallId: string; toolCallName: string; parentMessageId: string }
  | { type: 'TOOL_CALL_ARGS'; toolCallId: string; delta: string }
  | { type: 'TOOL_CALL_END'; toolCallId: string }
  | {
      type: 'TOOL_CALL_RESULT';
      messageId: string;
      toolCallId: string;
      content: string;
      metadata: { outcome: Outcome; truncated?: boolean };
    }
  | ({ type: 'CUSTOM' } & Custom);

export interface EventFrame {
  type: 'event';
  threadId: string;
  runId?: string;
  seq?: number;
  offset?: number;
  event: AgUi;
}

export interface Ack {
  type: 'ack';
  clientMessageId: string;
  threadId: string;
  messageId: string;
  runId: string;
  seq: number;
}

export interface ErrorFrame {
  type: 'error';
  code: string;
  message: string;
  clientMessageId?: string;
}

export type ServerFrame = Ack | EventFrame | ErrorFrame;

export type SentPart = { type: 'text'; text: string } | { type: 'file'; fileId: string };

export interface Submit {
  type: 'run.submit';
  clientMessageId: string;
  threadId?: string;
  editedId?: string;
  content: string | SentPart[];
  model?: string;
  mode?: 'queue' | 'steer';
}

export type ClientFrame =
  | Submit
  | { type: 'run.retry'; clientMessageId: string; threadId: string; messageId: string; model?: string }
  | { type: 'run.cancel'; runId: string }
  | { type: 'approval.decide'; approvalId: string; decision: Decision; reason?: string }
  | { type: 'question.answer'; questionId: string; action: 'accept' | 'decline' | 'cancel'; values?: object }
  | { type: 'resume'; threads: Record<string, number> };
