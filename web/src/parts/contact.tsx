//! When there was contact, and why not.

import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { hubNow, now } from '../clock';
import { decimal, moment, span, t, tn, whole, word } from '../i18n';
import type { Outage } from '../types';
import { Choice, Foreign } from './basic';
import { RANGES } from './window';

export interface Piece {
  from: number;
  to: number;
  outage: Outage | null;
}

/** The outages that touch a time, cut to it. One that goes on is among them, even if it began after what we take for now. */
export function cut(outages: Outage[], from: number, to: number, nowMs: number): Piece[] {
  return outages
    .map((outage) => ({ from: Math.min(Math.max(outage.from_ms, from), to), to: Math.min(outage.to_ms ?? nowMs, to), outage }))
    .filter((piece) => piece.to > piece.from || piece.outage.to_ms === null)
    .sort((a, b) => a.from - b.from);
}

/** Which part of the time had contact; outages that overlap count once. */
export function shareOf(pieces: Piece[], from: number, to: number): number {
  let without = 0;
  let reached = from;
  for (const piece of pieces) {
    without += Math.max(0, piece.to - Math.max(piece.from, reached));
    reached = Math.max(reached, piece.to);
  }
  return to > from ? 1 - without / (to - from) : 1;
}

/** Rounded towards what is worse: an outage is never 100 %. */
export function percent(share: number): number {
  if (share >= 1) return 100;
  return Math.min(99.99, Math.floor(share * 10_000) / 100);
}

const AT_FIRST = 6;
const NAMES = ['day', 'week', 'month'] as const;
type Name = (typeof NAMES)[number];

export function ContactHistory({ outages, firstMs }: { outages: Outage[]; firstMs: number }): JSX.Element {
  const [range, setRange] = useState<Name>('week');
  const [all, setAll] = useState(false);
  now.value;
  const to = hubNow();
  const from = Math.max(to - RANGES[range], Math.min(firstMs, to - 60_000));
  const pieces = cut(outages, from, to, to);
  const share = t('contact.share', { percent: decimal(percent(shareOf(pieces, from, to)), 2) });
  const number = pieces.length === 0 ? t('contact.none') : tn('contact.outages', pieces.length);
  const newest = [...pieces].reverse();
  return (
    <section class="panel" aria-labelledby="contact-title">
      <div class="panel-head">
        <h2 id="contact-title">{t('contact.title')}</h2>
        <Choice
          label={t('contact.range')}
          value={range}
          onChange={setRange}
          options={NAMES.map((name) => [name, t(`chart.${name}`)] as const)}
        />
      </div>
      <p>{share}{pieces.length > 0 && <> · {number}</>}</p>
      <svg
        class="bar"
        viewBox="0 0 1000 20"
        preserveAspectRatio="none"
        role="img"
        aria-label={t('contact.bar', { from: whole(from), to: whole(to), share, outages: number })}
      >
        <rect class="bar-good" width="1000" height="20" />
        {pieces.map((piece) => {
          const width = Math.max(2, ((piece.to - piece.from) / (to - from)) * 1000);
          const x = Math.min(1000 - width, ((piece.from - from) / (to - from)) * 1000);
          return <rect key={piece.from} class="bar-bad" x={x} width={width} height="20"><title>{`${whole(piece.from)}, ${span(piece.to - piece.from)}`}</title></rect>;
        })}
      </svg>
      <p class="row quiet small bar-ends"><span>{moment(from, to)}</span><span class="push">{t('chart.now')}</span></p>
      {pieces.length === 0 ? <p class="quiet">{t('contact.none')}</p> : (
        <table>
          <thead>
            <tr><th scope="col">{t('contact.from')}</th><th scope="col">{t('contact.long')}</th><th scope="col">{t('contact.cause')}</th></tr>
          </thead>
          <tbody>
            {(all ? newest : newest.slice(0, AT_FIRST)).map(({ outage }) => outage && (
              <tr key={outage.from_ms}>
                <td><time dateTime={new Date(outage.from_ms).toISOString()} title={whole(outage.from_ms)}>{moment(outage.from_ms, to)}</time></td>
                <td class={outage.to_ms === null ? 'bad' : 'number'}>
                  {span((outage.to_ms ?? to) - outage.from_ms)}{outage.to_ms === null && <>, {t('contact.still')}</>}
                </td>
                <td><Foreign text={word('cause', outage.cause ?? 'null')} /></td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {newest.length > AT_FIRST && !all && (
        <button type="button" class="plain" onClick={() => setAll(true)}>{t('contact.all')}</button>
      )}
    </section>
  );
}
