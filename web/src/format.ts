//! Numbers, times and spans as people of a language write them.

import type { Locale, Plural, Texts } from './i18n';

/** What is shown where there is no value. */
export const NOTHING = '–';

const cache = new Map<string, Intl.NumberFormat | Intl.DateTimeFormat>();

function numbers(locale: Locale, options: Intl.NumberFormatOptions): Intl.NumberFormat {
  const key = `n${locale}${JSON.stringify(options)}`;
  let format = cache.get(key) as Intl.NumberFormat | undefined;
  if (!format) cache.set(key, (format = new Intl.NumberFormat(tag(locale), options)));
  return format;
}

function dates(locale: Locale, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = `d${locale}${JSON.stringify(options)}`;
  let format = cache.get(key) as Intl.DateTimeFormat | undefined;
  if (!format) cache.set(key, (format = new Intl.DateTimeFormat(tag(locale), options)));
  return format;
}

/** English with 24 hours and the day before the month, as the rest of Aldis writes it. */
const tag = (locale: Locale): string => (locale === 'lt' ? 'lt-LT' : 'en-GB');

/** A measured value, with one decimal. */
export function measured(locale: Locale, value: number | null | undefined): string {
  if (value == null || !Number.isFinite(value)) return NOTHING;
  // A minus before zero is noise.
  const rounded = Math.round(value * 10) / 10 || 0;
  return numbers(locale, { minimumFractionDigits: 1, maximumFractionDigits: 1 }).format(rounded);
}

/** A whole number, grouped. */
export function count(locale: Locale, value: number | null | undefined): string {
  return value == null ? NOTHING : numbers(locale, { maximumFractionDigits: 0 }).format(value);
}

/** A number with what decimals it needs, at most `digits`. */
export function decimal(locale: Locale, value: number | null | undefined, digits = 1): string {
  return value == null ? NOTHING : numbers(locale, { maximumFractionDigits: digits }).format(value);
}

const BYTES = ['B', 'kB', 'MB', 'GB', 'TB'];

/** A size, in steps of 1000. */
export function bytes(locale: Locale, value: number | null | undefined): string {
  if (value == null) return NOTHING;
  let rest = value;
  let unit = 0;
  while (rest >= 999.5 && unit < BYTES.length - 1) {
    rest /= 1000;
    unit += 1;
  }
  return `${decimal(locale, rest, rest < 99.5 && unit > 0 ? 1 : 0)}\u00a0${BYTES[unit]}`;
}

/** The time of the day; on another day than `now` also the date, in another year that too. */
export function moment(locale: Locale, at: number, now: number): string {
  const same = new Date(at).toDateString() === new Date(now).toDateString();
  const minute = { hour: '2-digit', minute: '2-digit' } as const;
  const clock = { ...minute, second: '2-digit' } as const;
  if (same) return dates(locale, clock).format(at);
  if (Math.abs(now - at) < 180 * DAY) return `${day(locale, at)} ${dates(locale, minute).format(at)}`;
  return dates(locale, { year: 'numeric', month: '2-digit', day: '2-digit', ...minute }).format(at);
}

/** Date and time, whole. */
export function whole(locale: Locale, at: number): string {
  return dates(locale, {
    year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit',
  }).format(at);
}

export function clock(locale: Locale, at: number, seconds = false): string {
  return dates(locale, { hour: '2-digit', minute: '2-digit', ...(seconds ? { second: '2-digit' } : {}) }).format(at);
}

export function day(locale: Locale, at: number): string {
  return dates(locale, { month: 'short', day: 'numeric' }).format(at);
}

export function month(locale: Locale, at: number): string {
  return dates(locale, { year: 'numeric', month: 'short' }).format(at);
}

const plurals = new Map<Locale, Intl.PluralRules>();

/** The form of a text that goes with a whole number. */
export function plural(locale: Locale, forms: Plural, value: number): string {
  let rules = plurals.get(locale);
  if (!rules) plurals.set(locale, (rules = new Intl.PluralRules(tag(locale))));
  const form = rules.select(value) as keyof Plural;
  return (forms[form] ?? forms.other).replace('{n}', count(locale, value));
}

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** How long something took or is ago, in the one or two units that matter; `coarse`: in one. */
export function span(texts: Texts, locale: Locale, ms: number, coarse = false): string {
  const rest = Math.max(0, ms);
  const part = (value: number, unit: string): string => `${count(locale, value)}\u00a0${unit}`;
  const two = (big: number, bigUnit: string, small: number, smallUnit: string): string =>
    small > 0 && !coarse ? `${part(big, bigUnit)} ${part(small, smallUnit)}` : part(big, bigUnit);
  if (rest < MINUTE) return part(Math.floor(rest / SECOND), texts['unit.s']);
  if (rest < 10 * MINUTE) {
    return two(Math.floor(rest / MINUTE), texts['unit.min'], Math.floor((rest % MINUTE) / SECOND), texts['unit.s']);
  }
  if (rest < HOUR) return part(Math.floor(rest / MINUTE), texts['unit.min']);
  if (rest < DAY) {
    return two(Math.floor(rest / HOUR), texts['unit.h'], Math.floor((rest % HOUR) / MINUTE), texts['unit.min']);
  }
  if (rest < 14 * DAY) {
    return two(Math.floor(rest / DAY), texts['unit.d'], Math.floor((rest % DAY) / HOUR), texts['unit.h']);
  }
  return part(Math.floor(rest / DAY), texts['unit.d']);
}
