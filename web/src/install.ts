//! The service worker, and what the browser offers to install the page as an application.

import { signal } from '@preact/signals';

interface InstallPrompt extends Event {
  prompt(): Promise<unknown>;
}

export const installable = signal<InstallPrompt | null>(null);

export function startInstall(): void {
  addEventListener('beforeinstallprompt', (event) => {
    event.preventDefault();
    installable.value = event as InstallPrompt;
  });
  addEventListener('appinstalled', () => {
    installable.value = null;
  });
  // Only the built page has one; without HTTPS or localhost the browser has none.
  if (import.meta.env.PROD && 'serviceWorker' in navigator) {
    addEventListener('load', () => {
      navigator.serviceWorker.register('/sw.js').catch((error: unknown) => {
        console.warn('The page will not open without the hub:', error);
      });
    });
  }
}

export async function install(): Promise<void> {
  const prompt = installable.peek();
  installable.value = null;
  await prompt?.prompt();
}
