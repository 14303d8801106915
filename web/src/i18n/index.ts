//! The languages, and which one is spoken.

import { computed, signal } from '@preact/signals';
import * as format from '../format';
import { en } from './en';
import { lt } from './lt';

export type Locale = 'en' | 'lt';

/** The forms of a text with a number; which ones there are depends on the language. */
export interface Plural {
  one?: string;
  few?: string;
  many?: string;
  other: string;
}

/** Every text by its key: what English has, the others have too. */
export type Texts = { [Key in keyof typeof en]: (typeof en)[Key] extends string ? string : Plural };
type KeyOf<Kind> = { [Key in keyof Texts]: Texts[Key] extends Kind ? Key : never }[keyof Texts];
export type TextKey = KeyOf<string>;
export type PluralKey = Exclude<keyof Texts, TextKey>;

export const LOCALES: Record<Locale, { name: string; texts: Texts }> = {
  en: { name: 'English', texts: en },
  lt: { name: 'Lietuvių', texts: lt },
};

const STORED = 'aldis.language';

/** The first language of the browser that we speak. */
export function preferred(languages: readonly string[]): Locale {
  for (const language of languages) {
    const base = language.toLowerCase().split('-')[0];
    if (base === 'en' || base === 'lt') return base;
  }
  return 'en';
}

function initial(): Locale {
  if (typeof localStorage === 'undefined') return 'en';
  const stored = localStorage.getItem(STORED);
  return stored === 'en' || stored === 'lt' ? stored : preferred(navigator.languages);
}

export const locale = signal<Locale>(initial());
const texts = computed(() => LOCALES[locale.value].texts);

export function speak(language: Locale): void {
  localStorage.setItem(STORED, language);
  locale.value = language;
}

/** The text of a key, with `{name}` replaced. */
export function t(key: TextKey, values?: Record<string, string>): string {
  const text = texts.value[key];
  return values ? text.replace(/\{(\w+)\}/g, (all, name: string) => values[name] ?? all) : text;
}

/** The text that goes with a whole number. */
export const tn = (key: PluralKey, n: number): string => format.plural(locale.value, texts.value[key], n);

/** The text of a word of the protocol, such as a state; an unknown word stays as it is. */
export function word(group: string, value: string): string {
  const key = `${group}.${value}`;
  return Object.hasOwn(texts.value, key) ? t(key as TextKey) : value;
}

// The formats, in the language that is spoken.
export const measured = (value: number | null | undefined): string => format.measured(locale.value, value);
export const count = (value: number | null | undefined): string => format.count(locale.value, value);
export const decimal = (value: number | null | undefined, digits?: number): string =>
  format.decimal(locale.value, value, digits);
export const bytes = (value: number | null | undefined): string => format.bytes(locale.value, value);
export const moment = (at: number, now: number): string => format.moment(locale.value, at, now);
export const whole = (at: number): string => format.whole(locale.value, at);
export const span = (ms: number): string => format.span(texts.value, locale.value, ms);
export const ago = (ms: number): string => (ms < 2000 ? t('ago.now') : t('ago', { span: format.span(texts.value, locale.value, ms, true) }));
