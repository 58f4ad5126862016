import { describe, expect, it } from 'vitest';
import type { AgUi, EventFrame, WireMessage } from '../wire/frames';
import { Transcript } from './transcript.svelte';

let seq = 0;
const thread = 'T';

function frame(event: AgUi, given: Partial<EventFrame> = {}): EventFrame {
  return { type: 'event', threadId: thread, runId: 'R', event, ...given };
}

/** A frame that completes the next number. */
function next(event: AgUi, given: Partial<EventFrame> = {}): EventFrame {
  seq += 1;
  return frame(event, { seq, ...given });
}

type Said = Extract<WireMessage, { role: 'user' }>;

/** The beginning of a run: with a message of the person, or to answer one once more. */
function run(runId: string, message: Partial<Said> | null, answers?: string): AgUi {
  const messages: WireMessage[] = message ? [{ id: 'M1', role: 'user', content: 'hello', ...message }] : [];
  const forwardedProps = answers ? { forwardedProps: { answers } } : {};
  const input = { threadId: thread, runId, messages, tools: [] as never, context: [] as never, ...forwardedProps };
  return { type: 'RUN_STARTED', threadId: thread, runId, input };
}

function started(message: Partial<Said>, given: Partial<EventFrame> = {}): EventFrame {
  return next(run(given.runId ?? 'R', message), given);
}

const start = (messageId: string) => frame({ type: 'TEXT_MESSAGE_START', messageId, role: 'assistant' });
const piece = (messageId: string, delta: string, offset: number) =>
  frame({ type: 'TEXT_MESSAGE_CONTENT', messageId, delta }, { offset });
const end = (messageId: string) => next({ type: 'TEXT_MESSAGE_END', messageId });
const used = { inputTokens: 1, outputTokens: 1, totalTokens: 2, cachedInputTokens: 0 };
const finished = (runId = 'R') =>
  next({ type: 'RUN_FINISHED', threadId: thread, runId, outcome: { type: 'success' }, usage: [used] }, { runId });

function told(...frames: EventFrame[]): Transcript {
  const transcript = new Transcript(thread);
  for (const one of frames) transcript.apply(one);
  return transcript;
}

function fresh() {
  seq = 0;
}

const texts = (transcript: Transcript) => transcript.messages.map((message) => message.text);

