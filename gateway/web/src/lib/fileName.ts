// Names of files that are handed over: as the server says, or made of a title.

/** The name in `Content-Disposition`. */
export function fileName(disposition: string | null): string | null {
  const found = /filename="([^"]+)"|filename=([^;]+)/.exec(disposition ?? '');
  return (found?.[1] ?? found?.[2])?.trim() ?? null;
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
