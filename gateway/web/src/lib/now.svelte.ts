// The time, once a second, for whoever shows how long something goes on. It ticks only while somebody looks.
import { createSubscriber } from 'svelte/reactivity';

const SECOND = 1_000;

const subscribe = createSubscriber((update) => {
  const timer = setInterval(update, SECOND);
  return () => clearInterval(timer);
});

export function now(): number {
  subscribe();
  return Date.now();
}
