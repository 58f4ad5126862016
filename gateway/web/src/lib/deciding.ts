// Decisions and answers go over REST, so that whoever gives one hears at once whether it counted.
import { answer, api, Problem, type Schemas } from './api';
import { desk } from './desk.svelte';

/** Throws where it could not be said. Somebody else's earlier decision is no error: it is shown instead. */
export async function decide(id: string, decision: 'once' | 'always' | 'deny', reason = ''): Promise<void> {
  const body = { decision, ...(reason && { reason }) };
  await first(answer(api.POST('/api/approvals/{id}', { params: { path: { id } }, body })));
}

export async function reply(
  id: string,
  action: Schemas['AnswerAction'],
  values?: Record<string, unknown>,
): Promise<void> {
  const body = { action, ...(values && { values }) };
  await first(answer(api.POST('/api/questions/{id}', { params: { path: { id } }, body })));
}

async function first(request: Promise<unknown>) {
  try {
    await request;
  } catch (error) {
    const isLate =
      error instanceof Problem && ['already_decided', 'already_answered', 'not_found'].includes(error.code);
    if (!isLate) throw error;
  }
  await desk.needs.load();
}
