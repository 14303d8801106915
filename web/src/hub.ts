//! The hub as this page knows it: session, live connection, devices, and what is kept of them.

import { effect, signal } from '@preact/signals';
import { api, ApiError, session, told } from './api';
import { hubNow, setHubTime } from './clock';
import { t, word } from './i18n';
import { Lamps } from './lamp';
import { Live } from './live';
import { tell } from './notice';
import { LostContacts, notifying, show } from './notify';
import { deviceLink } from './router';
import { nameOf, pace, store } from './store';
import { forget, forgetAll, keep, recall } from './stored';
import { quoted, visible } from './text';
import type { Answer, Device, Health, MessageNews, Reading, SessionInfo } from './types';

export const health = signal<Health | null>(null);
export const broker = signal<{ connected: boolean; why: string | null }>({ connected: true, why: null });
/** When the hub was heard last, by its own time. What is on the screen is of this moment. */
export const heardMs = signal<number | null>(null);
/** Grows when nothing is known of what happened in between: then pages fetch anew. */
export const resync = signal(0);
/** Whether what is shown comes from this browser's memory alone. */
export const fromMemory = signal(false);

export const live = new Live({
  open: () => new EventSource('/api/live'),
  failed: () => void checkSession(),
  now: () => Date.now(),
  chance: () => Math.random(),
  later: (run, ms) => setTimeout(run, ms),
  cancel: (timer) => clearTimeout(timer as ReturnType<typeof setTimeout> | undefined),
});

/** Whether the hub is there and what is shown comes from it: only then it is asked for more. */
export const isCurrent = (): boolean => live.state.peek() === 'live' && !fromMemory.peek() && store.loaded.peek();

/** Whether nothing is known of the present: the hub is away, or was not heard yet. */
export const isPast = (): boolean => fromMemory.value || live.state.value !== 'live';

export const lamps = new Lamps({
  send: api.lamp,
  told,
  later: (run, ms) => setTimeout(run, ms),
  cancel: (timer) => clearTimeout(timer as ReturnType<typeof setTimeout> | undefined),
});

/** Ids of messages that were sent from this page. */
const ours = new Set<string>();
export const remember = (id: string): Set<string> => ours.add(id);

interface Kept {
  at_ms: number;
  name: string | undefined;
  devices: Device[];
  health: Health | null;
}

const lost = new LostContacts(
  (run, ms) => setTimeout(run, ms),
  (title, tag, path) => void show(title, '', tag, path),
);

/** Live events that arrive while all is fetched: they are newer than what is fetched. */
let held: (() => void)[] | null = null;

function inOrder(apply: () => void): void {
  if (held) held.push(apply);
  else apply();
}

let fetching = 0;
let contacts = 0;

async function fetchAll(): Promise<void> {
  fetching += 1;
  const mine = fetching;
  held = [];
  let devices: Device[];
  try {
    devices = await api.devices();
  } catch (error) {
    if (mine !== fetching) return;
    const waiting = held;
    held = null;
    for (const apply of waiting) apply();
    // The connection stands and this did not work: begin anew, with the patience of a lost one.
    if (!(error instanceof ApiError && error.status === 401)) live.lost();
    return;
  }
  if (mine !== fetching) return;
  store.replace(devices);
  fromMemory.value = false;
  const waiting = held;
  held = null;
  for (const apply of waiting) apply();
  heardMs.value = hubNow();
  resync.value += 1;
  // Comes by itself only each five seconds.
  api.health().then((value) => {
    health.value = value;
    void keepAll();
  }, () => void keepAll());
  for (const { key, id } of lamps.open()) void lookUpAnswer(key, id);
}

/** An answer may have come while nobody listened. */
async function lookUpAnswer(key: string, id: string): Promise<void> {
  try {
    for (const event of await api.events(key, 50)) {
      const value = event.value as Partial<Answer> | null;
      if (event.kind === 'answer' && value?.id === id && typeof value.done === 'boolean') {
        lamps.answer({ key, id, done: value.done, reason: value.reason ?? null });
      }
    }
  } catch {
    // Then it stays open, and the next contact asks again.
  }
}

function listen(): void {
  const on = <Data>(kind: Parameters<Live['on']>[0], apply: (data: Data) => void): void => {
    live.on(kind, (data) => {
      heardMs.value = hubNow();
      inOrder(() => apply(data as Data));
    });
  };
  live.on('hello', (data) => {
    const { hub_ms, connected } = data as { hub_ms: number; connected: boolean };
    setHubTime(hub_ms);
    broker.value = { connected, why: null };
    void fetchAll();
    // A hub that was away may have been started anew, with another session's secret.
    if (contacts > 0) void checkSession();
    contacts += 1;
  });
  on('beat', () => undefined);
  on<Device>('device', (device) => {
    const before = store.get(device.key);
    store.change(device);
    if (device.status === 'offline' && before && before.status !== 'offline') {
      lost.add({ key: device.key, name: quoted(nameOf(device), 80), path: deviceLink(device.key) });
    } else if (device.status === 'online') lost.back(device.key);
  });
  on<Reading>('reading', (reading) => {
    pace.reading(reading.key, reading.taken_ms);
    store.reading(reading);
  });
  on<Answer>('answer', (answer) => lamps.answer(answer));
  on<{ key: string }>('removed', ({ key }) => removed(key));
  on<{ connected: boolean; why?: string | null }>('broker', ({ connected, why }) => {
    broker.value = { connected, why: why ?? null };
    if (!connected) void show(t('notify.broker'), visible(why ?? '', 200), 'broker', '/hub');
  });
  on<Health>('health', (value) => {
    setHubTime(value.now_ms);
    health.value = value;
  });
  on<MessageNews>('message', (news) => {
    const device = store.get(news.key);
    const name = quoted(device ? nameOf(device) : news.key, 80);
    const path = deviceLink(news.key);
    if (news.state === undefined) {
      if (news.id === null || !ours.has(news.id)) void show(t('notify.message', { name }), visible(news.text ?? '', 256), `m:${news.id ?? news.at_ms}`, path);
    } else if (news.id !== null && ours.has(news.id) && news.state !== 'received' && news.state !== 'shown') {
      void show(t('notify.state', { name, state: quoted(word('message', news.state), 40) }), '', `m:${news.id}`, path);
    }
  });
}

