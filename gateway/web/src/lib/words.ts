// The words of the page: `t('key', { name })`. A further language is a further file of the same keys.
import { en } from '../words/en';

export type Key = keyof typeof en;

const plural = new Intl.PluralRules('en');

export function t(key: Key, values: Record<string, string | number> = {}): string {
  const entry: string | readonly [string, string] = en[key];
  const count = values['count'];
  const text = typeof entry === 'string' ? entry : entry[plural.select(Number(count ?? 0)) === 'one' ? 0 : 1];
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}
