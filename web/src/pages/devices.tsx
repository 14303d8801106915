import { useComputed } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { now } from '../clock';
import { isPast, live } from '../hub';
import { locale, measured, t, tn } from '../i18n';
import { Age, Foreign, Icon, Loading, Title } from '../parts/basic';
import { Spark } from '../parts/spark';
import { Virtual } from '../parts/virtual';
import { deviceLink } from '../router';
import { listed, nameOf, pace, store, type Sorting } from '../store';
import { quoted } from '../text';
import { Choosing, type Chosen } from './choosing';

const STORED = 'aldis.sorting';

export function Devices(): JSX.Element {
  const [find, setFind] = useState('');
  const [sorting, setSorting] = useState<Sorting>(localStorage.getItem(STORED) === 'name' ? 'name' : 'trouble');
  useEffect(() => localStorage.setItem(STORED, sorting), [sorting]);
  // Nothing, while nobody chooses.
  const [chosen, setChosen] = useState<Chosen | null>(null);
  const chooser = useRef<HTMLButtonElement>(null);
  const choosing = chosen !== null;
  const chose = useRef(false);
  useEffect(() => {
    // What had the focus is gone with the boxes and the question.
    if (chose.current && !choosing) chooser.current?.focus();
    chose.current = choosing;
  }, [choosing]);
  const devices = store.all.value;
  const shown = listed(devices, find, sorting, locale.value);
  const offline = devices.filter((device) => device.status === 'offline').length;
  const online = devices.filter((device) => device.status === 'online').length;
  function choose(key: string): void {
    const next = new Set(chosen);
    if (!next.delete(key)) next.add(key);
    setChosen(next);
  }
  return (
    <>
      <div class="head">
        <Title text={t('devices.title')} />
        {devices.length > 0 && (
          <p class="quiet">
            {tn('devices.online', online)}
            {offline > 0 && <>, <span class="bad">{tn('devices.offline', offline)}</span></>}
          </p>
        )}
      </div>
      {devices.length > 1 && (
        <div class="tools">
          <input
            type="search"
            aria-label={t('devices.find')}
            placeholder={t('devices.find')}
            value={find}
            onInput={(event) => setFind(event.currentTarget.value)}
          />
          <select
            aria-label={t('devices.sort')}
            value={sorting}
            onChange={(event) => setSorting(event.currentTarget.value as Sorting)}
          >
            <option value="trouble">{t('devices.sort.trouble')}</option>
            <option value="name">{t('devices.sort.name')}</option>
          </select>
          <button ref={chooser} type="button" aria-pressed={choosing} onClick={() => setChosen(chosen === null ? new Set() : null)}>
            {t('choose.start')}
          </button>
        </div>
      )}
      {chosen !== null && (
        <Choosing
          shown={shown}
          // What is gone meanwhile is not chosen any more.
          chosen={devices.filter((device) => chosen.has(device.key))}
          onChoose={setChosen}
          onEnd={() => setChosen(null)}
        />
      )}
      <p class="sr" role="status">{find !== '' && tn('devices.count', shown.length)}</p>
      {!store.loaded.value ? (live.state.value === 'away' ? null : <Loading />) : devices.length === 0 ? (
        <div class="empty">
          <p>{t('devices.none')}</p>
          <p class="quiet">{t('devices.none.hint')}</p>
          <pre tabIndex={0}>aldis device --id kitchen</pre>
        </div>
      ) : shown.length === 0 ? <p class="empty">{t('devices.nomatch')}</p> : (
        <Virtual
          items={shown}
          rowHeight={128}
          columnWidth={300}
          gap={12}
          label={t('devices.title')}
          id={(device) => device.key}
          render={(device) => <Card id={device.key} chosen={chosen?.has(device.key) ?? null} onChoose={choose} />}
        />
      )}
    </>
  );
}

/** Whether values are of the past, so that nobody takes them for the present. */
export function isOld(key: string, status: string | null, sensor: string | null, takenMs: number | null): boolean {
  return (
    isPast() ||
    status === 'offline' ||
    (sensor !== null && sensor !== 'ok') ||
    (takenMs !== null && now.value - takenMs > pace.limit(key))
  );
}

/** A device at a glance: a link to its page, or where several are chosen (`chosen` is no null) a box to tick. */
function Card({ id, chosen, onChoose }: { id: string; chosen: boolean | null; onChoose: (id: string) => void }): JSX.Element | null {
  const device = store.signal(id)?.value;
  const old = useComputed(() => {
    const device = store.signal(id)?.value;
    return !!device && isOld(id, device.status, device.sensor, device.taken_ms);
  });
  if (!device) return null;
  const status = device.status ?? 'null';
  const kind = `card ${isPast() ? 'unsure' : status}`;
  const glance = (
    <>
      <span class="card-head">
        {chosen !== null && (
          <input type="checkbox" aria-label={quoted(nameOf(device), 80)} checked={chosen} onChange={() => onChoose(id)} />
        )}
        <span class="dot" aria-hidden="true" />
        <strong><Foreign text={nameOf(device)} most={80} /></strong>
        {device.lamp === 'on' && (
          <span class="lit"><Icon name="lamp" /><span class="sr">{t('lamp.label')} {t('lamp.on')}</span></span>
        )}
      </span>
      <span class="card-body">
        <span class={`values ${old.value ? 'old' : ''}`}>
          <span class="big"><span class="sr">{t('value.t')} </span>{measured(device.t)}<small>°C</small></span>
          <span class="mid"><span class="sr">{t('value.h')} </span>{measured(device.h)}<small>%</small></span>
          {old.value && device.taken_ms !== null && <span class="sr">{t('value.old')}</span>}
        </span>
        <Spark id={id} />
      </span>
      <span class="card-foot">
        <span class={status === 'offline' ? 'bad' : ''}>{t(`status.${status}`)}</span>
        {device.sensor !== null && device.sensor !== 'ok' && (
          <span class="bad">{t('sensor.label')} {t(`sensor.${device.sensor}`)}</span>
        )}
        <span class="age">{device.taken_ms === null ? t('value.none') : <Age at={device.taken_ms} />}</span>
      </span>
    </>
  );
  return chosen === null
    ? <a class={kind} href={deviceLink(id)} data-page="device" data-key={id}>{glance}</a>
    : <label class={kind} data-key={id}>{glance}</label>;
}