/** A device is gone, and what is known of it. */
export function removed(key: string): void {
  store.remove(key);
  for (const what of ['chart', 'messages', 'about', 'events']) void forget(`${what}:${key}`);
  keepSoon();
}

/** Removes a device from the hub, and what is known of it here. */
export async function removeDevice(key: string): Promise<void> {
  try {
    await api.remove(key);
  } catch (problem) {
    // Somebody else was faster: it is gone, as was wished.
    if (!(problem instanceof ApiError && problem.status === 404)) throw problem;
  }
  removed(key);
}

let keeping: ReturnType<typeof setTimeout> | undefined;

/** Once for what comes together: a thousand devices may be removed one after the other. */
function keepSoon(): void {
  keeping ??= setTimeout(() => {
    keeping = undefined;
    void keepAll();
  }, 500);
}

async function keepAll(): Promise<void> {
  const now = session.peek();
  if (now.state !== 'in' || fromMemory.peek()) return;
  const devices = store.all.peek().map((device) => store.get(device.key) ?? device);
  const kept: Kept = { at_ms: heardMs.peek() ?? hubNow(), name: now.info.name, devices, health: health.peek() };
  await keep('all', kept);
}

function entered(info: SessionInfo): void {
  session.value = { state: 'in', info };
  if (live.state.peek() === 'stopped') live.connect();
}

/** Asks the hub who we are. Where it does not answer, what we know stays. */
async function checkSession(): Promise<void> {
  try {
    const info = await api.session();
    if (info.signed_in) {
      const now = session.peek();
      if (now.state !== 'in' || now.info.csrf !== info.csrf) entered(info);
    } else await left(session.peek().state !== 'unknown' || store.loaded.peek());
  } catch {
    if (session.peek().state === 'unknown') session.value = { state: 'in', info: { signed_in: true } };
  }
}

/** The session is over: nothing of the hub stays on the screen, or in the browser. */
async function left(ended: boolean): Promise<void> {
  live.stop();
  fetching += 1;
  held = null;
  store.clear();
  lamps.clear();
  ours.clear();
  health.value = null;
  heardMs.value = null;
  fromMemory.value = false;
  const now = session.peek();
  if (now.state !== 'out' || now.ended !== ended) session.value = { state: 'out', ended };
  await forgetAll();
}

export async function signIn(password: string): Promise<void> {
  entered(await api.signIn(password));
}

export async function signOut(): Promise<void> {
  try {
    await api.signOut();
  } catch (error) {
    // Without the hub the cookie stays; whoever signs out has to know.
    if (!(error instanceof ApiError && error.status === 401)) {
      tell(told(error));
      return;
    }
  }
  await left(false);
}

/** After this long unseen, a page without notifications gives its connection up. */
const UNSEEN_MS = 60_000;

export async function startHub(): Promise<void> {
  listen();
  // A request was told that the session is over.
  effect(() => {
    if (session.value.state === 'out' && live.state.peek() !== 'stopped') void left(true);
  });
  addEventListener('online', () => live.wake());
  addEventListener('offline', () => live.lost());
  setInterval(() => live.check(), 1000);
  let unseen: ReturnType<typeof setTimeout> | undefined;
  document.addEventListener('visibilitychange', () => {
    clearTimeout(unseen);
    if (document.visibilityState === 'visible') live.wake();
    else {
      void keepAll();
      unseen = setTimeout(() => {
        if (!notifying()) live.sleep();
      }, UNSEEN_MS);
    }
  });
  addEventListener('pagehide', () => live.sleep());
  addEventListener('pageshow', (event) => {
    if (event.persisted) live.wake();
  });
  setInterval(() => {
    if (live.state.peek() === 'live') void keepAll();
  }, 10_000);

  const memory = recall<Kept>('all').then((kept) => {
    // What the hub says is newer, if it was faster.
    if (!kept || store.loaded.peek() || session.peek().state === 'out') return;
    fromMemory.value = true;
    heardMs.value = kept.at_ms;
    health.value = kept.health;
    store.replace(kept.devices);
  });
  // The connection need not wait for who we are: most times we are signed in.
  try {
    const info = await api.session();
    if (info.signed_in) entered(info);
    else {
      await memory;
      await left(store.loaded.peek());
    }
  } catch {
    await memory;
    session.value = { state: 'in', info: { signed_in: true } };
    contacts = 1;
    live.connect();
  }
}
