// Times, durations and money as people read them, in the browser's own language and zone.
import { t } from './words';

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const day = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'long' });
const shortDay = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: 'short' });
const whole = new Intl.DateTimeFormat(undefined, { dateStyle: 'long', timeStyle: 'short' });
const title = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });

const DAY = 86_400_000;

export const timeOf = (iso: string) => clock.format(new Date(iso));
export const fullTime = (iso: string) => whole.format(new Date(iso));
export const today = (now = new Date()) => title.format(now);

/** Whole days between two moments on the calendar here. */
export function daysAgo(iso: string, now = new Date()): number {
  const start = (date: Date) => new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
  return Math.round((start(now) - start(new Date(iso))) / DAY);
}

/** Relative under an hour, then the time, then the day. */
export function ago(iso: string, now = new Date()): string {
  const minutes = Math.floor((now.getTime() - new Date(iso).getTime()) / 60_000);
  if (minutes < 1) return t('time.now');
  if (minutes < 60) return t('time.minutes', { count: minutes });
  const days = daysAgo(iso, now);
  if (days === 0) return timeOf(iso);
  if (days === 1) return t('time.yesterday', { time: timeOf(iso) });
  return days < 7 ? weekday.format(new Date(iso)) : day.format(new Date(iso));
}

/** As short as the margin is: the time, then the day. */
export function brief(iso: string, now = new Date()): string {
  const days = daysAgo(iso, now);
  if (days <= 0) return timeOf(iso);
  return days < 7 ? weekday.format(new Date(iso)) : shortDay.format(new Date(iso));
}

/** As `ago`, within a sentence: `4 min ago`, `yesterday, 08:14`. */
export function when(iso: string, now = new Date()): string {
  const minutes = Math.floor((now.getTime() - new Date(iso).getTime()) / 60_000);
  if (minutes >= 1 && minutes < 60) return t('time.minutesAgo', { count: minutes });
  const text = ago(iso, now);
  return daysAgo(iso, now) === 1 ? text.charAt(0).toLowerCase() + text.slice(1) : text;
}

/** `0.8 s`, `22 s`, `1 min 48 s`. */
export function duration(millis: number): string {
  if (millis < 10_000) return `${(Math.max(0, millis) / 1000).toFixed(1)} s`;
  const seconds = Math.round(millis / 1000);
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** How long an answer took: `40 ms`, then as `duration`. */
export const took = (millis: number) => (millis < 100 ? `${Math.max(1, Math.round(millis))} ms` : duration(millis));

/** An amount in millionths. Two decimals, more below a cent, so that little is not nothing. */
export function money(micros: number, currency = 'USD'): string {
  const amount = micros / 1_000_000;
  const digits = amount > 0 && amount < 0.01 ? 4 : 2;
  return new Intl.NumberFormat(undefined, {
    style: 'currency',
    currency,
    currencyDisplay: 'narrowSymbol',
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  }).format(amount);
}

export function bytes(count: number): string {
  if (count < 1_000) return `${count} B`;
  return count < 1_000_000 ? `${Math.round(count / 1_000)} kB` : `${(count / 1_000_000).toFixed(1)} MB`;
}
