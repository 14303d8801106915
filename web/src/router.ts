//! Which page is shown. A device's key is in the query, because its id may contain dots and slashes.

import { computed, signal } from '@preact/signals';

export type Page =
  | { name: 'devices' }
  | { name: 'device'; key: string }
  | { name: 'topics' }
  | { name: 'hub' }
  | { name: 'missing' };

export function pageOf(path: string, search: string): Page {
  switch (path.replace(/\/+$/, '') || '/') {
    case '/':
      return { name: 'devices' };
    case '/device': {
      const key = new URLSearchParams(search).get('key');
      return key ? { name: 'device', key } : { name: 'missing' };
    }
    case '/topics':
      return { name: 'topics' };
    case '/hub':
      return { name: 'hub' };
    default:
      return { name: 'missing' };
  }
}

export const deviceLink = (key: string): string => `/device?key=${encodeURIComponent(key).replaceAll('%2F', '/')}`;

const here = (): string => location.pathname + location.search;
const address = signal(typeof location === 'undefined' ? '/' : here());

export const page = computed<Page>(() => {
  const url = new URL(address.value, 'http://here');
  return pageOf(url.pathname, url.search);
});

/** Grows with each change of page by a person: then the focus goes to the page's heading. */
export const visits = signal(0);
/** Where the page stood when it was left, to go back to. */
export let standing = 0;

export function go(to: string, replace = false): void {
  history.replaceState({ y: scrollY }, '');
  if (replace) history.replaceState({ y: 0 }, '', to);
  else history.pushState({ y: 0 }, '', to);
  standing = 0;
  address.value = here();
  visits.value += 1;
}

export function startRouter(): void {
  history.scrollRestoration = 'manual';
  addEventListener('popstate', (event) => {
    standing = (event.state as { y?: number } | null)?.y ?? 0;
    address.value = here();
    visits.value += 1;
  });
  let settling: ReturnType<typeof setTimeout> | undefined;
  addEventListener('scroll', () => {
    clearTimeout(settling);
    settling = setTimeout(() => history.replaceState({ y: scrollY }, ''), 200);
  }, { passive: true });
  document.addEventListener('click', (event) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
    const link = (event.target as Element).closest?.('a');
    if (!link || link.target || link.hasAttribute('download') || !link.dataset['page']) return;
    event.preventDefault();
    if (link.pathname + link.search !== here()) go(link.pathname + link.search);
    else scrollTo(0, 0);
  });
}
