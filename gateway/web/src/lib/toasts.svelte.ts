// Short news at the edge of the page, each with at most one thing to do. Never the only place where a fault is told.

export interface Toast {
  id: number;
  text: string;
  action?: { word: string; act: () => void };
}

const LASTS = 8_000;

class Toasts {
  items = $state<Toast[]>([]);
  #next = 0;

  say(text: string, action?: Toast['action']) {
    const id = (this.#next += 1);
    this.items.push({ id, text, ...(action && { action }) });
    setTimeout(() => this.drop(id), LASTS);
  }

  drop(id: number) {
    this.items = this.items.filter((toast) => toast.id !== id);
  }
}

export const toasts = new Toasts();
