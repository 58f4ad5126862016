// What the browser keeps for a person: one IndexedDB database with a few stores, behind promises. Where a browser has
// none (private windows of some), everything works but is gone with the page.

const NAME = 'adjutant';
const VERSION = 2;
/** `outbox`: messages without an ack. `chats`, `talks`: what can be read without a network. */
export type StoreName = 'outbox' | 'chats' | 'talks';
const STORES: StoreName[] = ['outbox', 'chats', 'talks'];
/** Drafts are in the local storage, under names that begin so: drafts.ts. */
export const DRAFTS = 'adjutant.draft/';
/** What is this browser's and says nothing of a person: how the page looks here, and its keys. */
const LOOKS = ['adjutant.theme', 'adjutant.size', 'adjutant.side', 'adjutant.shortcuts'];

let opened: Promise<IDBDatabase | null> | undefined;

function database(): Promise<IDBDatabase | null> {
  opened ??= new Promise((resolve) => {
    if (typeof indexedDB === 'undefined') return resolve(null);
    const request = indexedDB.open(NAME, VERSION);
    request.onupgradeneeded = () => {
      for (const store of STORES) {
        if (!request.result.objectStoreNames.contains(store)) request.result.createObjectStore(store);
      }
    };
    request.onsuccess = () => {
      // A newer page in another tab wants another form of it: this one goes on without.
      request.result.onversionchange = () => request.result.close();
      resolve(request.result);
    };
    request.onerror = () => resolve(null);
    request.onblocked = () => resolve(null);
  });
  return opened;
}

async function within<T>(
  store: StoreName,
  mode: IDBTransactionMode,
  act: (store: IDBObjectStore) => IDBRequest<T>,
): Promise<T | undefined> {
  const open = await database();
  if (!open) return undefined;
  return new Promise((resolve, reject) => {
    // Throws where the browser closed it, as when all of the site was cleared.
    const transaction = open.transaction(store, mode);
    const request = act(transaction.objectStore(store));
    transaction.oncomplete = () => resolve(request.result);
    transaction.onerror = () => reject(transaction.error ?? new Error('what the browser keeps cannot be written'));
    transaction.onabort = () => reject(transaction.error ?? new Error('what the browser keeps was cleared'));
  });
}

export async function keep(store: StoreName, key: string, value: unknown): Promise<void> {
  await within(store, 'readwrite', (open) => open.put(value, key));
}

export async function kept<T>(store: StoreName, key: string): Promise<T | undefined> {
  return (await within(store, 'readonly', (open) => open.get(key))) as T | undefined;
}

export async function forget(store: StoreName, key: string): Promise<void> {
  await within(store, 'readwrite', (open) => open.delete(key));
}

/** All whose key begins so, in the order of their keys. */
export async function allKept<T>(store: StoreName, prefix: string): Promise<T[]> {
  const range = IDBKeyRange.bound(prefix, `${prefix}\uffff`);
  return ((await within(store, 'readonly', (open) => open.getAll(range))) ?? []) as T[];
}

export async function keysKept(store: StoreName): Promise<string[]> {
  return ((await within(store, 'readonly', (open) => open.getAllKeys())) ?? []) as string[];
}

/** All whose key does not begin so. */
export async function forgetOthers(store: StoreName, prefix: string): Promise<void> {
  await within(store, 'readwrite', (open) => open.delete(IDBKeyRange.upperBound(prefix, true)));
  await within(store, 'readwrite', (open) => open.delete(IDBKeyRange.lowerBound(`${prefix}\uffff`)));
}

/** What can be read again once somebody signs in: a device that was signed out from elsewhere shows none of it. */
export async function forgetReadable(): Promise<void> {
  for (const store of ['chats', 'talks'] as const) await within(store, 'readwrite', (open) => open.clear());
}

/** How this browser's page looks, to be put back behind a sign-out: the server's answer to that clears all storage. */
export function looks(): [string, string][] {
  return LOOKS.map((name): [string, string] => [name, localStorage.getItem(name) ?? '']).filter(([, kept]) => kept);
}

/** Everything, when somebody signs out. The browser may clear it at the same time: what is gone already is no fault. */
export async function forgetAll(): Promise<void> {
  for (const name of Object.keys(localStorage)) if (!LOOKS.includes(name)) localStorage.removeItem(name);
  sessionStorage.clear();
  const open = await database();
  const stores = [...(open?.objectStoreNames ?? [])] as StoreName[];
  await Promise.allSettled(stores.map((store) => within(store, 'readwrite', (all) => all.clear())));
}
