// API keys: what programs sign in with. A key is shown once, when it is made.
import { answer, api, type Schemas } from './api';

export type ApiKey = Schemas['KeyView'];
export type NewKey = Schemas['KeyBody'];

export async function listKeys(): Promise<ApiKey[]> {
  return (await answer(api.GET('/api/keys'))).items;
}

export async function makeKey(body: NewKey): Promise<Schemas['MadeKey']> {
  return answer(api.POST('/api/keys', { body }));
}

export async function revokeKey(id: string): Promise<void> {
  await answer(api.DELETE('/api/keys/{id}', { params: { path: { id } } }));
}
