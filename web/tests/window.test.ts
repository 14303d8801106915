import { describe, expect, test } from 'vitest';
import { follows, padded, pan, RANGES, rangeWindow, serves, SHORTEST, spanOf, within, zoom } from '../src/parts/window';

const now = 1_800_000_000_000;
const bounds = { first: now - 400 * 86_400_000, now };

/** Repeatable numbers, so that a failure names the seed that shows it again. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

describe('the window of a chart', () => {
  // A wheel turned on and on leads to a span of nothing, to the future, or to NaN.
  test('stays within what there is, whatever is done', () => {
    for (let seed = 1; seed <= 200; seed += 1) {
      const next = random(seed);
      let window = rangeWindow('day', bounds);
      for (let step = 0; step < 200; step += 1) {
        const what = next();
        if (what < 0.5) window = zoom(window, Math.exp((next() - 0.5) * 8), window.from + next() * spanOf(window), bounds);
        else if (what < 0.9) window = pan(window, (next() - 0.5) * 10, bounds);
        else window = within({ from: now + next() * 1e12, to: now - next() * 1e12 }, bounds);
        const about = `seed ${seed}, step ${step}: ${JSON.stringify(window)}`;
        expect(window.to, about).toBeLessThanOrEqual(now);
        expect(window.from, about).toBeGreaterThanOrEqual(bounds.first - 1);
        expect(spanOf(window), about).toBeGreaterThanOrEqual(SHORTEST);
      }
    }
  });

  // What lies under the pointer would slide away while zooming.
  test('zooming keeps the moment where it is', () => {
    const window = { from: now - 20 * RANGES.day, to: now - 10 * RANGES.day };
    const around = window.from + 0.25 * spanOf(window);
    const closer = zoom(window, 0.5, around, bounds);
    expect(spanOf(closer)).toBe(5 * RANGES.day);
    expect((around - closer.from) / spanOf(closer)).toBeCloseTo(0.25, 6);
  });

  // A device of this morning would show a year of nothing, or a span below zero.
  test('a device that is new has at least an hour', () => {
    const young = { first: now - 1000, now };
    expect(spanOf(rangeWindow('all', young))).toBe(RANGES.hour);
    expect(spanOf(within({ from: now - RANGES.year, to: now }, young))).toBe(RANGES.hour);
    expect(spanOf(rangeWindow('day', young))).toBe(RANGES.day);
  });

  test('follows the present only at its edge', () => {
    expect(follows(rangeWindow('hour', bounds), now)).toBe(true);
    expect(follows({ from: now - 2 * RANGES.hour, to: now - RANGES.hour }, now)).toBe(false);
  });

  // Each small move would fetch again; or a zoom would go on with the coarse points.
  test('what was loaded serves moves, and not a much closer look', () => {
    const window = { from: now - 20 * RANGES.day, to: now - 19 * RANGES.day };
    const loaded = padded(window, bounds);
    expect(spanOf(loaded)).toBe(2 * RANGES.day);
    expect(serves(loaded, pan(window, 0.4, bounds), bounds)).toBe(true);
    expect(serves(loaded, pan(window, 0.6, bounds), bounds)).toBe(false);
    expect(serves(loaded, zoom(window, 0.3, window.from + 1, bounds), bounds)).toBe(false);
    expect(padded(rangeWindow('day', bounds), bounds).to).toBe(now);
  });
});
