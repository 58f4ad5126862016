// Messages of the assistant that follow each other are one answer: it is copied, tried again and forked as a whole.
import type { Message } from './message.svelte';

/** For each message that ends an answer: all messages of that answer. */
export function answersOf(messages: readonly Message[]): Map<string, Message[]> {
  const ends = new Map<string, Message[]>();
  let answer: Message[] = [];
  for (const [index, message] of messages.entries()) {
    if (message.role !== 'assistant') {
      answer = [];
      continue;
    }
    answer.push(message);
    if (messages[index + 1]?.role !== 'assistant') ends.set(message.id, answer);
  }
  return ends;
}

interface Placed {
  id: string;
  parentId?: string | null;
  seq: number;
}

/** Where the branch through that message ends; of several ways on, the newest. */
export function endOf(id: string, messages: readonly Placed[]): string {
  let end = id;
  for (;;) {
    const behind = messages.filter((message) => message.parentId === end);
    const next = behind.reduce<Placed | undefined>(
      (one, other) => (one && one.seq > other.seq ? one : other),
      undefined,
    );
    if (!next) return end;
    end = next.id;
  }
}
