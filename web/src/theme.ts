//! Light, dark, or as the system has it. `theme.js` sets it before the first paint.

import { effect, signal } from '@preact/signals';

export type Theme = 'system' | 'light' | 'dark';

const STORED = 'aldis.theme';

function initial(): Theme {
  const stored = localStorage.getItem(STORED);
  return stored === 'light' || stored === 'dark' ? stored : 'system';
}

export const theme = signal<Theme>(initial());
/** Grows when the colours change: what is painted by script is painted anew. */
export const repaint = signal(0);

export function choose(value: Theme): void {
  if (value === 'system') localStorage.removeItem(STORED);
  else localStorage.setItem(STORED, value);
  theme.value = value;
}

export function startTheme(): void {
  const system = matchMedia('(prefers-color-scheme: dark)');
  const apply = (): void => {
    const root = document.documentElement;
    if (theme.value === 'system') delete root.dataset['theme'];
    else root.dataset['theme'] = theme.value;
    const dark = theme.value === 'dark' || (theme.value === 'system' && system.matches);
    document.querySelector('meta[name=theme-color]')?.setAttribute('content', dark ? '#14171a' : '#f4f3ef');
    repaint.value = repaint.peek() + 1;
  };
  effect(apply);
  system.addEventListener('change', apply);
}
