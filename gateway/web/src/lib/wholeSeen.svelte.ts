// Whether a text was on the screen from its beginning to its end, at once or one after the other.
export class WholeSeen {
  /** Null before the browser said anything. */
  #sawStart = $state<boolean | null>(null);
  #sawEnd = $state<boolean | null>(null);
  #start: Element | undefined;
  #end: Element | undefined;

  get isWhole(): boolean {
    return this.#sawStart !== false && this.#sawEnd !== false;
  }

  /** Brings what was not seen yet onto the screen. */
  show() {
    const missing = this.#sawStart ? this.#end : this.#start;
    missing?.scrollIntoView({ block: 'center' });
  }

  /** Stands before the text. */
  readonly start = (mark: Element) => {
    this.#start = mark;
    return watch(mark, (isIn) => (this.#sawStart = isIn));
  };

  /** Stands behind the text. */
  readonly end = (mark: Element) => {
    this.#end = mark;
    return watch(mark, (isIn) => (this.#sawEnd = isIn));
  };
}

function watch(mark: Element, seen: (isIn: boolean) => void): () => void {
  const observer = new IntersectionObserver((entries) => {
    const isIn = entries.some((entry) => entry.isIntersecting);
    seen(isIn);
    if (isIn) observer.disconnect();
  });
  observer.observe(mark);
  return () => observer.disconnect();
}
