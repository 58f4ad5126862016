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
