//! Which time a chart shows, and how it moves.

export interface Window {
  from: number;
  to: number;
}

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Closer than this there is nothing to see: readings come seconds apart. */
export const SHORTEST = MINUTE;
export const RANGES = { hour: HOUR, day: DAY, week: 7 * DAY, month: 30 * DAY, year: 365 * DAY } as const;
export type Range = keyof typeof RANGES | 'all';

/** All that there can be, which moves on with the time. */
export interface Bounds {
  first: number;
  now: number;
}

export const spanOf = ({ from, to }: Window): number => to - from;

/** The window within what there is; what does not fit is moved, and only then made shorter. */
export function within({ from, to }: Window, { first, now }: Bounds): Window {
  const longest = Math.max(now - first, SHORTEST);
  const span = Math.min(Math.max(to - from, SHORTEST), Math.max(longest, HOUR));
  const middle = (from + to) / 2;
  let start = Math.round(middle - span / 2);
  if (start + span > now) start = now - Math.round(span);
  if (start < first && now - span >= first) start = first;
  return { from: start, to: start + Math.round(span) };
}

export function rangeWindow(range: Range, bounds: Bounds): Window {
  const span = range === 'all' ? Math.max(bounds.now - bounds.first, HOUR) : RANGES[range];
  return { from: bounds.now - span, to: bounds.now };
}

/** Larger or smaller by a factor, around a moment that stays where it is. */
export function zoom(window: Window, factor: number, around: number, bounds: Bounds): Window {
  const span = spanOf(window);
  const most = Math.max(bounds.now - bounds.first, HOUR, span);
  const next = Math.min(Math.max(span * factor, SHORTEST), most);
  const part = span > 0 ? (around - window.from) / span : 0.5;
  const from = around - part * next;
  return within({ from, to: from + next }, bounds);
}

/** To the right by a part of its span. */
export function pan(window: Window, part: number, bounds: Bounds): Window {
  const by = spanOf(window) * part;
  return within({ from: window.from + by, to: window.to + by }, bounds);
}

/** Whether it shows the present, and moves on with it. */
export const follows = (window: Window, now: number): boolean => window.to >= now - Math.max(2000, spanOf(window) * 0.005);

/** What to load for a window: as much again on both sides, so that moving it shows something at once. */
export function padded(window: Window, { first, now }: Bounds): Window {
  const span = spanOf(window);
  return {
    from: Math.max(Math.round(window.from - span / 2), Math.min(first, window.from)),
    to: Math.min(Math.round(window.to + span / 2), Math.max(now, window.to)),
  };
}

/** Whether what was loaded serves a window: it covers it, and is not much coarser than could be. */
export function serves(loaded: Window, window: Window, bounds: Bounds): boolean {
  const needed = within(window, bounds);
  return (
    loaded.from <= Math.max(needed.from, bounds.first) &&
    loaded.to >= Math.min(needed.to, bounds.now) &&
    spanOf(loaded) <= spanOf(needed) * 3
  );
}
