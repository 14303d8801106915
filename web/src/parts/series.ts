//! What a chart does with the hub's columns.

import * as format from '../format';
import { measured, type Locale } from '../i18n';
import type { ChartData, Reading } from '../types';
import type { Window } from './window';

export const HOUR = 3600_000;
export const DAY = 24 * HOUR;

/** The finest level is decimated as well, where it has more readings than the screen has points. */
export const levelOf = ({ level, count }: ChartData): 'raw' | 'mean' | '5min' | 'hour' =>
  level === 'raw' && count.some((readings) => (readings ?? 0) > 1) ? 'mean' : level;

/** A reading that was just made, behind all others. */
export function append(data: ChartData, reading: Reading): void {
  const last = data.at_ms.at(-1);
  const before = data.at_ms.at(-2);
  // Much longer than the reading before it took: nothing is known of the time between.
  const gap = last !== undefined && before !== undefined && reading.taken_ms - last > Math.max(30_000, 4 * (last - before));
  const rows: [number, number | null, number | null, number][] = gap ? [[last + 1, null, null, 0]] : [];
  rows.push([reading.taken_ms, reading.t, reading.h, 1]);
  for (const [at, temperature, humidity, count] of rows) {
    data.at_ms.push(at);
    for (const row of [data.t, data.t_min, data.t_max]) row.push(temperature);
    for (const row of [data.h, data.h_min, data.h_max]) row.push(humidity);
    data.count.push(count);
  }
}

/** The lowest and highest of what is seen, as people read it. */
export function extremesOf(data: ChartData | null, window: Window): { t_min: string; t_max: string; h_min: string; h_max: string } | null {
  if (!data) return null;
  const low = [Infinity, Infinity];
  const high = [-Infinity, -Infinity];
  data.at_ms.forEach((at, index) => {
    if (at < window.from || at > window.to) return;
    [data.t_min[index], data.h_min[index]].forEach((value, which) => {
      if (value != null) low[which] = Math.min(low[which]!, value);
    });
    [data.t_max[index], data.h_max[index]].forEach((value, which) => {
      if (value != null) high[which] = Math.max(high[which]!, value);
    });
  });
  if (high.every((value) => value === -Infinity)) return null;
  const told_ = (value: number): string => measured(Number.isFinite(value) ? value : null);
  return { t_min: told_(low[0]!), t_max: told_(high[0]!), h_min: told_(low[1]!), h_max: told_(high[1]!) };
}

/** What an axis says at its marks: no more of the date than is new at each. */
export function moments(language: Locale, splits: number[], step: number): string[] {
  let before = '';
  return splits.map((at) => {
    const today = format.day(language, at);
    if (step >= 28 * DAY) return format.month(language, at);
    if (step >= DAY) return today;
    const clock = format.clock(language, at, step < 60_000);
    const isNew = before !== '' && before !== today && new Date(at).getHours() === 0;
    before = today;
    return isNew ? today : clock;
  });
}
