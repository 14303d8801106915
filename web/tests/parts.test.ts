import { describe, expect, test } from 'vitest';
import { describe as told } from '../src/events';
import { LostContacts } from '../src/notify';
import { cut, percent, shareOf } from '../src/parts/contact';
import { append, extremesOf, levelOf, moments } from '../src/parts/series';
import { bucketed, pathOf } from '../src/parts/spark';
import { seenRows } from '../src/parts/virtual';
import { deviceLink, pageOf } from '../src/router';
import { printable, quoted, shortened, visible } from '../src/text';
import type { ChartData } from '../src/types';
import { Clockwork } from './clockwork';

describe('contact', () => {
  const outage = (from_ms: number, to_ms: number | null) => ({ from_ms, to_ms, cause: null });

  // An outage that began before the window, or goes on, would be counted whole or not at all.
  test('outages are cut to the time that is shown', () => {
    const pieces = cut([outage(900, null), outage(0, 150), outage(300, 400), outage(2000, 2100)], 100, 1000, 1000);
    expect(pieces.map(({ from, to }) => [from, to])).toEqual([[100, 150], [300, 400], [900, 1000]]);
    expect(shareOf(pieces, 100, 1000)).toBeCloseTo(1 - 250 / 900, 9);
  });

  // The page's idea of the hub's time lags by the way of an event: the newest outage would be nowhere.
  test('an outage that goes on is there, even if it begins after what is taken for now', () => {
    const pieces = cut([outage(1003, null), outage(1004, 1009)], 100, 1000, 1000);
    expect(pieces.map(({ from, to }) => [from, to])).toEqual([[1000, 1000]]);
    expect(shareOf(pieces, 100, 1000)).toBe(1);
  });

  test('outages that overlap count once', () => {
    const pieces = cut([outage(100, 300), outage(200, 250), outage(250, 400)], 0, 1000, 1000);
    expect(shareOf(pieces, 0, 1000)).toBeCloseTo(0.7, 9);
  });

  // "100 %" with an outage below it.
  test('a share is never rounded up to all', () => {
    expect([1, 0.99999999, 0.5, 0].map(percent)).toEqual([100, 99.99, 50, 0]);
  });
});

describe('a series', () => {
  const data = (at: number[]): ChartData => {
    const row = (): number[] => at.map(() => 1);
    return { level: 'raw', at_ms: [...at], t: row(), t_min: row(), t_max: row(), h: row(), h_min: row(), h_max: row(), count: row() };
  };
  const reading = (taken_ms: number) => ({ key: 'k', taken_ms, t: 2, h: 3, late: false });

  test('grows by a reading', () => {
    const series = data([0, 5000]);
    append(series, reading(10_000));
    expect(series.at_ms).toEqual([0, 5000, 10_000]);
    expect(series.h_max).toEqual([1, 1, 3]);
  });

  // After an outage a straight line would be drawn over hours of which nothing is known.
  test('has a gap where nothing came for long', () => {
    const series = data([0, 5000]);
    append(series, reading(3_600_000));
    expect(series.at_ms).toEqual([0, 5000, 5001, 3_600_000]);
    expect(series.t).toEqual([1, 1, null, 2]);
    for (const row of [series.t_min, series.t_max, series.h, series.h_min, series.h_max, series.count]) expect(row.length).toBe(4);
  });

  test('has extremes of what is seen', () => {
    const series = { ...data([0, 1, 2]), t_min: [-5, 1, null], t_max: [9, 2, null] };
    expect(extremesOf(series, { from: 1, to: 2 })).toMatchObject({ t_min: '1.0', t_max: '2.0' });
    expect(extremesOf(series, { from: 5, to: 9 })).toBeNull();
    expect(extremesOf(null, { from: 5, to: 9 })).toBeNull();
  });

  test('says whether points are means', () => {
    expect(levelOf(data([1]))).toBe('raw');
    expect(levelOf({ ...data([1]), count: [17] })).toBe('mean');
    expect(levelOf({ ...data([1]), level: 'hour', count: [17] })).toBe('hour');
  });

  // The date would be at each mark, or at none.
  test('names the day where a new one begins', () => {
    const at = (day: number, hour: number): number => new Date(2026, 10, day, hour).getTime();
    expect(moments('en', [at(26, 20), at(27, 0), at(27, 4)], 4 * 3_600_000)).toEqual(['20:00', '27 Nov', '04:00']);
    expect(moments('lt', [at(1, 0), at(2, 0)], 86_400_000)).toEqual(['11-01', '11-02']);
  });
});

describe('a sparkline', () => {
  test('is broken where nothing is', () => {
    expect(pathOf([0, 1, null, 1], 0, 1).match(/M/g)!.length).toBe(2);
  });
  // Noise of a tenth of a degree would look like a storm.
  test('of a flat day is flat', () => {
    const heights = [...pathOf([20, 20.1, 20], 20, 20.1).matchAll(/ ([\d.]+)/g)].map((match) => Number(match[1]));
    expect(Math.max(...heights) - Math.min(...heights)).toBeLessThan(5);
  });
  test('has its values where their time is', () => {
    const values = bucketed([0, 1, 999], [1, 3, 7], 0, 1000);
    expect([values[0], values.at(-1), values[20]]).toEqual([2, 7, null]);
  });
});

