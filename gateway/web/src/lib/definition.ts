// What a server says of a tool, as its owner reads it: the description as text, everything else as rows.
import { readable, visible } from './arguments';
import { wordDiff, type Piece } from './diff';

export interface Change {
  /** `description` and so on; empty where the definition is not whole JSON. */
  key: string;
  label: string;
  pieces: Piece[];
}

/** The fields of a definition; a text that is cut or no JSON is one field without a name. */
export function fields(definition: string): Map<string, string> {
  let value: unknown;
  try {
    value = JSON.parse(definition);
  } catch {
    return new Map([['', visible(definition)]]);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return new Map([['', visible(definition)]]);
  const shown = (entry: unknown) => (typeof entry === 'string' ? entry : JSON.stringify(entry, null, 2));
  return new Map(
    Object.entries(value)
      .filter(([, entry]) => entry !== null)
      .map(([key, entry]) => [key, visible(shown(entry))]),
  );
}

export function description(definition: string): string {
  const all = fields(definition);
  return all.get('description') ?? '';
}

/** What differs, the description first. Without a definition of before, all of it is new. */
export function changes(before: string | null, now: string): Change[] {
  const [old, next] = [before === null ? new Map<string, string>() : fields(before), fields(now)];
  const keys = [...new Set([...old.keys(), ...next.keys()])].filter((key) => old.get(key) !== next.get(key));
  keys.sort((one, other) => Number(other === 'description') - Number(one === 'description'));
  return keys.map((key) => ({ key, label: readable(key), pieces: wordDiff(old.get(key) ?? '', next.get(key) ?? '') }));
}
