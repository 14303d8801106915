//! Notifications of the system, while the dashboard is open. Asked for only by a click.

import { signal } from '@preact/signals';
import { t, tn } from './i18n';

export type Allowed = 'none' | 'default' | 'granted' | 'denied';

const STORED = 'aldis.notify';

const ask = (): Allowed => (typeof Notification === 'undefined' ? 'none' : Notification.permission);

export const allowed = signal<Allowed>(ask());
const wanted = signal(typeof localStorage !== 'undefined' && localStorage.getItem(STORED) === 'on');

export const notifying = (): boolean => wanted.value && allowed.value === 'granted';

export async function switchNotifications(on: boolean): Promise<void> {
  if (on && ask() === 'default') await Notification.requestPermission();
  allowed.value = ask();
  wanted.value = on && allowed.value === 'granted';
  localStorage.setItem(STORED, wanted.value ? 'on' : 'off');
}

/** Shows one; those of the same `tag` replace each other. `path` is opened by a click. */
export async function show(title: string, body: string, tag: string, path: string): Promise<void> {
  if (!wanted.peek() || ask() !== 'granted') return;
  const options = { body, tag, icon: '/icons/aldis-192.png', data: { path } };
  const registration = await navigator.serviceWorker?.getRegistration();
  try {
    // On a phone only the service worker may show one.
    if (registration) await registration.showNotification(title, options);
    else new Notification(title, options);
  } catch {
    // The permission was taken back in this moment.
    allowed.value = ask();
  }
}

/** How long lost contacts are gathered: when a broker goes, a thousand devices go with it. */
export const GATHER_MS = 2000;
const AT_MOST = 3;

export interface Lost {
  key: string;
  name: string;
  path: string;
}

/** Gathers lost contacts, and tells a few by name and many by number. */
export class LostContacts {
  private lost = new Map<string, Lost>();
  private waiting = false;

  constructor(
    private readonly later: (run: () => void, ms: number) => unknown,
    private readonly tell: (title: string, tag: string, path: string) => void,
  ) {}

  add(lost: Lost): void {
    this.lost.set(lost.key, lost);
    if (this.waiting) return;
    this.waiting = true;
    this.later(() => this.flush(), GATHER_MS);
  }

  /** It is back before anybody was told. */
  back(key: string): void {
    this.lost.delete(key);
  }

  private flush(): void {
    this.waiting = false;
    const lost = [...this.lost.values()];
    this.lost.clear();
    if (lost.length > AT_MOST) this.tell(tn('notify.lost.many', lost.length), 'lost', '/');
    else for (const { key, name, path } of lost) this.tell(t('notify.lost', { name }), `lost:${key}`, path);
  }
}
