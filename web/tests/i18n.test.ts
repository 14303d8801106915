import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { en } from '../src/i18n/en';
import { preferred, type Plural } from '../src/i18n';
import { lt } from '../src/i18n/lt';
import { plural } from '../src/format';

/** Keys that are put together at run time: the words of the protocol and the web API. */
const WORDS: Record<string, string[]> = {
  status: ['online', 'offline', 'null'],
  sensor: ['ok', 'stale', 'missing', 'null'],
  lamp: ['on', 'off', 'null'],
  'lamp.pending': ['on', 'off'],
  'lamp.done': ['on', 'off'],
  'lamp.turn': ['on', 'off'],
  message: ['sent', 'received', 'shown', 'read', 'expired', 'refused', 'replaced'],
  'message.ttl': ['never', 'minutes', 'hour', 'day'],
  since: ['online', 'offline'],
  cause: [
    'null', 'wifi', 'dhcp', 'dns', 'tcp', 'refused', 'silent', 'taken_over', 'broker', 'power', 'software', 'watchdog',
    'panic', 'brownout', 'sleep', 'hub',
  ],
  reset: ['power', 'software', 'watchdog', 'panic', 'brownout', 'sleep'],
  mode: ['safe'],
  reconnects: ['wifi', 'dhcp', 'dns', 'tcp', 'refused', 'silent', 'taken_over', 'broker'],
  dropped: ['expired', 'superseded', 'full', 'too_large'],
  kind: ['led', 'sensor', 'status', 'message', 'message_state', 'answer', 'morse'],
  reason: [
    'not UTF-8', 'malformed JSON', 'no text', 'the text is longer than 256 bytes', 'larger than the device can receive',
    'perhaps given before the device was started', 'interrupted',
  ],
  error: [
    'wrong_password', 'not_signed_in', 'csrf', 'not_found', 'too_long', 'no_text', 'unreachable', 'no_device', 'invalid',
    'too_large', 'cross_site', 'https_only', 'unknown_host', 'broker_refused', 'broker_unavailable', 'broker_slow',
    'store_unavailable', 'store_broken', 'cannot_verify', 'too_many_streams',
  ],
  nav: ['devices', 'topics', 'hub'],
  chart: ['hour', 'day', 'week', 'month', 'year', 'all'],
  'chart.level': ['raw', 'mean', '5min', 'hour'],
  'hub.theme': ['system', 'light', 'dark'],
};

const sources = readdirSync('src', { recursive: true, encoding: 'utf8' })
  .filter((file) => /\.tsx?$/.test(file) && !/^i18n\/(en|lt)\.ts$/.test(file))
  .map((file) => readFileSync(`src/${file}`, 'utf8'))
  .join('\n');

const places = (text: string | Plural): string[] =>
  [...new Set(JSON.stringify(text).match(/\{\w+\}/g) ?? [])].sort();

describe('texts', () => {
  // A text that is missing would show its key to somebody who does not read English.
  test('both languages have the same keys', () => {
    expect(Object.keys(lt).sort()).toEqual(Object.keys(en).sort());
  });

  // A text that nothing shows is translated for nobody.
  test('no key is unused', () => {
    const built = new Set(Object.entries(WORDS).flatMap(([group, words]) => words.map((word) => `${group}.${word}`)));
    const unused = Object.keys(en).filter((key) => !built.has(key) && !sources.includes(`'${key}'`));
    expect(unused).toEqual([]);
  });

  // A group that is listed above and not in the code would hide unused keys.
  test('the groups of words are in the code', () => {
    for (const group of Object.keys(WORDS)) {
      expect(sources.includes(`word('${group}'`) || sources.includes(`\`${group}.\${`) || sources.includes(`(group, `), group).toBe(true);
    }
    for (const [group, words] of Object.entries(WORDS)) for (const word of words) expect(en).toHaveProperty([`${group}.${word}`]);
  });

  // "{span} ago" without its {span} tells nothing; with another name it shows braces.
  test('each text has the same places to fill', () => {
    for (const key of Object.keys(en) as (keyof typeof en)[]) expect(places(lt[key]), key).toEqual(places(en[key]));
  });

  // A Lithuanian text with two forms says "21 įrenginių".
  test('each plural has the forms of its language', () => {
    for (const [key, text] of Object.entries(lt)) {
      if (typeof text !== 'string') expect(Object.keys(text).sort(), key).toEqual(['few', 'one', 'other']);
    }
    for (const [key, text] of Object.entries(en)) {
      if (typeof text !== 'string') expect(Object.keys(text).sort(), key).toEqual(['one', 'other']);
    }
  });

  test('numbers choose the form', () => {
    const forms = lt['devices.count'];
    const all = [0, 1, 2, 9, 10, 11, 19, 20, 21, 22, 100, 101, 111, 1001].map((n) => plural('lt', forms, n).replace(/\s/g, ' '));
    expect(all).toEqual([
      '0 įrenginių', '1 įrenginys', '2 įrenginiai', '9 įrenginiai', '10 įrenginių', '11 įrenginių', '19 įrenginių',
      '20 įrenginių', '21 įrenginys', '22 įrenginiai', '100 įrenginių', '101 įrenginys', '111 įrenginių', '1 001 įrenginys',
    ]);
    expect([0, 1, 2, 21].map((n) => plural('en', en['devices.count'], n))).toEqual(['0 devices', '1 device', '2 devices', '21 devices']);
  });

  // A browser set to German, then Lithuanian, would get English.
  test('the first language that we speak is taken', () => {
    expect(preferred(['de-DE', 'lt', 'en'])).toBe('lt');
    expect(preferred(['en-US', 'lt'])).toBe('en');
    expect(preferred(['LT-lt'])).toBe('lt');
    expect(preferred(['ja', 'fr'])).toBe('en');
    expect(preferred([])).toBe('en');
  });
});
