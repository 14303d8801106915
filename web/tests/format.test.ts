import { describe, expect, test } from 'vitest';
import * as format from '../src/format';
import { en } from '../src/i18n/en';
import { lt } from '../src/i18n/lt';

const plain = (text: string): string => text.replace(/[\u00a0\u202f]/g, ' ');
const S = 1000;
const MIN = 60 * S;
const H = 60 * MIN;
const D = 24 * H;

describe('numbers', () => {
  // "24.1" in a Lithuanian text, or "-0,0" for a frost that is none.
  test('have the decimal mark of the language', () => {
    expect(format.measured('en', 24.1)).toBe('24.1');
    expect(format.measured('lt', 24.1)).toBe('24,1');
    expect(format.measured('lt', -7)).toBe('−7,0');
    expect(format.measured('en', -0.04)).toBe('0.0');
    expect(plain(format.count('lt', 6912345))).toBe('6 912 345');
  });

  // NaN on the screen.
  test('what is not there is a dash', () => {
    for (const value of [null, undefined, NaN, Infinity]) expect(format.measured('en', value)).toBe('–');
    expect(format.count('en', null)).toBe('–');
    expect(format.bytes('en', null)).toBe('–');
  });

  test('sizes', () => {
    const of = (value: number): string => plain(format.bytes('en', value));
    expect([0, 999, 1000, 31_400_000, 999_600, 53_000_000_000, 2.3e15].map(of)).toEqual([
      '0 B', '999 B', '1 kB', '31.4 MB', '1 MB', '53 GB', '2,300 TB',
    ]);
    expect(plain(format.bytes('lt', 31_400_000))).toBe('31,4 MB');
  });
});

describe('times', () => {
  test('spans have the units that matter', () => {
    const of = (ms: number): string => plain(format.span(en, 'en', ms));
    expect([-5, 0, 59_999, MIN, 90 * S, 11 * MIN + 30 * S, H, H + 24 * MIN, D + H, 13 * D, 20 * D + 5 * H].map(of)).toEqual([
      '0 s', '0 s', '59 s', '1 min', '1 min 30 s', '11 min', '1 h', '1 h 24 min', '1 d 1 h', '13 d', '20 d',
    ]);
    expect(plain(format.span(lt, 'lt', H + 24 * MIN))).toBe('1 val. 24 min.');
    expect(plain(format.span(lt, 'lt', H + 24 * MIN, true))).toBe('1 val.');
  });

  // Yesterday's 14:00 taken for today's.
  test('a moment of another day has its date', () => {
    const now = new Date(2026, 10, 27, 12, 0, 0).getTime();
    expect(format.moment('en', new Date(2026, 10, 27, 9, 5, 3).getTime(), now)).toBe('09:05:03');
    expect(format.moment('en', new Date(2026, 10, 26, 9, 5, 3).getTime(), now)).toBe('26 Nov 09:05');
    expect(format.moment('lt', new Date(2026, 10, 26, 9, 5, 3).getTime(), now)).toBe('11-26 09:05');
    expect(format.moment('en', new Date(2024, 10, 26, 9, 5, 3).getTime(), now)).toBe('26/11/2024, 09:05');
  });
});
