//! What the hub's web API says; the hub describes it at `/api/openapi.json`.

export type Lamp = 'on' | 'off';
export type SensorState = 'ok' | 'stale' | 'missing';

export interface Diag {
  at_ms?: number;
  uptime_s?: number;
  boot?: number;
  reset?: string;
  rssi_dbm?: number;
  free?: number;
  free_min?: number;
  reconnects?: Record<string, number>;
  outbox?: number;
  dropped?: Record<string, number>;
  mode?: string;
  version?: string;
}

export interface Device {
  key: string;
  prefix: string;
  id: string;
  title: string | null;
  status: 'online' | 'offline' | null;
  since_ms: number | null;
  lamp: Lamp | null;
  sensor: SensorState | null;
  t: number | null;
  h: number | null;
  taken_ms: number | null;
  first_ms: number;
  last_ms: number;
  gaps: number;
  lost: number;
  diag: Diag | null;
}

export interface Gap {
  life: number;
  first: number;
  last: number;
  lost: boolean;
}

export interface DeviceWhole extends Device {
  gaps_list: Gap[];
}

type Row = (number | null)[];

export interface ChartData {
  level: 'raw' | '5min' | 'hour';
  at_ms: number[];
  t_min: Row;
  t: Row;
  t_max: Row;
  h_min: Row;
  h: Row;
  h_max: Row;
  count: Row;
}

export interface Outage {
  from_ms: number;
  to_ms: number | null;
  cause: string | null;
}

export interface DeviceEvent {
  at_ms: number;
  kind: string;
  value: unknown;
}

export interface StateOf {
  state: string;
  at_ms: number;
  reason: string | null;
}

export interface Message {
  id: string | null;
  from: string | null;
  text: string;
  at_ms: number;
  states: StateOf[];
}

export interface Reading {
  key: string;
  taken_ms: number;
  t: number | null;
  h: number | null;
  late: boolean;
}

export interface Answer {
  key: string;
  id: string;
  done: boolean;
  reason: string | null;
}

/** A new message, or what became of one. */
export interface MessageNews {
  key: string;
  /** Others may send without an id. */
  id: string | null;
  at_ms: number;
  state?: string;
  reason?: string | null;
  from?: string | null;
  text?: string;
}

export interface Health {
  version: string;
  started_ms: number;
  now_ms: number;
  memory_bytes: number | null;
  cpu_percent: number | null;
  broker: { connected: boolean; url: string; since_ms: number | null };
  recorder: {
    running: boolean;
    stored: number;
    repeated: number;
    waiting: number;
    last_commit_ms: number | null;
    commit_p99_ms: number | null;
    error: string | null;
  } | null;
  store: { kind: string; readings: number | null; bytes: number | null; oldest_ms: number | null; error?: string | null } | null;
  disk: { free_bytes: number | null } | null;
  dashboard: { live_clients: number };
}

export interface TopicMessage {
  topic: string;
  payload: string | null;
  base64: string | null;
  /** Of the whole payload; only its beginning comes. */
  bytes?: number;
  qos: number;
  retain: boolean;
  at_ms: number;
}

export interface Topics {
  topics: TopicMessage[];
  /** Why the broker shows none. */
  refused?: string | null;
}

export interface SessionInfo {
  signed_in: boolean;
  csrf?: string;
  name?: string;
  version?: string;
  loopback?: boolean;
}
