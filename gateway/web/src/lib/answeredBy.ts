// Which model wrote an answer, as the steps of its run say.
import { answer, api, type Schemas } from './api';

export interface Answered {
  model: string | null;
  /** Models that were to answer and did not, and why. */
  passedOver: Schemas['PassedOver'][];
}

export async function answeredBy(runId: string): Promise<Answered> {
  const run = await answer(api.GET('/api/runs/{id}', { params: { path: { id: runId } } }));
  const calls = run.steps.filter((step) => step.type === 'model_call');
  const last = calls.at(-1);
  return { model: last?.model ?? null, passedOver: last?.passedOver ?? [] };
}
