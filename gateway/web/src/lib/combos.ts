// Keys that are pressed together: how they are read, named and kept, and which of them can be a shortcut.

/** The shortcuts whose keys can be changed. */
export const IDS = ['find', 'new', 'focus', 'side', 'copyAnswer', 'copyCode', 'allow', 'deny', 'keys'] as const;
export type Id = (typeof IDS)[number];

/** `mod` is Command on a Mac and Ctrl elsewhere; `ctrl` is the Ctrl of a Mac. */
const MODS = ['mod', 'ctrl', 'alt', 'shift'] as const;
type Mod = (typeof MODS)[number];

export interface Combo {
  /** Those of MODS that are held, in their order, with spaces between. */
  mods: string;
  /** The sign without Shift, in small letters, or the name of the key. */
  key: string;
  /** Its place on the keyboard, for layouts that have no such sign. */
  code: string;
}
export type Changes = Partial<Record<Id, Combo>>;
export type Pressed = Pick<KeyboardEvent, 'key' | 'code' | 'metaKey' | 'ctrlKey' | 'altKey' | 'shiftKey'>;

export const USUAL: Record<Id, Combo> = {
  find: { mods: 'mod', key: 'k', code: 'KeyK' },
  new: { mods: 'mod shift', key: 'o', code: 'KeyO' },
  focus: { mods: 'shift', key: 'Escape', code: 'Escape' },
  side: { mods: 'mod shift', key: 's', code: 'KeyS' },
  copyAnswer: { mods: 'mod shift', key: 'c', code: 'KeyC' },
  copyCode: { mods: 'mod shift', key: ';', code: 'Semicolon' },
  allow: { mods: 'mod alt', key: 'Enter', code: 'Enter' },
  deny: { mods: 'mod alt', key: 'Backspace', code: 'Backspace' },
  keys: { mods: 'mod', key: '/', code: 'Slash' },
};

/** What an American keyboard has at a place, without Shift and with it. */
const SIGNS: Record<string, string> = {
  ...Object.fromEntries([...'1!2@3#4$5%6^7&8*9(0)'.matchAll(/(.)./g)].map(([pair, digit]) => [`Digit${digit}`, pair])),
  Backquote: '`~',
  Minus: '-_',
  Equal: '=+',
  BracketLeft: '[{',
  BracketRight: ']}',
  Backslash: '\\|',
  Semicolon: ';:',
  Quote: `'"`,
  Comma: ',<',
  Period: '.>',
  Slash: '/?',
};
const isAscii = (key: string) => /^[ -~]+$/.test(key);

function signOf({ key, code, altKey }: Pressed): string {
  if (key === 'Dead' || !isAscii(key)) {
    // Another script, or a sign that Option composed: the letter is known by its place.
    const letter = /^Key([A-Z])$/.exec(code)?.[1];
    return letter?.toLowerCase() ?? ((altKey && SIGNS[code]?.charAt(0)) || key.toLowerCase());
  }
  if (key.length > 1) return key;
  const pair = SIGNS[code];
  return pair?.includes(key) ? pair.charAt(0) : key.toLowerCase();
}

const joined = (held: Record<Mod, boolean>) => MODS.filter((mod) => held[mod]).join(' ');

/** What the keys can mean. A sign that a layout has above another key, as `/` in Germany, is also meant without its Shift. */
export function readings(event: Pressed, isApple: boolean): Combo[] {
  const { metaKey, ctrlKey, altKey: alt, shiftKey: shift, code } = event;
  // The Windows key is the system's.
  if (metaKey && !isApple) return [];
  const held = { mod: isApple ? metaKey : ctrlKey, ctrl: isApple && ctrlKey, alt, shift };
  const key = signOf(event);
  const read = [{ mods: joined(held), key, code }];
  if (shift && key.length === 1 && key === event.key && !/[a-z]/.test(key))
    read.push({ mods: joined({ ...held, shift: false }), key, code });
  return read;
}

/** By the sign; by its place only where one of the two layouts has no such sign. */
export function hits(one: Combo, other: Combo): boolean {
  if (one.mods !== other.mods) return false;
  const isPlace = one.code !== '' && one.code === other.code && (!isAscii(one.key) || !isAscii(other.key));
  return one.key === other.key || isPlace;
}

export const comboOf = (id: Id, changes: Changes): Combo => changes[id] ?? USUAL[id];

/** Which other shortcut has these keys. */
export function takenBy(read: Combo[], id: Id, changes: Changes): Id | undefined {
  return IDS.find((other) => other !== id && read.some((combo) => hits(combo, comboOf(other, changes))));
}

