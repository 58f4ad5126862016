// The title of the window: with the number of things that wait, so that it is seen from another tab.
import { waits } from './waits.svelte';
import { t } from './words';

export function titled(page: string): string {
  const title = `${page} · ${t('brand')}`;
  return waits.count > 0 ? `(${waits.count}) ${title}` : title;
}
