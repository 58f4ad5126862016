// Runs that brought no whole answer, each at the message behind which that is to be said.
import type { Run } from './message.svelte';
import type { Transcript } from './transcript.svelte';

export function troublesOf(transcript: Transcript): Map<string, Run> {
  const { messages } = transcript;
  const troubles = new Map<string, Run>();
  for (const run of transcript.runs.values()) {
    if (run.phase !== 'failed' && run.phase !== 'quarantined' && run.phase !== 'cancelled') continue;
    const said = messages.findLastIndex((message) => message.runId === run.id && message.role === 'assistant');
    // What was written before it was stopped says so itself.
    if (said >= 0 && run.phase === 'cancelled') continue;
    const at = said >= 0 ? said : messages.findIndex((message) => message.id === run.asked);
    const anchor = messages[at];
    // It was answered since.
    const isAnswered = said < 0 && messages[at + 1]?.role === 'assistant';
    if (anchor && !isAnswered) troubles.set(anchor.id, run);
  }
  return troubles;
}