describe('long lists', () => {
  // An empty screen while scrolling, or a thousand rows at once.
  test('have the rows that are seen, and a few more', () => {
    expect(seenRows(0, 800, 100, 1000, 3)).toEqual({ first: 0, last: 11 });
    expect(seenRows(-50_000, 800, 100, 1000, 3)).toEqual({ first: 497, last: 511 });
    expect(seenRows(-99_900, 800, 100, 1000, 3)).toEqual({ first: 996, last: 1000 });
    expect(seenRows(-99_900, 800, 100, 5, 3)).toEqual({ first: 5, last: 5 });
    expect(seenRows(900, 800, 100, 5, 0)).toEqual({ first: 0, last: 0 });
  });
});

describe('addresses', () => {
  // A hub that serves no page for a path with a dot would answer 404 to a device called `v1.2`.
  test('keys with dots, slashes and signs survive', () => {
    for (const key of ['aldis/kitchen', 'a/b/c/v1.2', 'x/ą&=?#%', 'p/<img src=x>']) {
      const url = new URL(deviceLink(key), 'http://h');
      expect(url.pathname).toBe('/device');
      expect(pageOf(url.pathname, url.search)).toEqual({ name: 'device', key });
    }
  });
  test('what is not there is said', () => {
    expect(pageOf('/nothing', '')).toEqual({ name: 'missing' });
    expect(pageOf('/device', '')).toEqual({ name: 'missing' });
    expect(pageOf('/hub/', '')).toEqual({ name: 'hub' });
  });
});

describe('text from outside', () => {
  test('control characters are seen', () => {
    expect(printable('a\0b\x1b[31m\x7f\ttab\n')).toBe('a␀b␛[31m␡\ttab\n');
  });
  // `evil‮gnp.exe` would look like `evilexe.png`; two names that look alike would be told apart by nobody.
  test('what has no picture, or turns the line around, is seen', () => {
    expect(printable('evil\u202egnp.exe')).toBe('evil⟨U+202E⟩gnp.exe');
    for (const code of [0x80, 0xad, 0x61c, 0x115f, 0x200b, 0x200d, 0x200e, 0x2028, 0x2066, 0x2069, 0x2800, 0x3164, 0xfe0f, 0xfeff, 0xe0041, 0xd800]) {
      expect(printable(`a${String.fromCodePoint(code)}b`)).toBe(`a⟨U+${code.toString(16).toUpperCase().padStart(4, '0')}⟩b`);
    }
  });
  // What people write stays what it is.
  test('letters that join and emoji of several are left alone', () => {
    for (const text of ['שלום', 'می\u200cخواهم', 'क्\u200dष', '👩\u200d🔧', '❤\ufe0f', '👍🏽', '1\ufe0f\u20e3', '🇱🇹', '🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}', 'ąž — “x”\u00a0°C', '\u06dd']) {
      expect(printable(text)).toBe(text);
    }
  });
  // The rest of our sentence would run from right to left.
  test('in a sentence of ours its direction ends with it', () => {
    expect(quoted('Kitchen', 80)).toBe('Kitchen');
    expect(quoted('שלום', 80)).toBe('\u2068שלום\u2069');
    expect(quoted('שלום\u2069', 80)).toBe('\u2068שלום⟨U+2069⟩\u2069');
  });
  test('it is bounded, however much has to be made visible', () => {
    expect(visible('\u202e'.repeat(1000), 80).length).toBe(81);
  });
  // Half of an emoji is a black box.
  test('is cut between characters', () => {
    expect(shortened('ab🔦', 3)).toBe('ab…');
    expect(shortened('ab🔦', 4)).toBe('ab🔦');
  });
});

describe('the log', () => {
  const words = (kind: string, value: unknown): string => told({ at_ms: 0, kind, value });
  test('says what it knows in words, and the rest as it came', () => {
    expect(words('led', 'on')).toBe('on');
    expect(words('sensor', 'missing')).toBe('does not answer');
    expect(words('answer', { id: '1', done: false, reason: 'interrupted' })).toBe('refused: interrupted');
    expect(words('answer', { id: '1', done: true })).toBe('done');
    expect(words('message', { text: 'hi' })).toBe('hi');
    expect(words('message_state', { state: 'refused', reason: 'no text' })).toBe('refused: there is no text');
    expect(words('new kind', { a: 1 })).toBe('{"a":1}');
    expect(words('led', null)).toBe('null');
    expect(words('led', undefined)).toBe('');
  });
});

describe('lost contacts', () => {
  // A broker that goes takes a thousand devices along: a thousand notifications.
  test('of many are told once', () => {
    const clock = new Clockwork();
    const told_: string[] = [];
    const lost = new LostContacts(clock.later, (title) => told_.push(title));
    const add = (n: number): void => lost.add({ key: `k${n}`, name: `n${n}`, path: '/' });
    add(1);
    add(2);
    lost.back('k2');
    clock.turn(5000);
    for (let n = 0; n < 50; n += 1) add(n);
    clock.turn(5000);
    expect(told_).toEqual(['n1 has lost contact', '50 devices have lost contact']);
  });
});
