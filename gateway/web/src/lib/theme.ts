// Light, dark or the system's; and how large text is. Kept in this browser.

export type Theme = 'system' | 'light' | 'dark';
export const SIZES = [90, 100, 112, 125, 150] as const;
export type Size = (typeof SIZES)[number];

/** `--paper` of tokens.css, which a browser's own parts cannot read. */
const PAPER = { light: '#f3f5f2', dark: '#12181b' };

const THEME = 'adjutant.theme';
const SIZE = 'adjutant.size';

export function theme(): Theme {
  const kept = localStorage.getItem(THEME);
  return kept === 'light' || kept === 'dark' ? kept : 'system';
}

/** What is seen, whoever chose it. */
export function isDark(): boolean {
  const chosen = theme();
  return chosen === 'dark' || (chosen === 'system' && matchMedia('(prefers-color-scheme: dark)').matches);
}

export function size(): Size {
  const kept = Number(localStorage.getItem(SIZE));
  return SIZES.find((size) => size === kept) ?? 100;
}

export function setTheme(theme: Theme) {
  localStorage.setItem(THEME, theme);
  applyTheme();
}

export function setSize(size: Size) {
  localStorage.setItem(SIZE, String(size));
  applyTheme();
}

export function applyTheme() {
  const root = document.documentElement;
  const chosen = theme();
  if (chosen === 'system') delete root.dataset['theme'];
  else root.dataset['theme'] = chosen;
  root.style.fontSize = size() === 100 ? '' : `${size()}%`;
  // The bar of the telephone or the window has the colour of the page, also where that is not the system's.
  for (const meta of document.querySelectorAll<HTMLMetaElement>('meta[name=theme-color]')) {
    const own: Theme = meta.media.includes('dark') ? 'dark' : 'light';
    meta.content = PAPER[chosen === 'system' ? own : chosen];
  }
}
