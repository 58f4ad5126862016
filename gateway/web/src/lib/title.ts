// The title of the window: with the number of things that wait, so that it is seen from another tab.
import { desk } from './desk.svelte';
import { t } from './words';

export function titled(page: string): string {
  const title = `${page} · ${t('brand')}`;
  return desk.needs.count > 0 ? `(${desk.needs.count}) ${title}` : title;
}
