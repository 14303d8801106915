//! The live connection: opened again for ever, and whoever listens is told when to fetch anew,
//! because nothing is known of what happened in between.

import { signal } from '@preact/signals';

export type LiveState = 'connecting' | 'live' | 'away' | 'asleep' | 'stopped';

export interface Source {
  addEventListener(kind: string, listener: (event: { data?: unknown }) => void): void;
  close(): void;
}

export interface LiveOptions {
  open: () => Source;
  /** Asked after each failure: an EventSource does not tell why it failed. */
  failed: () => void;
  now: () => number;
  /** Between 0 and 1. */
  chance: () => number;
  later: (run: () => void, ms: number) => unknown;
  cancel: (timer: unknown) => void;
}

type Listener = (data: unknown) => void;

/** The hub says something every 5 seconds (`beat`, if nothing else); after this long without a word it is gone. */
export const SILENCE_MS = 12_000;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10_000;

export const KINDS = [
  'hello', 'beat', 'device', 'reading', 'message', 'answer', 'morse', 'removed', 'broker', 'health',
] as const;
export type Kind = (typeof KINDS)[number];

export class Live {
  readonly state = signal<LiveState>('stopped');
  /** When the hub was heard last, by our own clock. */
  heardAt: number | null = null;
  private source: Source | null = null;
  private failures = 0;
  private retry: unknown = null;
  private watch: unknown = null;
  private readonly listeners = new Map<Kind, Set<Listener>>();

  constructor(private readonly options: LiveOptions) {}

  on(kind: Kind, listener: Listener): () => void {
    let set = this.listeners.get(kind);
    if (!set) this.listeners.set(kind, (set = new Set()));
    set.add(listener);
    return () => set.delete(listener);
  }

  /** Connects at once, whatever was waited for. */
  connect(): void {
    this.drop();
    if (this.state.peek() !== 'away') this.state.value = 'connecting';
    const source = this.options.open();
    this.source = source;
    for (const kind of KINDS) {
      source.addEventListener(kind, (event) => {
        if (this.source === source) this.heard(kind, event.data);
      });
    }
    source.addEventListener('error', () => {
      if (this.source === source) this.lost();
    });
    this.watchSilence();
  }

  /** The network says that it is gone. */
  lost(): void {
    if (this.state.peek() === 'stopped' || this.state.peek() === 'asleep') return;
    this.drop();
    this.state.value = 'away';
    const bound = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.failures);
    this.failures += 1;
    // Not all browsers at once, when a hub comes back.
    const wait = bound / 2 + this.options.chance() * (bound / 2);
    this.retry = this.options.later(() => this.connect(), wait);
    this.options.failed();
  }

  /** The page is looked at again, or the network is back: what we have may be dead without a word. */
  wake(): void {
    const state = this.state.peek();
    if (state === 'stopped') return;
    const silent = this.heardAt === null || this.options.now() - this.heardAt > SILENCE_MS / 2;
    if (state === 'live' && !silent) return;
    this.failures = 0;
    if (state === 'asleep') this.state.value = 'connecting';
    this.connect();
  }

  /** Asked once a second: where the machine slept, the timer of the silence slept with it. */
  check(): void {
    if (this.state.peek() === 'live' && this.heardAt !== null && this.options.now() - this.heardAt > SILENCE_MS) this.lost();
  }

  /** Nobody looks: the connection is given up until somebody does. */
  sleep(): void {
    if (this.state.peek() === 'stopped') return;
    this.drop();
    this.state.value = 'asleep';
  }

  stop(): void {
    this.drop();
    this.state.value = 'stopped';
    this.failures = 0;
  }

  private heard(kind: Kind, data: unknown): void {
    this.heardAt = this.options.now();
    this.watchSilence();
    let value: unknown;
    try {
      value = JSON.parse(String(data));
    } catch {
      return;
    }
    if (kind === 'hello') {
      this.failures = 0;
      this.state.value = 'live';
    }
    for (const listener of this.listeners.get(kind) ?? []) listener(value);
  }

  private watchSilence(): void {
    this.options.cancel(this.watch);
    this.watch = this.options.later(() => this.lost(), SILENCE_MS);
  }

  private drop(): void {
    this.options.cancel(this.retry);
    this.options.cancel(this.watch);
    this.source?.close();
    this.source = null;
  }
}
