import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { api, told } from '../api';
import { hubNow, now } from '../clock';
import { describe } from '../events';
import { fromMemory, isCurrent, isPast, live, removeDevice, resync } from '../hub';
import { bytes, count, measured, moment, span, t, tn, whole, word } from '../i18n';
import { tell } from '../notice';
import { Age, Dialog, Foreign, Icon, Loading, Title, useLoaded } from '../parts/basic';
import { Chart } from '../parts/chart';
import { ContactHistory } from '../parts/contact';
import { LampSwitch } from '../parts/lamp';
import { Messages } from '../parts/messages';
import { RANGES } from '../parts/window';
import { deviceLink, go } from '../router';
import { nameOf, store } from '../store';
import { keep, recall } from '../stored';
import { quoted } from '../text';
import type { Device, DeviceEvent, Gap, Outage } from '../types';
import { isOld } from './devices';

export function DevicePage({ id }: { id: string }): JSX.Element {
  // A device that appears later has no signal yet: then the list tells.
  store.shape.value;
  const device = store.signal(id)?.value;
  const about = useAbout(id, device && `${device.status} ${device.gaps} ${device.lost}`);
  if (!device) {
    return (
      <>
        <Back />
        <Title text={quoted(id, 80)} />
        {store.loaded.value && (live.state.value === 'live' || fromMemory.value) ? <p class="empty">{t('manage.gone')}</p> : <Loading />}
      </>
    );
  }
  const status = device.status ?? 'null';
  const old = isOld(id, device.status, device.sensor, device.taken_ms);
  now.value;
  return (
    <>
      <Back />
      <div class="head">
        <Title text={quoted(nameOf(device), 80)}><Foreign text={nameOf(device)} most={80} /></Title>
        <p class={`status ${isPast() ? 'unsure' : status}`}>
          <span class="dot" aria-hidden="true" />
          <strong>{t(`status.${status}`)}</strong>
          {!isPast() && device.status !== null && device.since_ms !== null && (
            <span class="quiet">{t(`since.${device.status}`, { span: span(hubNow() - device.since_ms) })}</span>
          )}
        </p>
      </div>
      <div class="device">
        <section class={`panel values-large ${old ? 'old' : ''}`} aria-label={`${t('value.t')}, ${t('value.h')}`}>
          <p><span class="sr">{t('value.t')}</span><span class="huge" data-value="t">{measured(device.t)}<small>°C</small></span></p>
          <p><span class="sr">{t('value.h')}</span><span class="huge second" data-value="h">{measured(device.h)}<small>%</small></span></p>
          <p class="quiet taken">
            {device.taken_ms === null ? t('value.none') : <Taken at={device.taken_ms} />}
            {old && device.taken_ms !== null && <strong class="tag">{t('value.old')}</strong>}
            {device.sensor !== null && device.sensor !== 'ok' && (
              <span class="bad"> {t('sensor.label')} {t(`sensor.${device.sensor}`)}</span>
            )}
          </p>
        </section>
        <LampSwitch device={device} />
        <Chart id={id} firstMs={device.first_ms} outages={about.outages} />
        <div class="column">
          <Messages device={device} />
          <ContactHistory outages={about.outages} firstMs={device.first_ms} />
          <Gaps device={device} list={about.gaps} />
        </div>
        <div class="column">
          <Figures device={device} />
          <Events id={id} />
          <Manage device={device} />
        </div>
      </div>
    </>
  );
}

const Back = (): JSX.Element => (
  <a class="back" href="/" data-page="devices"><Icon name="back" />{t('nav.back')}</a>
);

function Taken({ at }: { at: number }): JSX.Element {
  const [before, after] = t('value.taken', { ago: '\0' }).split('\0');
  return <span>{before}<Age at={at} />{after}</span>;
}

interface About {
  outages: Outage[];
  gaps: Gap[];
}

/** What of a device is not told live: fetched at first, after we missed something, and when `state` changes. */
function useAbout(id: string, state: string | undefined): About {
  const [about, setAbout] = useState<About>({ outages: [], gaps: [] });
  const missed = resync.value;
  useEffect(() => {
    if (state === undefined) return undefined;
    let gone = false;
    void (async () => {
      let fetched: About | undefined;
      if (isCurrent()) {
        const [outages, whole_] = await Promise.all([
          api.outages(id, Math.round(hubNow() - RANGES.year)).catch(() => undefined),
          api.device(id).catch(() => undefined),
        ]);
        if (outages && whole_) {
          fetched = { outages, gaps: whole_.gaps_list };
          void keep(`about:${id}`, fetched);
        }
      }
      fetched ??= await recall<About>(`about:${id}`);
      if (!gone && fetched) setAbout(fetched);
    })();
    return () => {
      gone = true;
    };
  }, [id, missed, state]);
  return about;
}

