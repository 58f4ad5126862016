// The keyboard of a telephone. Where it makes the page smaller, nothing is to be done; where it only covers it (on an
// iPhone), the chat gets the height that is left, and stands where the browser scrolled to: so the composer is above it.

/** Less than this is the browser's own bars. */
const KEYBOARD = 120;

export function watchKeyboard() {
  const view = window.visualViewport;
  if (!view) return;
  const root = document.documentElement;
  const measure = () => {
    // Pinched larger it is a lens, and says nothing of a keyboard.
    const isCovered = view.scale < 1.01 && innerHeight - view.height > KEYBOARD;
    root.toggleAttribute('data-keyboard', isCovered);
    root.style.setProperty('--screen', isCovered ? `${view.height}px` : '');
    root.style.setProperty('--screen-top', isCovered ? `${view.offsetTop}px` : '');
  };
  view.addEventListener('resize', measure);
  view.addEventListener('scroll', measure);
}
