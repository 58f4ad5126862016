// What ran lately, in all chats of the profile, and how each run ended.
import { answer, api, type Schemas } from './api';
import { took } from './time';
import { t } from './words';
import type { State } from '../parts/Mark.svelte';

export type RunItem = Schemas['RunItem'];

/** Pages that are read at most. */
const PAGES = 5;

/** The runs that began since then, newest first. */
export async function runsSince(since: Date): Promise<RunItem[]> {
  const items: RunItem[] = [];
  let before: string | null | undefined;
  for (let page = 0; page < PAGES; page += 1) {
    const query = { since: since.toISOString(), limit: 100, ...(before && { before }) };
    const read = await answer(api.GET('/api/runs', { params: { query } }));
    items.push(...read.items);
    before = read.next;
    if (!before) break;
  }
  return items;
}

/** What they cost together, per currency, and how many steps nobody priced. */
export function total(runs: readonly RunItem[]): { costs: Map<string, number>; unpriced: number } {
  const costs = new Map<string, number>();
  let unpriced = 0;
  for (const run of runs) {
    unpriced += run.unpricedSteps;
    for (const cost of run.costs) costs.set(cost.currency, (costs.get(cost.currency) ?? 0) + cost.micros);
  }
  return { costs, unpriced };
}

/** What a person should look at: it failed, was given up after crashes, or nobody knows what it did. */
export function wentWrong(run: RunItem): boolean {
  return run.state === 'failed' || run.state === 'quarantined' || run.unknownCalls > 0;
}

/** The name of a run: its chat's, else what was asked. */
export function nameOfRun(run: RunItem): string {
  return run.threadTitle ?? run.said ?? t('chats.untitled');
}

/** Mark, word and colour of a run. One that a tool keeps for a question is `running` to the server and waits for a person. */
export function stateOf(run: RunItem, waits: boolean): { mark: State; word: string; kind: string } {
  if (run.state === 'waiting' || waits) return { mark: 'wait', word: t('state.waiting'), kind: 'wait' };
  if (run.state === 'quarantined') return { mark: 'paused', word: t('state.quarantined'), kind: 'failed' };
  if (run.unknownCalls > 0) return { mark: 'unknown', word: t('state.unknown'), kind: 'unknown' };
  if (run.state === 'failed') return { mark: 'failed', word: t('state.failed'), kind: 'failed' };
  if (run.state === 'running') return { mark: 'running', word: t('state.running'), kind: 'running' };
  if (run.state === 'queued') return { mark: 'queued', word: t('state.queued'), kind: 'queued' };
  if (run.state === 'cancelled' || run.state === 'discarded')
    return {
      mark: 'skipped',
      word: t(run.state === 'discarded' ? 'state.discarded' : 'state.cancelled'),
      kind: 'skipped',
    };
  const millis =
    run.startedAt && run.finishedAt ? new Date(run.finishedAt).getTime() - new Date(run.startedAt).getTime() : null;
  const word = t('state.succeeded');
  return { mark: 'ran', word: millis === null ? word : `${word}, ${took(millis)}`, kind: 'ran' };
}
