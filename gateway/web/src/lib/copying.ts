// Puts a text on the clipboard. Over plain HTTP a browser has none, and elsewhere it may refuse: then that is said.
import { toasts } from './toasts.svelte';
import { t } from './words';

/** True when it was copied. */
export async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    toasts.say(t('keys.notCopied'));
    return false;
  }
}
