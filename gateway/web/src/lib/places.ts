// Where somebody was on each page of the history: scrolled how far, so that back leads to the same place. And where the
// focus goes when a page is new.
import { newId } from './ids';
import { tick } from 'svelte';

/** How far something was scrolled, and, where it holds messages, which of them stood how far below its edge: their heights
 * are known only when they were seen. */
export interface Spot {
  top: number;
  id?: string;
  below?: number;
}

/** What was scrolled: the window under '', the rest by its `data-place`. */
type Place = Record<string, Spot>;

const KEPT = 'adjutant.places';
/** Entries of the history that are remembered. */
const MOST = 60;
/** After so many milliseconds a page is as high as it will be. */
const SETTLED = 3_000;

const places = new Map<string, Place>(read());
let current = '';
const idle = () => {};
let stop: () => void = idle;

function read(): [string, Place][] {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT) ?? '[]') as [string, Place][];
  } catch {
    return [];
  }
}

function scrollers(): Map<string, Element> {
  const found = new Map<string, Element>();
  if (document.scrollingElement) found.set('', document.scrollingElement);
  for (const element of document.querySelectorAll<HTMLElement>('[data-place]'))
    found.set(element.dataset['place'] ?? '', element);
  return found;
}

/** The entry that is shown gets a name of its own. */
export function entry(name: string | undefined): string {
  current = name ?? newId();
  return current;
}

/** How that stands which is seen first. */
export function spotOf(scroller: Element): Spot {
  const edge = scroller.getBoundingClientRect().top;
  for (const message of scroller.querySelectorAll('article[id]')) {
    const { top, bottom } = message.getBoundingClientRect();
    if (bottom > edge) return { top: scroller.scrollTop, id: message.id, below: top - edge };
  }
  return { top: scroller.scrollTop };
}

/** Remembers how the page stands that is shown now. */
export function leave() {
  stop();
  const place: Place = {};
  for (const [name, element] of scrollers()) if (element.scrollTop !== 0) place[name] = spotOf(element);
  places.delete(current);
  places.set(current, place);
  for (const oldest of [...places.keys()].slice(0, Math.max(0, places.size - MOST))) places.delete(oldest);
}

addEventListener('pagehide', () => {
  leave();
  sessionStorage.setItem(KEPT, JSON.stringify([...places]));
});

/** Goes to where this entry of the history was left. */
export function restore() {
  const place = places.get(current);
  if (!place || Object.keys(place).length === 0) return;
  hold(() => {
    for (const [name, element] of scrollers()) {
      const spot = place[name];
      if (spot) putTo(element, spot);
    }
  });
}

/** The view is held where it is to be. */
export const isHeld = () => stop !== idle;

/** Puts the view there with each frame, while the page fills; a person who moves ends it, and so does leaving the page. */
export function hold(put: () => void) {
  stop();
  const begun = performance.now();
  const moves = new AbortController();
  let frame = 0;
  const again = () => {
    put();
    if (performance.now() - begun < SETTLED) frame = requestAnimationFrame(again);
    else stop();
  };
  stop = () => {
    cancelAnimationFrame(frame);
    moves.abort();
    stop = idle;
  };
  for (const move of ['wheel', 'touchmove', 'pointerdown', 'keydown'])
    addEventListener(move, () => stop(), { passive: true, signal: moves.signal });
  again();
}

/** Scrolls so that it stands there again. */
export function putTo(scroller: Element, { top, id, below }: Spot) {
  const message = id === undefined ? null : document.getElementById(id);
  const edge = scroller.getBoundingClientRect().top;
  const off = message ? message.getBoundingClientRect().top - edge - (below ?? 0) : top - scroller.scrollTop;
  if (Math.abs(off) >= 1) scroller.scrollTop += off;
}

/** A page that was gone to has the focus, at its heading, unless it took it itself: a field to write in. */
export async function takeFocus() {
  await tick();
  const main = document.querySelector<HTMLElement>('#main');
  const isTaken = document.activeElement !== document.body && main?.contains(document.activeElement);
  if (!main || isTaken || document.querySelector('dialog[open]')) return;
  const place = main.querySelector<HTMLElement>('h1') ?? main;
  place.tabIndex = -1;
  place.focus({ preventScroll: true });
}
