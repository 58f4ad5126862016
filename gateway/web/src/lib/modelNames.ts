// Models are named `provider/model`, and are asked in the order of a list.

export const PROVIDERS = ['anthropic', 'openai', 'ollama'] as const;
export type Provider = (typeof PROVIDERS)[number];

export const PROVIDER_NAMES: Record<Provider, string> = { anthropic: 'Anthropic', openai: 'OpenAI', ollama: 'Ollama' };

/** `openai/gpt-5` as its provider and its own name. */
export function partsOf(model: string): { provider: string; name: string } {
  const at = model.indexOf('/');
  return at < 0 ? { provider: '', name: model } : { provider: model.slice(0, at), name: model.slice(at + 1) };
}

export function isProvider(name: string): name is Provider {
  return (PROVIDERS as readonly string[]).includes(name);
}

export function providerName(name: string): string {
  return isProvider(name) ? PROVIDER_NAMES[name] : name;
}

/** The list with one entry moved by so many places; as it was where that is beyond its ends. */
export function moved<T>(list: readonly T[], from: number, by: number): T[] {
  const to = from + by;
  const rest = [...list];
  if (to < 0 || to >= list.length) return rest;
  const taken = rest.splice(from, 1);
  rest.splice(to, 0, ...taken);
  return rest;
}
