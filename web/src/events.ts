//! What happened to a device, in words.

import { t, word } from './i18n';
import { quoted } from './text';
import type { DeviceEvent } from './types';

/** Why something was refused, in the language that is spoken where we know the words. */
export const reasonOf = (reason: string | null): string =>
  reason ? quoted(word('reason', reason), 200) : t('reason.none');

/** What happened, in words; what is not known stays as it came, and is not made fit to be seen yet. */
export function describe({ kind, value }: DeviceEvent): string {
  const object = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>;
  const text = (name: string): string | null => (typeof object[name] === 'string' ? (object[name] as string) : null);
  const why = (reason: string | null): string => (reason ? word('reason', reason) : t('reason.none'));
  const plain = typeof value === 'string' ? value : JSON.stringify(value) ?? '';
  let words = plain;
  if (typeof value === 'string') {
    const group = { led: 'lamp', sensor: 'sensor', status: 'status', message_state: 'message' }[kind];
    if (group) words = word(group, value);
  } else if (kind === 'answer' && typeof object['done'] === 'boolean') {
    words = object['done'] ? t('answer.done') : `${t('answer.refused')}: ${why(text('reason'))}`;
  } else if (kind === 'message_state' && text('state')) {
    const reason = text('reason');
    words = word('message', text('state')!) + (reason ? `: ${why(reason)}` : '');
  } else if ((kind === 'message' || kind === 'morse') && text('text')) {
    words = text('text')!;
  }
  return words;
}
