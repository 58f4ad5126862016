// Where the reader of a talk is: at its end, which they follow, or further up, where they stay while text comes.
import { tick, untrack } from 'svelte';
import { sentence } from './api';
import { desk, type Conversation } from './desk.svelte';
import { PAGE, STEP } from './loading';
import type { Message } from './message.svelte';
import { putTo, spotOf, type Spot } from './places';
import { toasts } from './toasts.svelte';

/** Pixels above the view that are to be there. */
const NEAR = 400;
/** Pixels from the end from which on somebody has left it. */
const LEFT = 80;

/** The browser holds what is seen where it is. */
const anchors = () => CSS.supports('overflow-anchor', 'auto');

/** Belongs to the component that makes it. Its scroller stands on its head: 0 is the end, what is above is negative. */
export class View {
  scroll = $state<HTMLElement>();
  /** What is scrolled. */
  log = $state<HTMLElement>();
  /** The reader looks at what was said earlier: new text does not pull them away. */
  isAway = $state(false);
  hasNew = $state(false);
  readonly #conversation: Conversation | null;
  readonly #messages: () => Message[];
  /** What is seen first, and where, if the browser does not hold it there itself. */
  #spot: Spot | null = null;
  #known = 0;
  #first: string | undefined;

  constructor(conversation: Conversation | null, messages: () => Message[]) {
    this.#conversation = conversation;
    this.#messages = messages;
    const length = $derived(messages().reduce((sum, message) => sum + message.text.length + message.calls.length, 0));
    $effect.pre(() => this.#grown(length));
    // A window can be larger than what is read at first.
    $effect(() => {
      if (conversation?.older && messages().length > 0) void tick().then(() => this.#fill(true));
    });
    $effect(() => {
      const { log, scroll } = this;
      if (!log || !scroll) return;
      const watch = new ResizeObserver(() => this.#spot && putTo(scroll, this.#spot));
      watch.observe(log);
      return () => watch.disconnect();
    });
  }

  scrolled() {
    const { scroll } = this;
    if (!scroll) return;
    this.isAway = scroll.scrollTop < -LEFT;
    if (!this.isAway) this.hasNew = false;
    this.#spot = this.isAway && !anchors() ? spotOf(scroll) : null;
    void this.#fill(false);
  }

  toEnd() {
    const { scroll } = this;
    if (!scroll) return;
    this.#spot = null;
    const isCalm = matchMedia('(prefers-reduced-motion: reduce)').matches;
    // What comes into view on the way gets its real height: the end is where it is when the way is over.
    const put = () => scroll.scrollTop > -NEAR && scroll.scrollTo({ top: 0 });
    scroll.addEventListener('scrollend', put, { once: true });
    scroll.scrollTo({ top: 0, behavior: isCalm || !anchors() ? 'auto' : 'smooth' });
  }

  /** Reads what stands before. Nobody is told of a failure who did not ask. */
  async more(isByItself: boolean, limit = PAGE) {
    if (!this.#conversation) return;
    const reading = desk.more(this.#conversation, limit);
    await reading.catch((error: unknown) => isByItself || toasts.say(sentence(error)));
  }

  /** Reads on where there is little left above. On paper nothing is scrolled. */
  async #fill(isByItself: boolean) {
    const { scroll } = this;
    if (matchMedia('print').matches) return;
    const isNear = scroll && scroll.scrollHeight + scroll.scrollTop - scroll.clientHeight < NEAR;
    if (isNear && this.#conversation?.older) await this.more(isByItself, isByItself ? STEP : PAGE);
  }

  #grown(length: number) {
    const grew = length > this.#known;
    this.#known = length;
    // What is older stands above: the end did not move, and it is nothing new.
    const top = this.#messages()[0]?.id;
    const isOlder = top !== this.#first;
    this.#first = top;
    if (isOlder && this.scroll) keepStill(this.scroll);
    // Who only scrolls up has nothing new below.
    if (this.scroll && grew && !isOlder && untrack(() => this.isAway)) this.hasNew = true;
  }
}

/** The browser's own anchoring takes what comes above for what comes below, because the scroller stands on its head. */
function keepStill(scroller: HTMLElement) {
  scroller.style.overflowAnchor = 'none';
  void tick().then(() =>
    requestAnimationFrame(() => requestAnimationFrame(() => (scroller.style.overflowAnchor = ''))),
  );
}
