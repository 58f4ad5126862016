// The frames of the WebSocket (docs/protocol.md), as the server's own document tells them: `npm run wire` writes ./rest.
// Here they only get the names that the page calls them by.
import type { components } from './rest';

type Schemas = components['schemas'];

export type ServerFrame = Schemas['ServerFrame'];
export type Ack = Extract<ServerFrame, { type: 'ack' }>;
export type EventFrame = Extract<ServerFrame, { type: 'event' }>;
export type ErrorFrame = Extract<ServerFrame, { type: 'error' }>;

export type ClientFrame = Schemas['ClientFrame'];
export type Submit = Extract<ClientFrame, { type: 'run.submit' }>;
export type SentPart = Schemas['SubmitPart'];

export type AgUi = Schemas['AgUiEvent'];
export type Custom = Extract<AgUi, { type: 'CUSTOM' }>;
export type WireMessage = Schemas['InputMessage'];
export type TokenUsage = Schemas['TokenUsage'];
export type Outcome = Schemas['OutcomeKind'];
export type ApprovalRequested = Schemas['ApprovalRequested'];
export type QuestionAsked = Schemas['QuestionAsked'];
export type ThreadChanged = Schemas['ThreadChanged'];
export type Decision = Schemas['DecisionName'];
export type Field = Schemas['Field'];
