// Messages of this tab that are to join the run that goes on, by the name they were sent under.
const KEPT = 'adjutant.steered';
/** As many as can wait in a few chats; what is older had its turn. */
const MOST = 50;

const read = (): string[] => JSON.parse(sessionStorage.getItem(KEPT) ?? '[]') as string[];

export function keepSteered(clientMessageId: string) {
  sessionStorage.setItem(KEPT, JSON.stringify([...read(), clientMessageId].slice(-MOST)));
}

export function isSteered(clientMessageId: string | null): boolean {
  return clientMessageId !== null && read().includes(clientMessageId);
}
