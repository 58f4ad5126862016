// Whether thoughts are shown open: as somebody left the last one, also after a reload.
const KEY = 'adjutant.thinking';

class Folds {
  thinking = $state(localStorage.getItem(KEY) === 'open');

  keepThinking(isOpen: boolean) {
    this.thinking = isOpen;
    if (isOpen) localStorage.setItem(KEY, 'open');
    else localStorage.removeItem(KEY);
  }
}

export const folds = new Folds();