describe('a transcript', () => {
  it('puts an answer together from its pieces', () => {
    fresh();
    const transcript = told(
      started({}),
      start('M2'),
      piece('M2', 'Grüß ', 0),
      piece('M2', 'dich 🐈', 5),
      piece('M2', '!', 12),
    );
    expect(texts(transcript)).toEqual(['hello', 'Grüß dich 🐈!']);
    expect(transcript.current?.phase).toBe('running');
    transcript.apply(end('M2'));
    transcript.apply(finished());
    expect(transcript.find('M2')?.done).toBe(true);
    expect(transcript.current).toBeUndefined();
    expect(transcript.last).toBe(3);
  });

  it('shows what was asked before the answer, also where the answer is told first', () => {
    fresh();
    const transcript = told(start('M2'), piece('M2', 'early', 0), started({}));
    expect(texts(transcript)).toEqual(['hello', 'early']);
    transcript.apply(end('M2'));
    transcript.apply(finished());
    // The same where it stands behind what was said before.
    const later = { ...piece('M4', 'at once', 0), runId: 'S' };
    transcript.apply(later);
    const metadata = { clientMessageId: 'c', parentId: 'M2' };
    transcript.apply(started({ id: 'M3', content: 'and now', metadata }, { runId: 'S' }));
    expect(texts(transcript)).toEqual(['hello', 'early', 'and now', 'at once']);
    expect(transcript.turns).toBe(0);
  });

  it('knows no times of what had happened before it was opened', () => {
    fresh();
    const transcript = new Transcript(thread);
    transcript.last = 0;
    transcript.until(2);
    const call: AgUi = { type: 'TOOL_CALL_START', toolCallId: 'C', toolCallName: 'a__b', parentMessageId: 'M2' };
    const frames = [started({}), frame(call), next({ type: 'TOOL_CALL_END', toolCallId: 'C' })];
    const live = frames.map((one) => transcript.apply(one) && transcript.isLive);
    expect(live).toEqual([false, false, true]);
    expect(transcript.call('C')?.begun).toBeNull();
  });

  it('drops what it knows and what comes too early, and says so', () => {
    fresh();
    const one = started({});
    const transcript = told(one);
    expect(transcript.apply(one)).toBe(false);
    expect(transcript.apply(frame({ type: 'TEXT_MESSAGE_END', messageId: 'M9' }, { seq: 7 }))).toBe(false);
    expect(transcript.messages).toHaveLength(1);
  });

  it('begins an answer anew when it starts again, and replaces from an offset on', () => {
    fresh();
    const transcript = told(
      started({}),
      start('M2'),
      piece('M2', 'half a sent', 0),
      start('M2'),
      piece('M2', 'whole', 0),
    );
    transcript.apply(piece('M2', ' thing', 2));
    expect(texts(transcript)[1]).toBe('wh thing');
  });

  it('drops an answer that never ended when its run ends', () => {
    fresh();
    const transcript = told(started({}), start('M2'), piece('M2', 'lost', 0));
    transcript.apply(next({ type: 'RUN_ERROR', code: 'model_unavailable', message: 'away', usage: [] }));
    expect(texts(transcript)).toEqual(['hello']);
    expect([...transcript.runs.values()][0]?.error?.code).toBe('model_unavailable');
  });

  it('keeps thinking apart from the answer', () => {
    fresh();
    const transcript = told(
      started({}),
      frame({ type: 'REASONING_MESSAGE_START', messageId: 'M2-thinking', role: 'reasoning' }),
      frame({ type: 'REASONING_MESSAGE_CONTENT', messageId: 'M2-thinking', delta: 'Hm.' }, { offset: 0 }),
      start('M2'),
      piece('M2', 'Yes.', 0),
    );
    expect(transcript.find('M2')).toMatchObject({ thinking: 'Hm.', text: 'Yes.' });
  });

  it('shows calls, their progress and their results', () => {
    fresh();
    const transcript = told(
      started({}),
      frame({ type: 'TOOL_CALL_START', toolCallId: 'C', toolCallName: 'time__now', parentMessageId: 'M2' }),
      frame({ type: 'TOOL_CALL_ARGS', toolCallId: 'C', delta: '{"zone":' }),
      frame({ type: 'TOOL_CALL_ARGS', toolCallId: 'C', delta: '"UTC"}' }),
      next({ type: 'TOOL_CALL_END', toolCallId: 'C' }),
      frame({ type: 'CUSTOM', name: 'tool.progress', value: { toolCallId: 'C', progress: 1, total: 2 } }),
    );
    expect(transcript.call('C')).toMatchObject({
      args: '{"zone":"UTC"}',
      progress: { done: 1, total: 2 },
      result: null,
    });
    const metadata = { outcome: 'unknown' } as const;
    transcript.apply(
      next({ type: 'TOOL_CALL_RESULT', messageId: 'M3', toolCallId: 'C', content: 'silence', metadata }),
    );
    expect(transcript.call('C')?.result).toEqual({ content: 'silence', outcome: 'unknown', truncated: false });
  });

  it('asks and is answered, and forgets what its run asked when that ends', () => {
    fresh();
    const called = { name: 'a__b', server: 'a', tool: 'b' };
    const asked = (id: string) =>
      next({
        type: 'CUSTOM',
        name: 'approval.requested',
        value: { approvalId: id, toolCallId: 'C', ...called, arguments: {}, risk: 'effects', why: 'policy' },
      });
    const transcript = told(started({}), asked('A1'), asked('A2'));
    const value = { approvalId: 'A1', toolCallId: 'C', decision: 'once' } as const;
    transcript.apply(next({ type: 'CUSTOM', name: 'approval.decided', value }));
    expect(transcript.needs.map((need) => need.id)).toEqual(['A2']);
    transcript.apply(finished());
    expect(transcript.needs).toEqual([]);
  });

  it('lets a queued message wait behind the answer, and take its place when it is its turn', () => {
    fresh();
    const transcript = told(started({}), start('M2'), piece('M2', 'first', 0));
    transcript.apply(frame(run('R2', { id: 'M3', content: 'second' }), { runId: 'R2' }));
    transcript.apply(next({ type: 'CUSTOM', name: 'run.state', value: { state: 'queued' } }, { runId: 'R2' }));
    expect(transcript.queued.map((message) => message.id)).toEqual(['M3']);
    transcript.apply(end('M2'));
    transcript.apply(finished());
    transcript.apply(
      next({ type: 'CUSTOM', name: 'run.state', value: { state: 'running', parentId: 'M2' } }, { runId: 'R2' }),
    );
    expect(transcript.queued).toEqual([]);
    expect(transcript.find('M3')?.parentId).toBe('M2');
    expect(texts(transcript)).toEqual(['hello', 'first', 'second']);
  });

  it('shows the new branch when a message was edited, and when an answer is tried again', () => {
    fresh();
    const transcript = told(started({}), start('M2'), piece('M2', 'one', 0), end('M2'), finished());
    transcript.apply(started({ id: 'M3', content: 'two', metadata: { parentId: 'M2' } }, { runId: 'R2' }));
    transcript.apply(finished('R2'));
    transcript.apply(started({ id: 'M4', content: 'other two', metadata: { parentId: 'M2' } }, { runId: 'R3' }));
    expect(texts(transcript)).toEqual(['hello', 'one', 'other two']);
    expect(transcript.turns).toBe(1);
    transcript.apply(next(run('R4', null, 'M1'), { runId: 'R4' }));
    expect(texts(transcript)).toEqual(['hello']);
  });

  it('shows the new branch when the first message was edited', () => {
    fresh();
    const transcript = told(started({}), start('M2'), piece('M2', 'one', 0), end('M2'), finished());
    transcript.apply(started({ id: 'M3', content: 'other' }, { runId: 'R2' }));
    expect(texts(transcript)).toEqual(['other']);
    expect(transcript.turns).toBe(1);
  });

  it('knows files of a message by their ids', () => {
    fresh();
    const content: Said['content'] = [
      { type: 'text', text: 'look' },
      {
        type: 'image',
        source: { type: 'file', provider: 'adjutant', value: 'F', mimeType: 'image/png' },
        metadata: { name: 'a.png', size: 7 },
      },
    ];
    const transcript = told(started({ content }));
    expect(transcript.messages[0]?.files).toEqual([{ fileId: 'F', name: 'a.png', mediaType: 'image/png', size: 7 }]);
  });
});
