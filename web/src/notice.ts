//! One line that tells an outcome, seen and read aloud.

import { signal } from '@preact/signals';

export const notice = signal<string | null>(null);

let timer: ReturnType<typeof setTimeout> | undefined;

export function tell(text: string): void {
  notice.value = text;
  clearTimeout(timer);
  timer = setTimeout(() => {
    notice.value = null;
  }, 5000);
}
