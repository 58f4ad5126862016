// What a screen reader is told of a run: that it writes, that it waits, that it is over. Each once.
import type { Run } from './message.svelte';
import { t } from './words';

export class Spoken {
  text = $state('');
  #run: Run | null = null;
  #waits = false;

  /** Tell it which run goes on, and whether that waits for a person, whenever one of them changes. */
  tell(run: Run | undefined, waits: boolean) {
    const ended = this.#run && this.#run !== run ? this.#end(this.#run) : '';
    if (!run) {
      if (this.#run) this.text = ended;
      this.#run = null;
      return;
    }
    if (run !== this.#run) {
      [this.#run, this.#waits] = [run, false];
      this.text = `${ended} ${t('state.writing')}`.trim();
    }
    if (waits && !this.#waits) this.text = t('state.waiting');
    this.#waits = waits;
  }

  #end(run: Run): string {
    // A failure is an alert of its own.
    if (run.phase === 'failed' || run.phase === 'quarantined') return '';
    return run.phase === 'cancelled' ? t('chat.stopped') : t('chat.complete');
  }
}
