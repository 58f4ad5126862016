// What a tool is called with, as labelled rows of readable text. Nothing is left out or cut.

export interface Row {
  label: string;
  value: string;
  isEmpty: boolean;
}

/** `mail__send_message` as the server and the tool, readable. */
export function nameOf(name: string): { server: string; tool: string } {
  const at = name.indexOf('__');
  if (at < 0) return { server: visible(readable(name)), tool: '' };
  return {
    server: visible(readable(name.slice(0, at))),
    tool: visible(readable(name.slice(at + 2)).toLowerCase()),
  };
}

/** `start_time` and `startTime` as `Start time`. */
export function readable(name: string): string {
  const words = name
    .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
    .replace(/[_-]+/g, ' ')
    .trim()
    .toLowerCase();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** Rows of an object, or of the JSON of one; of a text that is no whole JSON yet, none. */
export function rows(given: unknown): Row[] {
  let value = given;
  if (typeof given === 'string') {
    try {
      value = JSON.parse(given);
    } catch {
      return [];
    }
  }
  if (value === null || value === undefined) return [];
  return entries(value, []);
}

/** What is nested stands under the way to it. */
function entries(value: unknown, way: string[]): Row[] {
  const isList = Array.isArray(value) && value.some((entry) => typeof entry === 'object' && entry !== null);
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
  const inside = isList || isObject ? Object.entries(value as object) : [];
  if (inside.length === 0) return [{ label: way.join(' › '), ...shown(value) }];
  const names = inside.map(([name]) => (isList ? String(Number(name) + 1) : visible(readable(name))));
  // Names that read the same are told apart by what they exactly are.
  const isPlain = new Set(names).size === names.length;
  return inside.flatMap(([name, entry], index) => {
    const label = isPlain ? (names[index] ?? '') : visible(name);
    return entries(entry, [...way, label]);
  });
}

function shown(value: unknown): { value: string; isEmpty: boolean } {
  const isNothing = typeof value === 'object' && value !== null && Object.keys(value).length === 0;
  if (value === null || value === '' || isNothing) return { value: '', isEmpty: true };
  if (typeof value === 'string') return { value: visible(value), isEmpty: false };
  if (Array.isArray(value)) {
    return { value: value.map((entry) => visible(String(entry))).join('\n'), isEmpty: false };
  }
  return { value: String(value), isEmpty: false };
}

/** Signs that cannot be seen, or that turn the order of others around, are shown as what they are. */
export function visible(text: string): string {
  const code = (sign: string) =>
    `\u27e8U+${(sign.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}\u27e9`;
  const hidden =
    // oxlint-disable-next-line no-control-regex -- they are what is looked for
    /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\u{e0000}-\u{e007f}]/gu;
  return text.replace(hidden, code);
}
