// What is looked for on the settings page. Sections and rows ask whether they are meant.
import { getContext, setContext } from 'svelte';
import { matches } from './matching';

class Find {
  query = $state('');

  get isActive(): boolean {
    return this.query.trim() !== '';
  }
}

export const find = new Find();

const SECTION = Symbol('section');

/** The words of a section: rows below it are shown together when they match. */
export function sectionWords(words: () => string[]) {
  setContext(SECTION, words);
}

export function isFound(section: (() => string[]) | undefined, words: readonly (string | null | undefined)[]): boolean {
  return !find.isActive || matches(find.query.trim(), [...(section?.() ?? []), ...words]);
}

/** For the script of a row: its section's words. */
export function sectionOf(): (() => string[]) | undefined {
  return getContext<(() => string[]) | undefined>(SECTION);
}
