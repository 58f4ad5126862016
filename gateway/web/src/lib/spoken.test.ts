import { describe, expect, it } from 'vitest';
import { Run } from './message.svelte';
import { Spoken } from './spoken.svelte';

function said(spoken: Spoken, steps: [Run | undefined, Run['phase']?][]): string[] {
  return steps.map(([run, phase]) => {
    if (run && phase) run.phase = phase;
    spoken.tell(run, phase === 'waiting');
    return spoken.text;
  });
}

describe('what a screen reader is told', () => {
  it('is that it writes and that it is complete, once each', () => {
    const run = new Run('r');
    const spoken = new Spoken();
    expect(spoken.text).toBe('');
    const heard = said(spoken, [[undefined], [run, 'running'], [run, 'waiting'], [run, 'running']]);
    expect(heard).toEqual(['', 'Writing', 'Waiting for you', 'Waiting for you']);
    run.phase = 'succeeded';
    expect(said(spoken, [[undefined], [undefined]])).toEqual(['The answer is complete.', 'The answer is complete.']);
  });

  it('names the end of one run and the beginning of the next together', () => {
    const [one, other] = [new Run('r'), new Run('s')];
    const spoken = new Spoken();
    spoken.tell(one, false);
    one.phase = 'cancelled';
    spoken.tell(other, false);
    expect(spoken.text).toBe('You ended the answer. Writing');
  });

  it('leaves a failure to the alert', () => {
    const run = new Run('r');
    const spoken = new Spoken();
    spoken.tell(run, false);
    run.phase = 'failed';
    spoken.tell(undefined, false);
    expect(spoken.text).toBe('');
  });
});
