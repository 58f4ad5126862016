// What became of a text, word by word.

export interface Piece {
  kind: 'same' | 'gone' | 'added';
  text: string;
}

/** Beyond so many comparisons the middle is shown as a whole: taken out, and put in. */
const COMPARISONS = 4_000_000;

/** Words, runs of spaces, and every other sign by itself. */
export function tokens(text: string): string[] {
  return text.match(/[\p{L}\p{N}_]+|\s+|[^\p{L}\p{N}_\s]/gu) ?? [];
}

export function wordDiff(before: string, after: string): Piece[] {
  const [old, now] = [tokens(before), tokens(after)];
  let head = 0;
  while (head < old.length && head < now.length && old[head] === now[head]) head += 1;
  let tail = 0;
  while (tail < Math.min(old.length, now.length) - head && old.at(-1 - tail) === now.at(-1 - tail)) tail += 1;
  const middle = between(old.slice(head, old.length - tail), now.slice(head, now.length - tail));
  const same = (list: string[]): Piece => ({ kind: 'same', text: list.join('') });
  return joined([same(old.slice(0, head)), ...middle, same(old.slice(old.length - tail))]);
}

/** The longest common sequence of two lists that begin and end differently. */
function between(old: string[], now: string[]): Piece[] {
  const gone = (text: string): Piece => ({ kind: 'gone', text });
  const added = (text: string): Piece => ({ kind: 'added', text });
  const width = now.length + 1;
  if (old.length * now.length === 0 || old.length * now.length > COMPARISONS) {
    return [gone(old.join('')), added(now.join(''))];
  }
  // How long the common sequence of the rests is, from the end on.
  const common = new Uint16Array((old.length + 1) * width);
  const at = (i: number, j: number) => common[i * width + j] ?? 0;
  for (let i = old.length - 1; i >= 0; i -= 1) {
    for (let j = now.length - 1; j >= 0; j -= 1) {
      common[i * width + j] = old[i] === now[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
    }
  }
  const pieces: Piece[] = [];
  let [i, j] = [0, 0];
  while (i < old.length || j < now.length) {
    const [was, is] = [old[i], now[j]];
    if (was !== undefined && was === is) {
      pieces.push({ kind: 'same', text: was });
      i += 1;
      j += 1;
    } else if (was !== undefined && (is === undefined || at(i + 1, j) >= at(i, j + 1))) {
      pieces.push(gone(was));
      i += 1;
    } else {
      pieces.push(added(is ?? ''));
      j += 1;
    }
  }
  return pieces;
}

/** Neighbours of one kind as one; spaces between changes go with them, so that phrases stay readable. */
function joined(pieces: Piece[]): Piece[] {
  const whole: Piece[] = [];
  for (const { kind, text } of pieces) {
    const last = whole.at(-1);
    if (text === '') continue;
    if (last?.kind === kind) last.text += text;
    else whole.push({ kind, text });
  }
  const shown: Piece[] = [];
  let [gone, added] = ['', ''];
  const flush = () => {
    if (gone.trim() !== '') shown.push({ kind: 'gone', text: gone });
    if (added !== '') shown.push({ kind: added.trim() === '' ? 'same' : 'added', text: added });
    [gone, added] = ['', ''];
  };
  for (const [index, piece] of whole.entries()) {
    const isGap = piece.kind === 'same' && piece.text.trim() === '' && index > 0 && index < whole.length - 1;
    if (piece.kind !== 'added' && (isGap || piece.kind === 'gone')) gone += piece.text;
    if (piece.kind === 'added' || isGap) added += piece.text;
    if (piece.kind !== 'same' || isGap) continue;
    flush();
    shown.push({ ...piece });
  }
  flush();
  return shown;
}
