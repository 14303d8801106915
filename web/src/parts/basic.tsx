//! Small things that every page uses.

import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { now } from '../clock';
import { ago, t, whole } from '../i18n';
import { standing, visits } from '../router';
import { visible } from '../text';

const PATHS = {
  devices: 'M4 5h7v6H4zM13 5h7v6h-7zM4 13h7v6H4zM13 13h7v6h-7z',
  topics: 'M5 6h14M8 12h11M11 18h8',
  hub: 'M12 4v6M12 10l-6 6M12 10l6 6M12 4h.01M6 18h.01M18 18h.01',
  back: 'M14 6l-6 6 6 6',
  left: 'M14 6l-6 6 6 6',
  right: 'M10 6l6 6-6 6',
  plus: 'M12 6v12M6 12h12',
  minus: 'M6 12h12',
  lamp: 'M9 18h6M10 21h4M12 3a6 6 0 0 0-3.5 10.9c.6.5.9 1.1.9 1.8h5.2c0-.7.3-1.3.9-1.8A6 6 0 0 0 12 3z',
  drop: 'M12 4c3 4 5 6.4 5 9.2A5 5 0 0 1 7 13.2C7 10.4 9 8 12 4z',
  warning: 'M12 5l8 14H4zM12 11v3M12 16.5h.01',
  download: 'M12 5v9M8 11l4 4 4-4M5 19h14',
} as const;

export function Icon({ name }: { name: keyof typeof PATHS }): JSX.Element {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}

/** The heading of a page. It gets the focus when a person came to the page by a link. */
export function Title({ children, text }: { children?: ComponentChildren; text: string }): JSX.Element {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${text} · Aldis`;
  }, [text]);
  const visit = visits.value;
  useEffect(() => {
    if (visit === 0) return;
    heading.current?.focus({ preventScroll: true });
    scrollTo(0, standing);
  }, [visit]);
  return (
    <h1 ref={heading} tabIndex={-1}>
      {children ?? text}
    </h1>
  );
}

/** How long ago a moment was, growing. */
export function Age({ at }: { at: number }): JSX.Element {
  return <time dateTime={new Date(at).toISOString()} title={whole(at)}>{ago(now.value - at)}</time>;
}

export function Choice<Value extends string>(props: {
  label: string;
  value: Value | null;
  options: readonly (readonly [Value, string])[];
  onChange: (value: Value) => void;
}): JSX.Element {
  return (
    <div class="choice" role="group" aria-label={props.label}>
      {props.options.map(([value, text]) => (
        <button key={value} type="button" aria-pressed={value === props.value} onClick={() => props.onChange(value)}>
          {text}
        </button>
      ))}
    </div>
  );
}

/** A question that stops everything else, with the browser's own dialog. */
export function Dialog(props: {
  title: string;
  children: ComponentChildren;
  onClose: () => void;
}): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  return (
    <dialog ref={dialog} onClose={props.onClose} aria-labelledby="dialog-title">
      <h2 id="dialog-title">{props.title}</h2>
      {props.children}
    </dialog>
  );
}

/** What is loaded once, and again whenever `keys` change. */
export function useLoaded<Value>(
  load: (signal: AbortSignal) => Promise<Value>,
  keys: unknown[],
): { value: Value | null; error: unknown; again: () => void } {
  const [state, setState] = useState<{ value: Value | null; error: unknown }>({ value: null, error: null });
  const [round, setRound] = useState(0);
  useEffect(() => {
    const abort = new AbortController();
    load(abort.signal).then(
      (value) => !abort.signal.aborted && setState({ value, error: null }),
      (error: unknown) => !abort.signal.aborted && setState((before) => ({ value: before.value, error })),
    );
    return () => abort.abort();
  }, [...keys, round]);
  return { ...state, again: () => setRound(round + 1) };
}

/** Text from outside, at most so much of it: all of it is seen, and it turns nothing around it. */
export function Foreign({ text, most = 200, class: name }: { text: string; most?: number; class?: string }): JSX.Element {
  return <bdi class={name}>{visible(text, most)}</bdi>;
}

export const Loading = (): JSX.Element => <p class="quiet">{t('devices.loading')}</p>;
