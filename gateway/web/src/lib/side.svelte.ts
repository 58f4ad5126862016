// Whether the list of chats stands beside the chat. Kept in this browser; where there is room for one only, it is a page.
import { router } from './router.svelte';

const KEPT = 'adjutant.side';

class Side {
  isHidden = $state(localStorage.getItem(KEPT) === 'hidden');

  constructor() {
    this.#show();
  }

  toggle() {
    if (matchMedia('(max-width: 999px)').matches) {
      router.go('/chat');
      return;
    }
    this.isHidden = !this.isHidden;
    if (this.isHidden) localStorage.setItem(KEPT, 'hidden');
    else localStorage.removeItem(KEPT);
    this.#show();
  }

  #show() {
    document.documentElement.classList.toggle('no-side', this.isHidden);
  }
}

export const side = new Side();
