import { useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { api, told } from '../api';
import { now } from '../clock';
import { live } from '../hub';
import { count, moment, t, tn, whole } from '../i18n';
import { byteLength } from '../messages';
import { tell } from '../notice';
import { Choice, Foreign, Title } from '../parts/basic';
import { Virtual } from '../parts/virtual';
import { quoted, visible } from '../text';
import { base64Length, isFilter, isTopic, pretty, TopicTable, type Row, type Topic } from '../topics';
import type { TopicMessage } from '../types';

const LIMIT = 5000;
/** While paused so many messages wait at most; the rest is only counted. */
const MOST_WAITING = 5000;
/** Of a payload so much is shown when it is opened. */
const MOST_SHOWN = 20_000;

export function Topics(): JSX.Element {
  const table = useRef(new TopicTable());
  const [filter, setFilter] = useState('#');
  const [typed, setTyped] = useState('#');
  const [view, setView] = useState<'tree' | 'list'>('tree');
  const [closed, setClosed] = useState<ReadonlySet<string>>(new Set());
  const [chosen, setChosen] = useState<string | null>(null);
  // Anew each time, so that one that was changed since is taken again.
  const [target, setTarget] = useState<{ topic: string } | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const version = useSignal(0);
  const dropped = useSignal(0);
  const paused = useSignal(false);
  const waiting = useRef<TopicMessage[]>([]);
  const waits = useSignal(0);

  const drawn = useRef(false);
  const draw = (): void => {
    if (drawn.current) return;
    drawn.current = true;
    // Ten times a second is as fast as anybody reads.
    setTimeout(() => {
      drawn.current = false;
      version.value += 1;
    }, 100);
  };

  const state = live.state.value;
  const there = state === 'live';
  useEffect(() => {
    if (!there) return undefined;
    let source: EventSource | null = null;
    let gone = false;
    // After the stream is open, each time: what comes in between would be in neither.
    let asked = false;
    const fetchAll = (): void => {
      asked = true;
      api.topics(filter, LIMIT).then(
        ({ topics, refused }) => {
          if (gone) return;
          setProblem(refused ? t('topics.refused', { why: quoted(refused, 200) }) : null);
          for (const message of topics) table.current.take(message, table.current.get(message.topic) ? 0 : 1);
          draw();
        },
        (error: unknown) => !gone && setProblem(told(error)),
      );
    };
    const open = (): void => {
      source = new EventSource(`/api/topics/live?filter=${encodeURIComponent(filter)}`);
      source.addEventListener('topic', (event) => {
        const message = JSON.parse(event.data as string) as TopicMessage;
        if (paused.peek()) {
          waits.value += 1;
          if (waiting.current.length < MOST_WAITING) waiting.current.push(message);
          return;
        }
        if (!table.current.take(message)) dropped.value += 1;
        draw();
      });
      source.addEventListener('dropped', (event) => {
        dropped.value += (JSON.parse(event.data as string) as { count: number }).count;
      });
      source.addEventListener('open', fetchAll);
      source.addEventListener('error', () => {
        if (!asked) fetchAll();
      });
    };
    table.current.clear();
    waiting.current = [];
    waits.value = 0;
    dropped.value = 0;
    version.value += 1;
    open();
    return () => {
      gone = true;
      source?.close();
    };
  }, [filter, there]);

  function resume(): void {
    paused.value = false;
    for (const message of waiting.current) table.current.take(message);
    const missed = waits.value - waiting.current.length;
    if (missed > 0) dropped.value += missed;
    waiting.current = [];
    waits.value = 0;
    draw();
  }
  function watch(event: Event): void {
    event.preventDefault();
    const next = typed.trim();
    if (!isFilter(next)) {
      setProblem(t('error.bad_filter'));
      return;
    }
    setProblem(null);
    if (paused.peek()) resume();
    setFilter(next);
  }

  version.value;
  const rows = view === 'tree' ? table.current.tree(closed) : table.current.list();
  const open = chosen === null ? undefined : table.current.get(chosen);
  return (
    <>
      <div class="head">
        <Title text={t('topics.title')} />
        <p class="quiet">{tn('topics.count', table.current.size)}</p>
      </div>
      <form class="tools" onSubmit={watch}>
        <input
          type="text"
          class="mono"
          aria-label={t('topics.filter')}
          aria-describedby="filter-hint"
          autocapitalize="none"
          autocomplete="off"
          spellcheck={false}
          value={typed}
          onInput={(event) => setTyped(event.currentTarget.value)}
        />
        <button type="submit">{t('topics.watch')}</button>
      </form>
      <div class="row wrap tools-2">
        <Choice
          label={t('topics.view')}
          value={view}
          onChange={setView}
          options={[['tree', t('topics.tree')], ['list', t('topics.list')]]}
        />
        <button type="button" aria-pressed={paused.value} onClick={() => (paused.value ? resume() : (paused.value = true))}>
          {paused.value ? t('topics.resume') : t('topics.pause')}
        </button>
        <button
          type="button"
          onClick={() => {
            table.current.clear();
            setChosen(null);
            version.value += 1;
          }}
        >
          {t('topics.clear')}
        </button>
        <span id="filter-hint" class="quiet small">{t('topics.filter.hint')}</span>
      </div>
      <p role="status" class="small">
        {paused.value && tn('topics.paused', waits.value)}
        {dropped.value > 0 && <span class="bad"> {tn('topics.dropped', dropped.value)}</span>}
      </p>
      <p role="alert" class="bad">{problem}</p>
      <div class="split">
        <div>
          {rows.length === 0 ? <p class="empty">{t('topics.none')}</p> : (
            <Virtual
              items={rows}
              rowHeight={44}
              gap={0}
              label={t('topics.title')}
              id={(row) => row.path}
              render={(row) => (
                <TopicRow
                  row={row}
                  chosen={row.path === chosen}
                  onToggle={() => {
                    const next = new Set(closed);
                    if (!next.delete(row.path)) next.add(row.path);
                    setClosed(next);
                  }}
                  onChoose={() => setChosen(row.path === chosen ? null : row.path)}
                />
              )}
            />
          )}
        </div>
        <div class="side">
          {open && <Payload topic={open} onCopy={() => setTarget({ topic: open.topic })} onClose={() => setChosen(null)} />}
          <Publish target={target} />
        </div>
      </div>
    </>
  );
}

function summary(topic: Topic): string {
  if (topic.payload === null) return topic.base64 ? tn('topics.binary', topic.bytes ?? base64Length(topic.base64)) : t('topics.empty');
  return topic.payload === '' ? t('topics.empty') : visible(topic.payload, 200).replace(/\s+/g, ' ');
}

function TopicRow(props: { row: Row; chosen: boolean; onToggle: () => void; onChoose: () => void }): JSX.Element {
  const { row } = props;
  // What nests deeper than this does not get narrower.
  const depth = Math.min(row.depth, 6);
  const branch = row.below > 0;
  return (
    <div class={`topic depth-${depth} ${props.chosen ? 'chosen' : ''}`} data-topic={row.path}>
      {branch ? (
        <button type="button" class="branch" aria-expanded={row.open} onClick={props.onToggle}>
          <span class="arrow" aria-hidden="true" />
          <Foreign text={row.name || '""'} />
          <span class="quiet small">{count(row.below)}</span>
        </button>
      ) : null}
      {row.topic && (
        <button type="button" class="leaf" aria-pressed={props.chosen} onClick={props.onChoose}>
          {!branch && <Foreign class="name" text={row.name || '""'} />}
          <Foreign class="payload" text={summary(row.topic)} />
          {row.topic.retain && <span class="tag" title={t('topics.retained')}>R<span class="sr"> {t('topics.retained')}</span></span>}
        </button>
      )}
    </div>
  );
}

function Payload({ topic, onCopy, onClose }: { topic: Topic; onCopy: () => void; onClose: () => void }): JSX.Element {
  const text = topic.payload ?? topic.base64 ?? '';
  const size = topic.payload === null ? base64Length(topic.base64 ?? '') : byteLength(topic.payload);
  const length = topic.bytes ?? size;
  return (
    <section class="panel payload-panel" aria-labelledby="payload-title">
      <h2 id="payload-title" class="mono wrap-any"><Foreign text={topic.topic} most={300} /></h2>
      <p class="quiet small">
        {moment(topic.at_ms, now.value)} · QoS {topic.qos}
        {topic.retain && <> · {t('topics.retained')}</>} · {tn('topics.messages', topic.seen)}
        {topic.payload === null && topic.base64 && <> · {tn('topics.binary', length)}</>}
      </p>
      <pre class="payload-whole" dir="auto" tabIndex={0} aria-label={t('topics.shown', { topic: quoted(topic.topic, 100) })} title={whole(topic.at_ms)}>
        {visible(pretty(text), MOST_SHOWN) || t('topics.empty')}
      </pre>
      {(length > size || text.length > MOST_SHOWN) && <p class="quiet small">{tn('topics.cut', length)}</p>}
      <div class="row">
        <button type="button" onClick={onCopy}>{t('topics.copy')}</button>
        <button type="button" class="push" onClick={onClose}>{t('topics.close')}</button>
      </div>
    </section>
  );
}

function Publish({ target }: { target: { topic: string } | null }): JSX.Element {
  const [topic, setTopic] = useState('');
  const [payload, setPayload] = useState('');
  const message = useRef<HTMLTextAreaElement>(null);
  const [qos, setQos] = useState('1');
  const [retain, setRetain] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const [done, setDone] = useState<string | null>(null);
  useEffect(() => {
    if (target === null) return;
    setTopic(target.topic);
    message.current?.focus();
  }, [target]);

  async function submit(event: Event): Promise<void> {
    event.preventDefault();
    if (busy) return;
    setDone(null);
    if (!isTopic(topic)) {
      setError(t('error.bad_topic'));
      return;
    }
    setBusy(true);
    setError(null);
    try {
      await api.publish(topic, payload, Number(qos), retain);
      const text = t('publish.done', { topic: quoted(topic, 80) });
      setDone(text);
      tell(text);
    } catch (problem) {
      setError(told(problem));
    }
    setBusy(false);
  }

  return (
    <section class="panel" aria-labelledby="publish-title">
      <h2 id="publish-title">{t('publish.title')}</h2>
      <form onSubmit={(event) => void submit(event)}>
        <label for="publish-topic">{t('publish.topic')}</label>
        <input
          id="publish-topic"
          class="mono"
          type="text"
          required
          autocapitalize="none"
          autocomplete="off"
          spellcheck={false}
          value={topic}
          onInput={(event) => setTopic(event.currentTarget.value)}
          aria-describedby="publish-error"
        />
        <label for="publish-payload">{t('publish.payload')}</label>
        <textarea
          id="publish-payload"
          ref={message}
          class="mono"
          rows={3}
          spellcheck={false}
          value={payload}
          onInput={(event) => setPayload(event.currentTarget.value)}
        />
        <div class="row wrap">
          <label class="inline">
            {t('publish.qos')}
            <select value={qos} onChange={(event) => setQos(event.currentTarget.value)}>
              {['0', '1', '2'].map((level) => <option key={level}>{level}</option>)}
            </select>
          </label>
          <label class="inline">
            <input type="checkbox" checked={retain} onChange={(event) => setRetain(event.currentTarget.checked)} />
            {t('publish.retain')}
          </label>
          <button type="submit" class="primary push" disabled={busy}>{t('publish.button')}</button>
        </div>
        <p id="publish-error" role="alert" class="bad">{error}</p>
        {done !== null && error === null && <p class="quiet small">{done}</p>}
      </form>
    </section>
  );
}

