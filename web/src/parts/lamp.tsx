//! The lamp's switch: it shows what the device says, never what was wished.

import type { JSX } from 'preact';
import { reasonOf } from '../events';
import { isPast, lamps } from '../hub';
import { span, t } from '../i18n';
import { ANSWER_MS, type LampPhase } from '../lamp';
import type { Device, Lamp } from '../types';
import { Icon } from './basic';

function outcome(phase: LampPhase): { text: string; bad: boolean } | null {
  switch (phase.phase) {
    case 'idle':
      return null;
    case 'pending':
      return { text: t(`lamp.pending.${phase.wanted}`), bad: false };
    case 'done':
      return { text: t(`lamp.done.${phase.wanted}`), bad: false };
    case 'refused':
      return { text: t('lamp.refused', { reason: reasonOf(phase.reason) }), bad: true };
    case 'silent':
      return { text: t('lamp.silent', { span: span(ANSWER_MS) }), bad: true };
    case 'failed':
      return { text: t('lamp.failed', { message: phase.message }), bad: true };
  }
}

export function LampSwitch({ device }: { device: Device }): JSX.Element {
  const phase = lamps.of(device.key).value;
  const pending = phase.phase === 'pending';
  // A command is worth nothing after half a minute: it would be lost, and nobody would say so.
  const away = device.status === 'offline' && !isPast();
  const blocked = pending || away;
  const told = outcome(phase);
  const command = (wanted: Lamp): void => void lamps.command(device.key, wanted);
  return (
    <section class="panel lamp" aria-labelledby="lamp-title">
      <div class="row">
        <h2 id="lamp-title"><Icon name="lamp" />{t('lamp.label')}</h2>
        <span class={`push lamp-state ${device.lamp === 'on' ? 'lit' : 'quiet'}`}>{t(`lamp.${device.lamp ?? 'null'}`)}</span>
        {device.lamp === null ? (
          <span class="choice">
            {(['on', 'off'] as const).map((wanted) => (
              <button key={wanted} type="button" disabled={blocked} aria-describedby="lamp-outcome" onClick={() => command(wanted)}>
                {t(`lamp.turn.${wanted}`)}
              </button>
            ))}
          </span>
        ) : (
          <button
            type="button"
            class={`switch ${pending ? 'pending' : ''}`}
            role="switch"
            aria-checked={device.lamp === 'on'}
            aria-labelledby="lamp-title"
            aria-describedby="lamp-outcome"
            aria-busy={pending}
            // Not disabled, which would take the focus away from whoever uses the keyboard.
            aria-disabled={blocked}
            onClick={() => !blocked && command(device.lamp === 'on' ? 'off' : 'on')}
          >
            <span class="thumb" />
          </button>
        )}
      </div>
      <p id="lamp-outcome" role="status" class={`outcome ${told?.bad ? 'bad' : 'quiet'}`} data-phase={phase.phase}>
        {[told?.text, away ? t('lamp.away') : !told && device.lamp !== null && t('lamp.idle')].filter(Boolean).join(' ')}
      </p>
    </section>
  );
}
