//! Requests to the hub. What goes wrong comes back as an `ApiError` with a code.

import { signal } from '@preact/signals';
import { span, t, word } from './i18n';
import { quoted } from './text';
import type {
  ChartData, Device, DeviceEvent, DeviceWhole, Health, Lamp, Message, Outage, SessionInfo, Topics,
} from './types';

/** Who we are to the hub. `unknown`: it could not be asked yet. */
export type Session = { state: 'unknown' } | { state: 'out'; ended: boolean } | { state: 'in'; info: SessionInfo };

export const session = signal<Session>({ state: 'unknown' });

export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly retryAfterS: number | null = null,
  ) {
    super(message);
  }

  /** What to tell people, in their language. */
  get told(): string {
    if (this.code === 'too_many_attempts') {
      return t('error.too_many_attempts', { span: span((this.retryAfterS ?? 60) * 1000) });
    }
    const known = word('error', this.code);
    if (known === this.code) return t('error.other', { message: quoted(this.message, 300) });
    // By a function: in a text `$` would have a meaning.
    return known.replace('{message}', () => quoted(this.message, 300));
  }
}

/** The same for whatever was thrown. */
export const told = (error: unknown): string =>
  error instanceof ApiError ? error.told : t('error.other', { message: quoted(String(error), 300) });

const TIMEOUT_MS = 15_000;

async function request(method: string, path: string, body?: unknown, signal?: AbortSignal, again = true): Promise<Response> {
  const headers: Record<string, string> = { Accept: 'application/json' };
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  const now = session.peek();
  if (method !== 'GET' && now.state === 'in' && now.info.csrf) headers['X-Aldis-CSRF'] = now.info.csrf;
  const limit = AbortSignal.timeout(TIMEOUT_MS);
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      headers,
      credentials: 'same-origin',
      cache: 'no-store',
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, 'unreachable', String(error));
  }
  if (response.ok) return response;
  let code = `http_${response.status}`;
  let message = `HTTP ${response.status}`;
  try {
    const answer = (await response.json()) as { error?: { code?: string; message?: string } };
    code = answer.error?.code ?? code;
    message = answer.error?.message ?? message;
  } catch {
    // Not ours: a proxy in between, say. The status has to do.
  }
  if (code === 'csrf' && again) {
    // Another page of this browser signed in anew: the cookie is newer than our token.
    const info = await api.session();
    if (info.signed_in) {
      session.value = { state: 'in', info };
      return request(method, path, body, signal, false);
    }
  }
  if (response.status === 401 && code === 'not_signed_in') session.value = { state: 'out', ended: true };
  const retry = Number(response.headers.get('Retry-After'));
  throw new ApiError(response.status, code, message, Number.isFinite(retry) && retry > 0 ? retry : null);
}

async function json<Answer>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<Answer> {
  const response = await request(method, path, body, signal);
  try {
    return (await response.json()) as Answer;
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(response.status, 'unreachable', 'the answer is not JSON');
  }
}

const of = (key: string): string => `/api/devices/${encodeURIComponent(key)}`;

function query(values: Record<string, number | string>): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    search.set(name, String(value));
  }
  return `?${search}`;
}

export interface Window {
  from: number;
  to: number;
}

export const api = {
  session: () => json<SessionInfo>('GET', '/api/session'),
  signIn: (password: string) => json<SessionInfo>('POST', '/api/session', { password }),
  signOut: () => request('DELETE', '/api/session'),

  devices: async () => (await json<{ devices: Device[] }>('GET', '/api/devices')).devices,
  device: (key: string) => json<DeviceWhole>('GET', of(key)),
  rename: (key: string, title: string | null) => json<Device>('PATCH', of(key), { title }),
  remove: (key: string) => request('DELETE', of(key)),
  chart: (key: string, { from, to }: Window, points: number, signal?: AbortSignal) =>
    json<ChartData>('GET', of(key) + `/chart${query({ from, to, points })}`, undefined, signal),
  /** The newest, however long ago. */
  events: async (key: string, limit: number) =>
    (await json<{ events: DeviceEvent[] }>('GET', of(key) + `/events${query({ limit, from: 0 })}`)).events,
  /** Until now by the hub's own clock: ours lags, and the outage that has just begun would be left out. */
  outages: async (key: string, from: number) =>
    (await json<{ outages: Outage[] }>('GET', of(key) + `/outages${query({ from })}`)).outages,
  messages: async (key: string, limit: number) =>
    (await json<{ messages: Message[] }>('GET', of(key) + `/messages${query({ limit })}`)).messages,
  /** Where the browser downloads what is in a window. */
  csv: (key: string, { from, to }: Window) => of(key) + `/readings${query({ from, to, format: 'csv' })}`,

  lamp: async (key: string, state: Lamp) =>
    (await json<{ id: string }>('POST', of(key) + '/lamp', { state })).id,
  send: async (key: string, text: string, ttlS: number | null) =>
    (await json<{ id: string }>('POST', of(key) + '/message', ttlS === null ? { text } : { text, ttl_s: ttlS })).id,
  publish: (topic: string, payload: string, qos: number, retain: boolean) =>
    request('POST', '/api/publish', { topic, payload, qos, retain }),

  topics: (filter: string, limit: number) => json<Topics>('GET', `/api/topics${query({ filter, limit })}`),
  health: () => json<Health>('GET', '/api/health'),
  address: async () => (await json<{ urls: string[] }>('GET', '/api/address')).urls,
};
