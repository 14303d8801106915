//! Choosing several devices, to remove them in one step.

import type { JSX } from 'preact';
import { useRef, useState } from 'preact/hooks';
import { told } from '../api';
import { removeDevice } from '../hub';
import { t, tn } from '../i18n';
import { tell } from '../notice';
import { Dialog, Foreign } from '../parts/basic';
import { removeAll } from '../removal';
import { nameOf } from '../store';
import type { Device } from '../types';

/** So many are named in the question; the others are counted. */
const NAMED = 5;

export type Chosen = ReadonlySet<string>;

/** What is done with the chosen: `shown` are the devices that the search leaves. */
export function Choosing(props: {
  shown: Device[];
  chosen: Device[];
  onChoose: (chosen: Chosen) => void;
  onEnd: () => void;
}): JSX.Element {
  const { shown, chosen, onChoose } = props;
  const [asking, setAsking] = useState(false);
  const keys = (devices: Device[]): Chosen => new Set(devices.map((device) => device.key));
  return (
    <div class="row wrap tools-2" role="group" aria-label={t('choose.label')}>
      <strong role="status">{tn('choose.chosen', chosen.length)}</strong>
      <button type="button" onClick={() => onChoose(keys(shown))}>{t('choose.all')}</button>
      <button type="button" onClick={() => onChoose(keys(shown.filter((device) => device.status === 'offline')))}>
        {t('choose.offline')}
      </button>
      <button type="button" disabled={chosen.length === 0} onClick={() => onChoose(new Set())}>{t('choose.none')}</button>
      <span class="row push">
        <button type="button" class="danger" disabled={chosen.length === 0} onClick={() => setAsking(true)}>{t('choose.remove')}</button>
        <button type="button" onClick={props.onEnd}>{t('choose.end')}</button>
      </span>
      {asking && <Question devices={chosen} onClose={() => setAsking(false)} onDone={props.onEnd} />}
    </div>
  );
}

function Question(props: { devices: Device[]; onClose: () => void; onDone: () => void }): JSX.Element {
  // Those that were asked about: as they go, the list would shrink under the question.
  const devices = useRef(props.devices).current;
  const [done, setDone] = useState<number | null>(null);
  const [error, setError] = useState<string | null>(null);
  const stop = useRef(new AbortController());
  const online = devices.filter((device) => device.status === 'online').length;
  const more = devices.length - NAMED;

  async function remove(): Promise<void> {
    setDone(0);
    setError(null);
    const removal = await removeAll(devices.map((device) => device.key), removeDevice, setDone, stop.current.signal);
    if (removal.done > 0) tell(tn('choose.removed', removal.done));
    // Stopped: the dialog may be gone already, and those that are left are still chosen.
    if (stop.current.signal.aborted) props.onClose();
    else if (removal.problem === null) props.onDone();
    else {
      setDone(null);
      setError(`${tn('choose.failed', devices.length - removal.done)} ${told(removal.problem)}`);
    }
  }
  function close(): void {
    stop.current.abort();
    // While something is on its way, its end closes the question.
    if (done === null) props.onClose();
  }

  return (
    <Dialog title={tn('choose.remove.title', devices.length)} onClose={close}>
      <p>
        {devices.slice(0, NAMED).map((device, index) => (
          <span key={device.key}>{index > 0 && ', '}<Foreign text={nameOf(device)} most={80} /></span>
        ))}
        {more > 0 && <> {tn('choose.more', more)}</>}
      </p>
      <p>{t('choose.remove.text')}</p>
      {online > 0 && <p>{tn('choose.remove.online', online)}</p>}
      <p role="status">{done !== null && t('choose.progress', { done: String(done), total: String(devices.length) })}</p>
      <p role="alert" class="bad">{error}</p>
      <div class="row">
        <button type="button" onClick={close}>{t(done === null ? 'manage.cancel' : 'choose.stop')}</button>
        {error === null && (
          <button type="button" class="danger push" disabled={done !== null} onClick={() => void remove()}>{t('manage.remove.yes')}</button>
        )}
      </div>
    </Dialog>
  );
}
