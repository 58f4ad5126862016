// To a message that was found: read as far back as it stands, on its own branch, in the middle of the view, and marked.
import { tick } from 'svelte';
import { endBelow, placeOf } from './branches';
import { desk, type Conversation } from './desk.svelte';
import { folded, wordsOf } from './matching';
import { hold, isHeld } from './places';

/** How a jump ended: `elsewhere` when another branch had to be shown for it. */
export type Landing = 'here' | 'elsewhere' | 'missing';

/** Reads until the message is among those that are shown. */
export async function bring(conversation: Conversation, message: string): Promise<Landing> {
  const { transcript } = conversation;
  if (transcript.find(message)) return 'here';
  const place = await placeOf(transcript.id, message);
  if (place === null) return 'missing';
  // A branch is in the order of time: what is not there by then stands on another one.
  const isLater = () => (transcript.messages[0]?.createdAt ?? '') >= place.createdAt;
  while (conversation.older !== null && !transcript.find(message) && isLater()) await desk.more(conversation);
  if (transcript.find(message)) return 'here';
  await desk.threads.change(transcript.id, { headId: await endBelow(transcript.id, message, place.seq) });
  await desk.refresh(conversation);
  while (conversation.older !== null && !transcript.find(message)) await desk.more(conversation);
  return transcript.find(message) ? 'elsewhere' : 'missing';
}

/** Puts it in the middle and gives it the focus. It is held there while what stands around it gets its real height. */
export async function show(message: string, words: string) {
  await tick();
  const element = document.getElementById(`m-${message}`);
  if (!element) return;
  // Whoever comes back stands where they left.
  if (!isHeld())
    hold(() => element.scrollIntoView({ block: element.clientHeight > innerHeight / 2 ? 'start' : 'center' }));
  element.focus({ preventScroll: true });
  mark(element, words);
}

/** Marks the words within it; a browser without that shows the message alone. */
function mark(element: HTMLElement, query: string) {
  if (!('highlights' in CSS)) return;
  CSS.highlights.delete('found');
  const words = wordsOf(query);
  if (words.length === 0) return;
  const ranges: Range[] = [];
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    for (const found of (node.textContent ?? '').matchAll(/[\p{L}\p{M}\p{N}]+/gu)) {
      if (!words.some((word) => folded(found[0]).startsWith(word))) continue;
      const range = new Range();
      range.setStart(node, found.index);
      range.setEnd(node, found.index + found[0].length);
      ranges.push(range);
    }
  }
  if (ranges.length > 0) CSS.highlights.set('found', new Highlight(...ranges));
}
