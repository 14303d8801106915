//! What is known while the hub is away: kept in the browser, and deleted with the session.

const NAME = 'aldis';
const TABLE = 'last';

let opened: Promise<IDBDatabase | null> | null = null;

function open(): Promise<IDBDatabase | null> {
  opened ??= new Promise((resolve) => {
    try {
      const request = indexedDB.open(NAME, 1);
      request.onupgradeneeded = () => request.result.createObjectStore(TABLE);
      request.onsuccess = () => {
        // Another tab deletes it at its sign-out.
        request.result.onversionchange = () => {
          request.result.close();
          opened = null;
        };
        resolve(request.result);
      };
      request.onerror = () => resolve(null);
    } catch {
      // A private window without storage: then there is no last known state.
      resolve(null);
    }
  });
  return opened;
}

async function run<Value>(mode: IDBTransactionMode, act: (table: IDBObjectStore) => IDBRequest<Value>): Promise<Value | undefined> {
  const database = await open();
  if (!database) return undefined;
  return new Promise((resolve) => {
    try {
      const request = act(database.transaction(TABLE, mode).objectStore(TABLE));
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => resolve(undefined);
    } catch {
      resolve(undefined);
    }
  });
}

export const recall = <Value>(name: string): Promise<Value | undefined> =>
  run('readonly', (table) => table.get(name) as IDBRequest<Value>);

export async function keep(name: string, value: unknown): Promise<void> {
  await run('readwrite', (table) => table.put(value, name));
}

export async function forget(name: string): Promise<void> {
  await run('readwrite', (table) => table.delete(name));
}

/** Deletes all of it. */
export async function forgetAll(): Promise<void> {
  await run('readwrite', (table) => table.clear());
}
