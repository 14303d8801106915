import type { JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { session } from './api';
import { hubNow, now } from './clock';
import { broker, heardMs, live } from './hub';
import { moment, t } from './i18n';
import { notice, tell } from './notice';
import { Devices } from './pages/devices';
import { DevicePage } from './pages/device';
import { HubPage } from './pages/hub';
import { SignIn } from './pages/signin';
import { Topics } from './pages/topics';
import { Foreign, Icon, Title } from './parts/basic';
import { page, type Page } from './router';
import { store } from './store';
import { quoted } from './text';

export function App(): JSX.Element {
  const now = session.value;
  if (now.state === 'out') return <SignIn ended={now.ended} />;
  return (
    <>
      <a class="skip" href="#content">{t('nav.skip')}</a>
      <header>
        <a class="brand" href="/" data-page="devices">
          <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
            <circle cx="16" cy="16" r="10.5" />
            <path d="M7.5 12h17M6 16h20M7.5 20h17" />
          </svg>
          <span><Foreign text={(now.state === 'in' && now.info.name) || 'Aldis'} most={80} /></span>
        </a>
        <Navigation at={page.value} />
        <Contact />
      </header>
      <Banner />
      <main id="content" tabIndex={-1}>
        <Current page={page.value} />
      </main>
      <Notice />
    </>
  );
}

function Navigation({ at }: { at: Page }): JSX.Element {
  const here = at.name === 'device' ? 'devices' : at.name;
  return (
    <nav aria-label={t('nav.label')}>
      {([['devices', '/'], ['topics', '/topics'], ['hub', '/hub']] as const).map(([name, path]) => (
        <a key={name} href={path} data-page={name} aria-current={here === name ? 'page' : undefined}>
          <Icon name={name} />
          {t(`nav.${name}`)}
        </a>
      ))}
    </nav>
  );
}

function Current({ page }: { page: Page }): JSX.Element {
  switch (page.name) {
    case 'devices':
      return <Devices />;
    case 'device':
      return <DevicePage key={page.key} id={page.key} />;
    case 'topics':
      return <Topics />;
    case 'hub':
      return <HubPage />;
    case 'missing':
      return (
        <>
          <Title text={t('page.missing')} />
          <p><a href="/" data-page="devices">{t('nav.back')}</a></p>
        </>
      );
  }
}

/** A dot in the corner while all is well; what is wrong gets a line of its own. */
function Contact(): JSX.Element {
  const state = live.state.value;
  return (
    <span class={`contact ${state === 'live' ? 'good' : ''}`}>
      <span class="dot" aria-hidden="true" />
      {state === 'live' ? t('live.ok') : t('live.connecting')}
    </span>
  );
}

function Banner(): JSX.Element {
  const away = live.state.value === 'away';
  const heard = heardMs.value;
  useEffect(() => {
    // What was on the screen was of the past; now it is not any more.
    if (away) return () => void (live.state.peek() === 'live' && tell(t('live.back')));
    return undefined;
  }, [away]);
  let text: string | null = null;
  if (away) {
    text = heard !== null && store.loaded.value
      ? t('live.away', { at: moment(heard, Math.max(now.value, hubNow())) })
      : t('live.away.never');
  } else if (!broker.value.connected) text = t('live.broker', { why: quoted(broker.value.why ?? '', 200) });
  return (
    <div role="status" class="banner" hidden={text === null}>
      {text !== null && <><Icon name="warning" /> {text}</>}
    </div>
  );
}

function Notice(): JSX.Element {
  return <div role="status" class={`notice ${notice.value === null ? '' : 'seen'}`}>{notice.value}</div>;
}
