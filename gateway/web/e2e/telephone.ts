// What a finger and a small window need, asked of the whole page.
import type { Page } from 'playwright-core';

/** Buttons, links and fields that a finger does not hit: less than 44 px, also with what lies around them. */
export async function tooSmall(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const LEAST = 44;
    const found: string[] = [];
    const all = document.querySelectorAll<HTMLElement>(
      'a[href], button, input:not([type=hidden]), select, textarea, summary, [role=button], [role=option]',
    );
    for (const element of all) {
      const style = getComputedStyle(element);
      const box = element.getBoundingClientRect();
      const isSeen = element.checkVisibility({ opacityProperty: false, visibilityProperty: true }) && box.width > 2;
      const isOff = element.matches(':disabled, .vh, .vh *, .skip') || style.clipPath !== 'none';
      // A link in a sentence is as high as its line: WCAG 2.5.8 leaves it out.
      const around = element.parentElement?.textContent?.trim();
      const isInText = style.display === 'inline' && around !== element.textContent?.trim();
      if (!isSeen || isOff || isInText) continue;
      // A field in a label is as large as its label.
      const whole = element.closest('label') ?? element;
      whole.scrollIntoView({ block: 'center', inline: 'center' });
      const { left, right, top, bottom } = whole.getBoundingClientRect();
      const [x, y] = [(left + right) / 2, (top + bottom) / 2];
      const reach = LEAST / 2 - 1;
      const hits = (dx: number, dy: number) => whole.contains(document.elementFromPoint(x + dx, y + dy));
      const isWide = right - left >= LEAST - 0.5 || (hits(-reach, 0) && hits(reach, 0));
      const isHigh = bottom - top >= LEAST - 0.5 || (hits(0, -reach) && hits(0, reach));
      const size = `${Math.round(right - left)}x${Math.round(bottom - top)}`;
      const name = element.getAttribute('aria-label') ?? element.textContent?.trim().slice(0, 40) ?? '';
      if (!isWide || !isHigh) found.push(`${element.tagName.toLowerCase()}.${element.className} "${name}" ${size}`);
    }
    return [...new Set(found)];
  });
}

/** Fields whose text is so small that an iPhone zooms in when they are tapped. */
export async function zooming(page: Page): Promise<string[]> {
  return page.evaluate(() =>
    [
      ...document.querySelectorAll<HTMLElement>(
        'input:not([type=radio], [type=checkbox], [type=file]), select, textarea',
      ),
    ]
      .filter((field) => field.checkVisibility() && parseFloat(getComputedStyle(field).fontSize) < 16)
      .map(
        (field) =>
          `${field.tagName} ${field.id || field.getAttribute('aria-label')}: ${getComputedStyle(field).fontSize}`,
      ),
  );
}

/** What sticks out of the window at its sides. */
export async function tooWide(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    if (document.documentElement.scrollWidth <= innerWidth) return [];
    return [...document.querySelectorAll<HTMLElement>('body *')]
      .filter((element) => element.getBoundingClientRect().right > innerWidth + 0.5 && element.checkVisibility())
      .map((element) => `${element.tagName.toLowerCase()}.${element.className}`)
      .slice(0, 8);
  });
}
