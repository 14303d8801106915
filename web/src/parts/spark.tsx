//! The last day of a device in a line as wide as a thumb. Fetched when it is seen, two at a time.

import { effect, signal, useComputed, type Signal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { api, session } from '../api';
import { hubNow, now } from '../clock';
import { fromMemory, live } from '../hub';
import { measured, t } from '../i18n';

const DAY_MS = 24 * 3600_000;
const POINTS = 48;
const FRESH_MS = 15 * 60_000;

interface Line {
  at: number;
  values: (number | null)[];
}

const lines = new Map<string, Signal<Line | null>>();
const queue: string[] = [];
let running = 0;

function lineOf(key: string): Signal<Line | null> {
  let line = lines.get(key);
  if (!line) lines.set(key, (line = signal<Line | null>(null)));
  return line;
}

// With the session goes what was drawn in it.
effect(() => {
  if (session.value.state !== 'out') return;
  lines.clear();
  queue.length = 0;
});

function work(): void {
  while (running < 2) {
    const key = queue.pop();
    if (key === undefined) return;
    running += 1;
    const to = hubNow();
    api.chart(key, { from: Math.round(to - DAY_MS), to: Math.round(to) }, POINTS)
      .then(({ at_ms, t: values }) => {
        lineOf(key).value = { at: hubNow(), values: bucketed(at_ms, values, to - DAY_MS, to) };
      })
      // A line that is missing is not worth a word; it is asked again when it is seen again.
      .catch(() => undefined)
      .finally(() => {
        running -= 1;
        work();
      });
  }
}

/** The means of equal parts of the day, whatever the hub's points are. */
export function bucketed(at: number[], values: (number | null)[], from: number, to: number): (number | null)[] {
  const sums = Array.from({ length: POINTS }, () => ({ sum: 0, n: 0 }));
  at.forEach((moment, index) => {
    const value = values[index];
    const bucket = sums[Math.min(POINTS - 1, Math.floor(((moment - from) / (to - from)) * POINTS))];
    if (value == null || !bucket) return;
    bucket.sum += value;
    bucket.n += 1;
  });
  return sums.map(({ sum, n }) => (n > 0 ? sum / n : null));
}

const WIDTH = 96;
const HEIGHT = 32;

/** A path through what is there, broken where nothing is. */
export function pathOf(values: (number | null)[], low: number, high: number): string {
  // A flat day is a flat line, not noise as tall as the picture.
  const range = Math.max(high - low, 1);
  const base = (low + high - range) / 2;
  let path = '';
  let pen = false;
  values.forEach((value, index) => {
    if (value === null) {
      pen = false;
      return;
    }
    const x = ((index / (values.length - 1)) * (WIDTH - 2) + 1).toFixed(1);
    const y = (HEIGHT - 2 - ((value - base) / range) * (HEIGHT - 4)).toFixed(1);
    path += `${pen ? 'L' : 'M'}${x} ${y}`;
    pen = true;
  });
  return path;
}

export function Spark({ id }: { id: string }): JSX.Element {
  const line = lineOf(id).value;
  const usable = live.state.value === 'live' && !fromMemory.value;
  // Where a page stays open, its lines move on.
  const turn = useComputed(() => Math.floor(now.value / FRESH_MS)).value;
  useEffect(() => {
    const known = lineOf(id).peek();
    if (!usable || (known && hubNow() - known.at < FRESH_MS)) return undefined;
    // Not for what flies past while somebody scrolls.
    const timer = setTimeout(() => {
      if (!queue.includes(id)) queue.push(id);
      work();
    }, 150);
    return () => {
      clearTimeout(timer);
      const at = queue.indexOf(id);
      if (at >= 0) queue.splice(at, 1);
    };
  }, [id, usable, turn]);
  const there = line?.values.filter((value) => value !== null) ?? [];
  if (!line || there.length < 2) return <svg class="spark" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} aria-hidden="true" />;
  const low = Math.min(...there);
  const high = Math.max(...there);
  return (
    <svg
      class="spark"
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      role="img"
      aria-label={t('chart.spark', { min: measured(low), max: measured(high) })}
    >
      <path d={pathOf(line.values, low, high)} />
    </svg>
  );
}
