// Whether a row is meant by what somebody looks for.

/** Without case and accents, so that `zurich` finds `Zürich`. */
export function folded(text: string): string {
  return text.normalize('NFD').replace(/\p{M}/gu, '').toLowerCase();
}

/** Every word that was typed is somewhere in the row's words. */
export function matches(query: string, words: readonly (string | null | undefined)[]): boolean {
  const text = folded(words.filter(Boolean).join(' '));
  return folded(query)
    .split(/\s+/)
    .every((word) => text.includes(word));
}

/** Words of a search as they are found: without its signs, without those that must not be there. */
export function wordsOf(query: string): string[] {
  return folded(query)
    .split(/[^\p{L}\p{N}-]+/u)
    .filter((word) => word !== '' && word !== 'or' && !word.startsWith('-'));
}
