//! Messages of a device: writing one, and what became of each.

import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { api, told } from '../api';
import { hubNow, now } from '../clock';
import { reasonOf } from '../events';
import { isCurrent, isPast, live, remember, resync } from '../hub';
import { moment, t, tn, whole, word } from '../i18n';
import { byteLength, latest, MAX_TEXT, nameOf as nameOfMessage, steps, withMessage, withNews } from '../messages';
import { nameOf } from '../store';
import { keep, recall } from '../stored';
import { quoted } from '../text';
import type { Device, Message, MessageNews } from '../types';
import { Foreign } from './basic';

const TTL = [['', 'never'], ['600', 'minutes'], ['3600', 'hour'], ['86400', 'day']] as const;
/** Who the hub says the messages of a dashboard are from. */
const OURS = 'dashboard';
/** How long a broker keeps the session of a device that is away: a device asks for that with MQTT 5. */
const KEPT_MS = 3600_000;
const AT_FIRST = 5;
const LIMIT = 50;

export function Messages({ device }: { device: Device }): JSX.Element {
  const key = device.key;
  const [list, setList] = useState<Message[]>([]);
  const [all, setAll] = useState(false);
  const [news, setNews] = useState('');

  useEffect(() => live.on('message', (data) => {
    const told = data as MessageNews;
    if (told.key !== key) return;
    setList((before) => {
      const after = withNews(before, told);
      const message = told.id === null ? undefined : after.find(({ id }) => id === told.id);
      if (message && told.state !== undefined) {
        const text = quoted(message.text || String(message.id), 40);
        setNews(t('message.news', { text, state: quoted(word('message', told.state), 40) }));
      }
      return after;
    });
  }), [key]);

  const missed = resync.value;
  useEffect(() => {
    let gone = false;
    void (async () => {
      let fetched: Message[] | undefined;
      if (isCurrent()) {
        fetched = await api.messages(key, LIMIT).catch(() => undefined);
        if (fetched) void keep(`messages:${key}`, fetched);
      }
      fetched ??= await recall<Message[]>(`messages:${key}`);
      // What came live meanwhile is newer, and is not lost.
      if (!gone && fetched) setList((before) => before.reduce(withMessage, fetched));
    })();
    return () => {
      gone = true;
    };
  }, [key, missed]);

  const shown = all ? list : list.slice(0, AT_FIRST);
  return (
    <section class="panel" aria-labelledby="messages-title">
      <h2 id="messages-title">{t('message.title')}</h2>
      <Write
        device={device}
        onSent={(id, text) => {
          remember(id);
          setList((before) => withMessage(before, { id, from: null, text, at_ms: hubNow(), states: [] }));
        }}
      />
      <p class="sr" role="status">{news}</p>
      {list.length === 0 ? <p class="quiet">{t('message.none')}</p> : (
        <ul class="messages">
          {shown.map((message) => <Sent key={nameOfMessage(message)} message={message} />)}
        </ul>
      )}
      {list.length > AT_FIRST && !all && (
        <button type="button" class="plain" onClick={() => setAll(true)}>{t('events.more')}</button>
      )}
    </section>
  );
}

function Write({ device, onSent }: { device: Device; onSent: (id: string, text: string) => void }): JSX.Element {
  const [text, setText] = useState('');
  const [ttl, setTtl] = useState('');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const left = MAX_TEXT - byteLength(text);

  async function submit(event: Event): Promise<void> {
    event.preventDefault();
    if (busy || left < 0 || text.trim() === '') return;
    setBusy(true);
    setError(null);
    try {
      onSent(await api.send(device.key, text, ttl === '' ? null : Number(ttl)), text);
      setText('');
    } catch (problem) {
      setError(told(problem));
    }
    setBusy(false);
  }

  return (
    <form class="write" onSubmit={(event) => void submit(event)}>
      <label for="message-text">{t('message.text', { name: quoted(nameOf(device), 80) })}</label>
      <textarea
        id="message-text"
        rows={2}
        value={text}
        dir="auto"
        onInput={(event) => setText(event.currentTarget.value)}
        aria-describedby="message-left message-away message-error"
        aria-invalid={left < 0}
      />
      <div class="row wrap">
        <label class="inline">
          {t('message.ttl')}
          <select value={ttl} onChange={(event) => setTtl(event.currentTarget.value)}>
            {TTL.map(([seconds, name]) => <option key={name} value={seconds}>{t(`message.ttl.${name}`)}</option>)}
          </select>
        </label>
        <span id="message-left" class={left < 0 ? 'bad small' : 'quiet small'}>
          {left < 0 ? tn('message.over', -left) : left < 100 ? tn('message.left', left) : ''}
        </span>
        <button type="submit" class="primary push" disabled={busy || left < 0 || text.trim() === ''}>
          {busy ? t('message.sending') : t('message.send')}
        </button>
      </div>
      {device.status === 'offline' && !isPast() && (
        <p id="message-away" class="quiet small">
          {t(device.since_ms !== null && now.value - device.since_ms > KEPT_MS ? 'message.away.long' : 'message.away')}
        </p>
      )}
      <p id="message-error" role="alert" class="bad">{error}</p>
    </form>
  );
}

function Sent({ message }: { message: Message }): JSX.Element {
  const line = steps(message);
  const end = latest(message);
  return (
    <li class="message" data-state={end?.state ?? 'sent'}>
      <p class="message-text" dir="auto"><Foreign text={message.text || (message.id ?? '')} most={1000} /></p>
      <p class="quiet small">
        <time dateTime={new Date(message.at_ms).toISOString()} title={whole(message.at_ms)}>{moment(message.at_ms, now.value)}</time>
        {message.from !== null && <> · {message.from === OURS ? t('message.ours') : t('message.from', { from: quoted(message.from, 80) })}</>}
      </p>
      <ol class="steps" aria-label={t('message.steps')}>
        {line.filter((step) => step.reached || !end || end.state !== 'read').map((step) => (
          <li key={step.state} class={`${step.reached ? 'reached' : 'ahead'} ${step.bad ? 'bad' : ''}`}>
            <span aria-hidden={!step.reached}><Foreign text={word('message', step.state)} most={40} /></span>
            {step.at_ms !== null && step.state !== 'sent' && (
              <time class="small" dateTime={new Date(step.at_ms).toISOString()}>{moment(step.at_ms, now.value)}</time>
            )}
          </li>
        ))}
      </ol>
      {line.filter((step) => step.bad && step.reason).map((step) => (
        <p key={step.state} class="bad small">{reasonOf(step.reason)}</p>
      ))}
    </li>
  );
}
