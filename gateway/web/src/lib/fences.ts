// Blocks of code in Markdown: how one is fenced, and which there are.

/** A block of code whose fence is longer than any within it. */
export function fenced(text: string, language = ''): string {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map((run) => run[0].length));
  const fence = '`'.repeat(longest + 1);
  return `${fence}${language}\n${text.replace(/\n$/, '')}\n${fence}`;
}

/** Fenced blocks: closed by a fence as long as the one that opened it, or by the end. */
export function codeBlocks(text: string): string[] {
  return [...text.matchAll(/^ {0,3}(`{3,}|~{3,})[^\n]*\n([\s\S]*?)(?:^ {0,3}\1[`~]*[ \t]*$|$(?![\s\S]))/gm)].map(
    (found) => (found[2] ?? '').replace(/\n$/, ''),
  );
}
