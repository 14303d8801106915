//! The service worker: keeps what the page is built of, so that it opens without the hub. What
//! the hub says is never kept here; the page itself keeps what was known last (stored.ts).

interface WorkerScope {
  skipWaiting(): Promise<void>;
  clients: {
    claim(): Promise<void>;
    matchAll(options: { type: 'window' }): Promise<{ url: string; focus(): Promise<unknown>; navigate(url: string): Promise<unknown> }[]>;
    openWindow(url: string): Promise<unknown>;
  };
  registration: { scope: string };
  location: Location;
  addEventListener(kind: string, listener: (event: WorkerEvent) => void): void;
}
interface WorkerEvent {
  waitUntil(work: Promise<unknown>): void;
  respondWith(answer: Promise<Response>): void;
  request: Request;
  notification: { close(): void; data?: { path?: string } };
}

declare const __FILES__: string[];
declare const __VERSION__: string;

const worker = self as unknown as WorkerScope;
const CACHE = `aldis-${__VERSION__}`;
const FILES = __FILES__;
/** The hub may be away in such a way that nobody refuses: then the page does not wait for ever. */
const PATIENCE_MS = 4000;

worker.addEventListener('install', (event) => {
  event.waitUntil(
    (async () => {
      const cache = await caches.open(CACHE);
      await cache.addAll(FILES.map((file) => new Request(file, { cache: 'reload' })));
      await worker.skipWaiting();
    })(),
  );
});

worker.addEventListener('activate', (event) => {
  event.waitUntil(
    (async () => {
      for (const name of await caches.keys()) {
        if (name.startsWith('aldis-') && name !== CACHE) await caches.delete(name);
      }
      await worker.clients.claim();
    })(),
  );
});

worker.addEventListener('fetch', (event) => {
  const { request } = event;
  if (request.method !== 'GET') return;
  const url = new URL(request.url);
  if (url.origin !== worker.location.origin) return;
  if (request.mode === 'navigate') {
    // Only the pages of the dashboard: /trust and the like are the hub's own.
    if (['/', '/device', '/topics', '/hub'].includes(url.pathname)) event.respondWith(index(request));
  } else if (FILES.includes(url.pathname)) event.respondWith(built(request));
});

/** From the hub, because it may be a newer one; without it, the one that we have. */
async function index(request: Request): Promise<Response> {
  const cache = await caches.open(CACHE);
  try {
    // Not the request itself: one that navigates takes no signal.
    const response = await fetch(request.url, {
      cache: 'no-cache',
      credentials: 'same-origin',
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    if (response.ok) return response;
    return (await cache.match('/')) ?? response;
  } catch (error) {
    const known = await cache.match('/');
    if (known) return known;
    throw error;
  }
}

/** What is named by its content does not change, and the rest changes with the version. */
async function built(request: Request): Promise<Response> {
  const known = await (await caches.open(CACHE)).match(request, { ignoreSearch: true });
  return known ?? fetch(request);
}

worker.addEventListener('notificationclick', (event) => {
  event.notification.close();
  const path = event.notification.data?.path ?? '/';
  event.waitUntil(
    (async () => {
      const [window] = await worker.clients.matchAll({ type: 'window' });
      if (!window) return worker.clients.openWindow(path);
      await window.focus();
      return window.navigate(path);
    })(),
  );
});
