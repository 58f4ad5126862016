// What ran lately, in all chats of the profile.
import { answer, api, type Schemas } from './api';

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
