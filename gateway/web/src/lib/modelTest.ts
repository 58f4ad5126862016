// Trying whether a model or a key answers, before it is relied on.
import { answer, api, type Schemas } from './api';
import type { Provider } from './modelNames';

export interface ModelTest {
  provider: Provider;
  /** One that is not stored yet; without it the stored one is tried, or the operator's. */
  apiKey?: string;
  model?: string;
}

export type ModelTestResult = Schemas['ModelTest'];

/** Asks the provider once. */
export function testModel(body: ModelTest): Promise<ModelTestResult> {
  return answer(api.POST('/api/models/test', { body }));
}
