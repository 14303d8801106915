//! The hub's time. A browser's clock may be wrong by hours; the hub's is what all ages count from.

import { signal } from '@preact/signals';

let offset = 0;

/** The hub's time now, as far as it is known. */
export const hubNow = (): number => Date.now() + offset;

/** The hub's time, each second: what shows an age reads it. */
export const now = signal(hubNow());

export function setHubTime(hubMs: number): void {
  offset = hubMs - Date.now();
  now.value = hubNow();
}

export function startClock(): void {
  setInterval(() => {
    if (document.visibilityState === 'visible') now.value = hubNow();
  }, 1000);
  document.addEventListener('visibilitychange', () => {
    now.value = hubNow();
  });
}
