import type { ComponentChildren, JSX } from 'preact';
import { useState } from 'preact/hooks';
import { api, session } from '../api';
import { hubNow, now } from '../clock';
import { health, resync, signOut } from '../hub';
import { bytes, count, decimal, LOCALES, locale, span, speak, t, whole, type Locale } from '../i18n';
import { install, installable } from '../install';
import { allowed, notifying, switchNotifications } from '../notify';
import { Age, Choice, Foreign, Loading, Title, useLoaded } from '../parts/basic';
import { quoted } from '../text';
import { choose, theme, type Theme } from '../theme';
import type { Health } from '../types';

export function HubPage(): JSX.Element {
  return (
    <>
      <div class="head"><Title text={t('hub.title')} /></div>
      <div class="hub">
        <Figures />
        <Phone />
        <Settings />
      </div>
    </>
  );
}

function Figures(): JSX.Element {
  const value = health.value;
  return (
    <section class="panel" aria-labelledby="health-title">
      <h2 id="health-title">{t('hub.health')}</h2>
      {value === null ? <Loading /> : <HealthFigures value={value} />}
      <p class="quiet small"><a href="/api/openapi.json" target="_blank" rel="noopener">{t('hub.api')}</a></p>
    </section>
  );
}

function HealthFigures({ value }: { value: Health }): JSX.Element {
  now.value;
  const { broker, recorder, store, disk } = value;
  const text = (foreign: string): string => quoted(foreign, 200);
  const rows: [string, ComponentChildren][] = [
    [t('hub.broker'), (
      <>
        <span class={broker.connected ? '' : 'bad'}>{t(broker.connected ? 'hub.broker.ok' : 'hub.broker.away')}</span>
        {' '}<Foreign class="quiet" text={broker.url} />
      </>
    )],
  ];
  if (recorder) {
    rows.push(
      [t('hub.recorder'), (
        <span class={recorder.running && !recorder.error ? '' : 'bad'}>
          {recorder.error ? text(recorder.error) : t(recorder.running ? 'hub.recorder.ok' : 'hub.recorder.stopped')}
        </span>
      )],
      [t('hub.stored'), count(recorder.stored)],
      [t('hub.repeated'), count(recorder.repeated)],
      [t('hub.waiting'), count(recorder.waiting)],
      [t('hub.commit'), recorder.last_commit_ms === null ? null : <Age at={recorder.last_commit_ms} />],
      [t('hub.p99'), recorder.commit_p99_ms === null ? null : `${decimal(recorder.commit_p99_ms)}\u00a0ms`],
    );
  }
  if (store) {
    rows.push(
      [t('hub.store'), (
        <>
          {{ sqlite: 'SQLite', postgres: 'PostgreSQL' }[store.kind] ?? text(store.kind)}
          {store.bytes !== null && `, ${bytes(store.bytes)}`}
          {store.error && <span class="bad"> {text(store.error)}</span>}
        </>
      )],
      [t('hub.readings'), count(store.readings)],
      [t('hub.oldest'), store.oldest_ms === null ? null : whole(store.oldest_ms)],
    );
  }
  rows.push(
    [t('hub.disk'), disk && bytes(disk.free_bytes)],
    [t('hub.memory'), bytes(value.memory_bytes)],
    [t('hub.cpu'), value.cpu_percent === null ? null : `${decimal(value.cpu_percent)}\u00a0%`],
    [t('hub.clients'), count(value.dashboard.live_clients)],
    [t('hub.since'), span(hubNow() - value.started_ms)],
    [t('hub.version'), text(value.version)],
  );
  return (
    <dl class="figures">
      {rows.filter(([, shown]) => shown !== null).map(([name, shown]) => <div key={name}><dt>{name}</dt><dd>{shown}</dd></div>)}
    </dl>
  );
}

const isLocal = (url: string): boolean => {
  try {
    return ['localhost', '127.0.0.1', '[::1]'].includes(new URL(url).hostname);
  } catch {
    return true;
  }
};

function Phone(): JSX.Element | null {
  const { value, error } = useLoaded(() => api.address(), [resync.value]);
  const urls = (value ?? []).filter((url) => !isLocal(url) && /^https?:/.test(url));
  const [picked, setPicked] = useState<string | null>(null);
  const url = picked !== null && urls.includes(picked) ? picked : urls[0];
  // Without the hub there is no code to scan.
  if (value === null && error !== null) return null;
  return (
    <section class="panel" aria-labelledby="phone-title">
      <h2 id="phone-title">{t('hub.phone')}</h2>
      {value === null ? <Loading /> : url === undefined ? (
        <>
          <p class="quiet">{t('hub.phone.local')}</p>
          <pre tabIndex={0}>aldis hub --lan</pre>
        </>
      ) : (
        <>
          <p class="quiet">{t('hub.phone.scan')}</p>
          <img class="qr" src={`/api/qr.svg?url=${encodeURIComponent(url)}`} alt={t('hub.phone.qr', { url })} width="200" height="200" />
          {urls.length > 1 ? (
            <label class="inline">
              {t('hub.phone.address')}
              <select value={url} onChange={(event) => setPicked(event.currentTarget.value)}>
                {urls.map((other) => <option key={other}>{other}</option>)}
              </select>
            </label>
          ) : <p><code>{url}</code></p>}
          {url.startsWith('https:') && <p><a href="/trust" target="_blank" rel="noopener">{t('hub.phone.trust')}</a></p>}
        </>
      )}
    </section>
  );
}

function Settings(): JSX.Element {
  const signedIn = session.value.state === 'in';
  const [leaving, setLeaving] = useState(false);
  return (
    <section class="panel settings" aria-labelledby="settings-title">
      <h2 id="settings-title">{t('hub.settings')}</h2>
      <div class="setting">
        <span>{t('hub.language')}</span>
        <Choice
          label={t('hub.language')}
          value={locale.value}
          onChange={speak}
          options={(Object.keys(LOCALES) as Locale[]).map((language) => [language, LOCALES[language].name] as const)}
        />
      </div>
      <div class="setting">
        <span>{t('hub.theme')}</span>
        <Choice
          label={t('hub.theme')}
          value={theme.value}
          onChange={choose}
          options={(['system', 'light', 'dark'] as Theme[]).map((name) => [name, t(`hub.theme.${name}` as 'hub.theme.dark')] as const)}
        />
      </div>
      <div class="setting">
        <span>
          <span id="notify-label">{t('hub.notify')}</span>
          <span id="notify-hint" class="quiet small block">
            {allowed.value === 'none' ? t('hub.notify.none') : allowed.value === 'denied' ? t('hub.notify.denied') : t('hub.notify.hint')}
          </span>
        </span>
        <button
          type="button"
          class="switch"
          role="switch"
          aria-checked={notifying()}
          aria-labelledby="notify-label"
          aria-describedby="notify-hint"
          disabled={allowed.value === 'none' || allowed.value === 'denied'}
          onClick={() => void switchNotifications(!notifying())}
        >
          <span class="thumb" />
        </button>
      </div>
      {installable.value !== null && (
        <div class="setting">
          <span class="quiet small">{t('hub.install.hint')}</span>
          <button type="button" onClick={() => void install()}>{t('hub.install')}</button>
        </div>
      )}
      {signedIn && (
        <div class="setting">
          <span class="quiet small">{t('hub.signout.hint')}</span>
          <button
            type="button"
            disabled={leaving}
            onClick={() => {
              setLeaving(true);
              void signOut().finally(() => setLeaving(false));
            }}
          >
            {t('hub.signout')}
          </button>
        </div>
      )}
    </section>
  );
}