const CAPS: Record<string, string> = {
  Escape: 'Esc',
  Backspace: '⌫',
  Delete: 'Del',
  ' ': 'Space',
  ArrowUp: '↑',
  ArrowDown: '↓',
  ArrowLeft: '←',
  ArrowRight: '→',
};
const APPLE: Record<Mod, string> = { mod: '⌘', ctrl: '⌃', alt: '⌥', shift: '⇧' };
const OTHERS: Record<Mod, string> = { mod: 'Ctrl', ctrl: 'Ctrl', alt: 'Alt', shift: 'Shift' };

const modsOf = (combo: Combo) => (combo.mods === '' ? [] : (combo.mods.split(' ') as Mod[]));
/** Some small letters have two large ones. */
const large = (key: string) => (key.toUpperCase().length === 1 ? key.toUpperCase() : key);

/** As it stands on the keys. */
export function names(combo: Combo, isApple: boolean): string[] {
  const mods = modsOf(combo).map((mod) => (isApple ? APPLE : OTHERS)[mod]);
  return [...mods, CAPS[combo.key] ?? large(combo.key)];
}

/** As aria-keyshortcuts wants it. It can also be read out. */
export function spelled(combo: Combo, isApple: boolean): string {
  const words = { mod: isApple ? 'Meta' : 'Control', ctrl: 'Control', alt: 'Alt', shift: 'Shift' };
  const key = { ' ': 'Space', '+': 'Plus' }[combo.key] ?? large(combo.key);
  return [...modsOf(combo).map((mod) => words[mod]), key].join('+');
}

/** `bare`: it is typed. `writes`: what is written is edited with it. `system`: it never comes to a page. */
export type Refusal = 'bare' | 'writes' | 'system';
const isFunction = (key: string) => /^F([1-9]|1\d|2[0-4])$/.test(key);
const EDITING = /^(Enter|Backspace|Delete|Insert|Home|End|PageUp|PageDown|Arrow(Up|Down|Left|Right)| )$/;

/** Why these keys can be no shortcut. */
export function refusal({ mods, key }: Combo, isApple: boolean): Refusal | undefined {
  if (key === 'Escape') return mods === 'shift' ? undefined : 'system';
  if (isFunction(key)) return mods === 'alt' && key === 'F4' ? 'system' : undefined;
  const isOnlyMod = mods === 'mod' || mods === 'mod shift';
  if (isOnlyMod && (/^([wtnq]|PageUp|PageDown)$/.test(key) || (isApple && /^[mh ]$/.test(key)))) return 'system';
  const isEditing = EDITING.test(key);
  if (mods === '' || mods === 'shift') return isEditing ? 'writes' : 'bare';
  if (isEditing) return /(mod|ctrl).* alt/.test(mods) ? undefined : 'writes';
  if (key.length !== 1) return 'system';
  // Option writes the other signs of a Mac.
  if (isApple && /^alt( shift)?$/.test(mods)) return 'bare';
  if ((mods === 'mod' && /[acvxyz]/.test(key)) || (mods === 'mod shift' && /[vz]/.test(key))) return 'writes';
  return undefined;
}

export type Choice = { combo: Combo } | { read: Combo; why: Refusal } | { read: Combo; other: Id };

/** What becomes of keys that were pressed for a shortcut. `isWriting`: they write a sign, as AltGr does. */
export function choose(
  id: Id,
  read: Combo[],
  changes: Changes,
  isApple: boolean,
  isWriting = false,
): Choice | undefined {
  const [combo] = read;
  if (!combo) return undefined;
  const why = isWriting ? 'bare' : refusal(combo, isApple);
  if (why) return { read: combo, why };
  const other = takenBy(read, id, changes);
  return other ? { read: combo, other } : { combo };
}

function valid(value: unknown, isApple: boolean): Combo | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { mods, key, code } = value as Record<string, unknown>;
  if (typeof mods !== 'string' || typeof key !== 'string' || typeof code !== 'string' || key === '') return undefined;
  const combo = { mods, key, code };
  const held = modsOf(combo);
  const isCanon = MODS.filter((mod) => held.includes(mod) && (isApple || mod !== 'ctrl')).join(' ') === mods;
  const isSmall = key.length > 1 || key === key.toLowerCase();
  return isCanon && isSmall && /^\w{0,24}$/.test(code) && !refusal(combo, isApple) ? combo : undefined;
}

/** What was kept. Of what is broken, foreign or there twice, the usual keys hold. */
export function changesOf(kept: string | null, isApple: boolean): Changes {
  const changes: Changes = {};
  try {
    const value = Object(JSON.parse(kept ?? 'null')) as Record<string, unknown>;
    for (const id of IDS) {
      const combo = Object.hasOwn(value, id) ? valid(value[id], isApple) : undefined;
      if (combo && !hits(combo, USUAL[id])) changes[id] = combo;
    }
  } catch {
    return {};
  }
  // One that falls back may then have the keys of another.
  const twice = () => IDS.find((id) => changes[id] && takenBy([changes[id]], id, changes));
  for (let id = twice(); id; id = twice()) delete changes[id];
  return changes;
}
