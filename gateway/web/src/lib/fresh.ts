// Chats that the server does not know yet: each has a name of ours until its first message has an ack.
import { newId } from './ids';
/** With what such a name begins. */
export const FRESH = 'new:';
const BEGUN = 'adjutant.begun';

export function freshName(): string {
  return `${FRESH}${newId()}`;
}

/** `new` is the address of a chat that was not even named. */
export function isFresh(name: string): boolean {
  return name === 'new' || name.startsWith(FRESH);
}

/** What fresh names became, in this tab: a reload may come between the ack and the new address. */
export function begunBefore(): [string, string][] {
  return JSON.parse(sessionStorage.getItem(BEGUN) ?? '[]') as [string, string][];
}

export function keepBegun(begun: Iterable<[string, string]>) {
  sessionStorage.setItem(BEGUN, JSON.stringify([...begun]));
}