function Gaps({ device, list }: { device: Device; list: Gap[] }): JSX.Element {
  return (
    <section class="panel" aria-labelledby="gaps-title">
      <h2 id="gaps-title">{t('gaps.title')}</h2>
      {device.gaps === 0 && device.lost === 0 && list.length === 0 ? <p class="quiet">{t('gaps.none')}</p> : (
        <>
          <p>{tn('gaps.missing', device.gaps)}{device.lost > 0 && <>, {tn('gaps.lost', device.lost)}</>}.</p>
          {list.length > 0 && (
            <table>
              <thead>
                <tr>
                  <th scope="col">{t('gaps.numbers')}</th><th scope="col">{t('gaps.count')}</th><th scope="col">{t('gaps.what')}</th>
                </tr>
              </thead>
              <tbody>
                {list.slice(0, 20).map((gap) => (
                  <tr key={`${gap.life}:${gap.first}`}>
                    <td>{count(gap.first)}{gap.last > gap.first && <>–<wbr />{count(gap.last)}</>}</td>
                    <td class="number">{count(gap.last - gap.first + 1)}</td><td>{t(gap.lost ? 'gaps.given' : 'gaps.awaited')}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          )}
        </>
      )}
    </section>
  );
}

function Figures({ device }: { device: Device }): JSX.Element {
  const { diag } = device;
  const text = (value: string): string => quoted(value, 80);
  const counters = (group: string, values: Record<string, number> | undefined): string | null => {
    if (!values) return null;
    const there = Object.entries(values).filter(([, value]) => value > 0);
    const sum = there.reduce((all, [, value]) => all + value, 0);
    return sum === 0 ? count(0) : `${count(sum)} (${there.map(([name, value]) => `${text(word(group, name))} ${count(value)}`).join(', ')})`;
  };
  const rows: [string, ComponentChildren][] = [];
  const row = (name: string, value: ComponentChildren): void => {
    if (value !== null && value !== undefined) rows.push([name, value]);
  };
  if (diag) {
    row(t('figures.uptime'), diag.uptime_s === undefined ? null : span(diag.uptime_s * 1000));
    row(t('figures.boot'), diag.boot === undefined ? null : count(diag.boot));
    row(t('figures.reset'), diag.reset === undefined ? null : text(word('reset', diag.reset)));
    row(t('figures.mode'), diag.mode === undefined ? null : <span class="bad">{text(word('mode', diag.mode))}</span>);
    row(t('figures.rssi'), diag.rssi_dbm === undefined ? null : `${count(diag.rssi_dbm)}\u00a0dBm`);
    row(
      t('figures.free'),
      diag.free === undefined ? null
        : bytes(diag.free) + (diag.free_min === undefined ? '' : ` (${t('figures.free_min', { bytes: bytes(diag.free_min) })})`),
    );
    // A device that wants confirmations keeps what was delivered, too, until it is stored.
    row(t('figures.outbox'), diag.outbox === undefined ? null : (
      <>{count(diag.outbox)}{diag.outbox > 0 && <span class="quiet small"> {t('figures.outbox.hint')}</span>}</>
    ));
    row(t('figures.reconnects'), counters('reconnects', diag.reconnects));
    row(t('figures.dropped'), counters('dropped', diag.dropped));
    row(t('figures.version'), diag.version === undefined ? null : text(diag.version));
  }
  row(t('figures.first'), whole(device.first_ms));
  row(t('figures.topic'), <code><Foreign text={device.key} /></code>);
  return (
    <section class="panel" aria-labelledby="figures-title">
      <h2 id="figures-title">{t('figures.title')}</h2>
      {!diag && <p class="quiet">{t('figures.none')}</p>}
      <dl class="figures">
        {rows.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}
      </dl>
      {diag?.at_ms !== undefined && <p class="quiet small">{t('figures.at')} <Age at={diag.at_ms} /></p>}
    </section>
  );
}

const FIRST_EVENTS = 8;
const MOST_EVENTS = 1000;

function Events({ id }: { id: string }): JSX.Element {
  const [limit, setLimit] = useState(FIRST_EVENTS);
  const [news, setNews] = useState(0);
  useEffect(() => {
    // One fetch for what comes together.
    let timer: ReturnType<typeof setTimeout> | undefined;
    const heard = (data: unknown): void => {
      if ((data as { key: string }).key !== id || timer !== undefined) return;
      timer = setTimeout(() => {
        timer = undefined;
        setNews((before) => before + 1);
      }, 500);
    };
    const off = (['device', 'message', 'answer', 'morse'] as const).map((kind) => live.on(kind, heard));
    return () => {
      for (const remove of off) remove();
      clearTimeout(timer);
    };
  }, [id]);
  const { value } = useLoaded(async () => {
    if (isCurrent()) {
      const events = await api.events(id, limit).catch(() => undefined);
      if (events) {
        void keep(`events:${id}`, events);
        return events;
      }
    }
    return (await recall<DeviceEvent[]>(`events:${id}`)) ?? [];
  }, [id, limit, news, resync.value]);
  return (
    <section class="panel" aria-labelledby="events-title">
      <h2 id="events-title">{t('events.title')}</h2>
      {value !== null && value.length === 0 && <p class="quiet">{t('events.none')}</p>}
      <ol class="events">
        {(value ?? []).map((event, index) => (
          <li key={`${event.at_ms}:${index}`}>
            <time class="quiet" dateTime={new Date(event.at_ms).toISOString()} title={whole(event.at_ms)}>{moment(event.at_ms, now.value)}</time>
            <span class="what">
              <span class="kind"><Foreign text={word('kind', event.kind)} most={40} /></span>
              <Foreign text={describe(event)} />
            </span>
          </li>
        ))}
      </ol>
      {value !== null && value.length >= limit && limit < MOST_EVENTS && (
        <button type="button" class="plain" onClick={() => setLimit(Math.min(limit + 50, MOST_EVENTS))}>{t('events.more')}</button>
      )}
    </section>
  );
}

function Manage({ device }: { device: Device }): JSX.Element {
  const [title, setTitle] = useState<string | null>(null);
  const [asking, setAsking] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const name = quoted(nameOf(device), 80);
  const field = useRef<HTMLInputElement>(null);
  const renaming = title !== null;
  useEffect(() => {
    if (renaming) field.current?.focus();
  }, [renaming]);

  async function act(work: () => Promise<void>): Promise<void> {
    setBusy(true);
    setError(null);
    try {
      await work();
    } catch (problem) {
      setError(told(problem));
    }
    setBusy(false);
  }
  const rename = (): Promise<void> => act(async () => {
    store.change(await api.rename(device.key, title?.trim() || null));
    setTitle(null);
    tell(t('manage.renamed'));
  });
  const remove = (): Promise<void> => act(async () => {
    await removeDevice(device.key);
    setAsking(false);
    if (location.search === new URL(deviceLink(device.key), location.href).search) go('/', true);
    tell(t('manage.removed', { name }));
  });

  return (
    <section class="panel" aria-labelledby="manage-title">
      <h2 id="manage-title">{t('manage.title')}</h2>
      {title === null ? (
        <div class="row wrap">
          <button type="button" onClick={() => setTitle(device.title ?? '')}>{t('manage.rename')}</button>
          <button type="button" class="danger" onClick={() => setAsking(true)}>{t('manage.remove')}</button>
        </div>
      ) : (
        <form onSubmit={(event) => {
          event.preventDefault();
          void rename();
        }}>
          <label for="title">{t('manage.name')}</label>
          <input
            id="title"
            ref={field}
            type="text"
            maxLength={64}
            dir="auto"
            value={title}
            onInput={(event) => setTitle(event.currentTarget.value)}
            onKeyDown={(event) => event.key === 'Escape' && setTitle(null)}
            aria-describedby="title-hint"
          />
          <p id="title-hint" class="quiet small">{t('manage.name.hint', { id: quoted(device.id, 80) })}</p>
          <div class="row">
            <button type="submit" class="primary" disabled={busy}>{t('manage.save')}</button>
            <button type="button" onClick={() => setTitle(null)}>{t('manage.cancel')}</button>
          </div>
        </form>
      )}
      {asking && (
        <Dialog title={t('manage.remove.title', { name })} onClose={() => setAsking(false)}>
          <p>{t('manage.remove.text')}</p>
          <p role="alert" class="bad">{error}</p>
          <div class="row">
            <button type="button" onClick={() => setAsking(false)}>{t('manage.cancel')}</button>
            <button type="button" class="danger push" disabled={busy} onClick={() => void remove()}>{t('manage.remove.yes')}</button>
          </div>
        </Dialog>
      )}
      {!asking && error !== null && <p role="alert" class="bad">{error}</p>}
    </section>
  );
}
