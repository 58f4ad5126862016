// Names of files: as others call them, as people read them, as they are safe on a disk, or made of a title.

/** The name in `Content-Disposition`. */
export function fileName(disposition: string | null): string | null {
  const found = /filename="([^"]+)"|filename=([^;]+)/.exec(disposition ?? '');
  return (found?.[1] ?? found?.[2])?.trim() ?? null;
}

/** As many characters as the server keeps of a name. */
const LONGEST = 200;
/** Of a name that is cut, so much of its end stays: what a file is stands there. */
const END = 12;

/** Control characters, and marks that turn text around or cannot be seen: by them a name looks like another. */
const TRICKS = /[\p{Cc}\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/gu;

const letters = new Intl.Segmenter(undefined, { granularity: 'grapheme' });
const split = (name: string) => [...letters.segment(name)].map(({ segment }) => segment);

/** A name without tricks, shortened in its middle where it is too long to be kept. */
export function cleanName(claimed: string): string {
  const name = claimed.replace(TRICKS, '').trim();
  const all = [...name];
  if (all.length <= LONGEST) return name || 'file';
  return `${all.slice(0, LONGEST - END - 1).join('')}…${all.slice(-END).join('')}`;
}

/** The two halves of a name, of which the first may be cut where there is no room. */
export function halves(name: string): [string, string] {
  const all = split(name.replace(TRICKS, ''));
  if (all.length <= 2 * END) return ['', all.join('')];
  return [all.slice(0, -END).join(''), all.slice(-END).join('')];
}

/** A name that every file system takes and none misreads. */
export function safeName(name: string): string {
  const safe = name
    .replace(TRICKS, '')
    .replace(/[\\/:*?"<>|]/g, '_')
    .replace(/^[. ]+|[. ]+$/g, '');
  return DEVICE.test(safe.split('.')[0] ?? '') ? `_${safe}` : safe || 'file';
}

/** Signs of a name that every system takes: 255 bytes at most, so 60 of four. */
const NAME_SIGNS = 60;
/** Names that are devices on some systems. */
const DEVICE = /^(con|prn|aux|nul|com\d|lpt\d)$/i;

/** A title as the name of a file: letters and digits of any language, and nothing that leads elsewhere. */
export function plainName(title: string, otherwise: string): string {
  const plain = title
    .replace(/[^\p{L}\p{N} _-]+/gu, ' ')
    .replace(/\s+/g, ' ')
    .replace(/^[\s_-]+/, '');
  const name = [...plain].slice(0, NAME_SIGNS).join('').trim();
  return name === '' || DEVICE.test(name) ? otherwise : name;
}
