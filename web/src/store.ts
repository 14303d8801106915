//! The devices, as last heard. Each has a signal of its own, so that a reading of one among a
//! thousand draws one card anew.

import { batch, computed, signal, type Signal } from '@preact/signals';
import type { Device, Reading } from './types';

/** What else a card of a device says than its values. Only when this changes are lists sorted anew. */
const shapeOf = (device: Device): string => `${device.status}\0${device.sensor}\0${device.title}`;

export class Store {
  private readonly byKey = new Map<string, Signal<Device>>();
  private waiting = new Map<string, Device>();
  private scheduled = false;
  /** Whether some are gone since what waits was drawn. */
  private fewer = false;
  /** Grows when devices come or go, or change what they are sorted by. */
  readonly shape = signal(0);
  /** Whether the hub, or the memory of it, was heard at all. */
  readonly loaded = signal(false);

  /** `soon` runs what is given to it before the next picture is drawn. */
  constructor(private readonly soon: (run: () => void) => void) {}

  readonly all = computed<Device[]>(() => {
    this.shape.value;
    return [...this.byKey.values()].map((device) => device.peek());
  });

  get size(): number {
    return this.byKey.size;
  }

  /** The signal of a device; reading it draws anew when the device changes. */
  signal(key: string): Signal<Device> | undefined {
    return this.byKey.get(key);
  }

  /** The device now, with what waits to be drawn. */
  get(key: string): Device | undefined {
    return this.waiting.get(key) ?? this.byKey.get(key)?.peek();
  }

  /** All devices at once: those that are not among them are gone. */
  replace(devices: Device[]): void {
    this.waiting.clear();
    batch(() => {
      const keep = new Set(devices.map((device) => device.key));
      for (const key of this.byKey.keys()) if (!keep.has(key)) this.byKey.delete(key);
      for (const device of devices) this.put(device);
      this.shape.value += 1;
      this.loaded.value = true;
    });
  }

  change(device: Device): void {
    this.waiting.set(device.key, device);
    this.flushSoon();
  }

  /** A value that was just measured. One that comes late is of the past, and changes nothing here. */
  reading(reading: Reading): void {
    const device = this.get(reading.key);
    if (!device || (device.taken_ms !== null && reading.taken_ms <= device.taken_ms)) return;
    this.change({
      ...device,
      t: reading.t,
      h: reading.h,
      taken_ms: reading.taken_ms,
      last_ms: Math.max(device.last_ms, reading.taken_ms),
    });
  }

  remove(key: string): void {
    this.waiting.delete(key);
    if (!this.byKey.delete(key)) return;
    this.fewer = true;
    this.flushSoon();
  }

  clear(): void {
    this.waiting.clear();
    this.byKey.clear();
    this.loaded.value = false;
    this.shape.value += 1;
  }

  /** Draws what waits, now. */
  flush(): void {
    this.scheduled = false;
    const waiting = this.waiting;
    this.waiting = new Map();
    batch(() => {
      let reshaped = this.fewer;
      this.fewer = false;
      for (const device of waiting.values()) reshaped = this.put(device) || reshaped;
      if (reshaped) this.shape.value += 1;
    });
  }

  private flushSoon(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    this.soon(() => this.flush());
  }

  private put(device: Device): boolean {
    const known = this.byKey.get(device.key);
    if (!known) {
      this.byKey.set(device.key, signal(device));
      return true;
    }
    const before = known.peek();
    known.value = device;
    return shapeOf(before) !== shapeOf(device);
  }
}

/** Before the next picture; in a page that is not seen, which draws none, a quarter of a second later. */
function beforeNextPicture(run: () => void): void {
  if (document.visibilityState === 'visible') requestAnimationFrame(run);
  else setTimeout(run, 250);
}

export const store = new Store(beforeNextPicture);

/** What people call a device. */
export const nameOf = (device: Pick<Device, 'title' | 'id'>): string => device.title || device.id;

/** How urgently a device wants to be looked at; 0 is most. */
export const troubleOf = (device: Device): number =>
  device.status === 'offline' ? 0 : device.sensor !== null && device.sensor !== 'ok' ? 1 : device.status === null ? 2 : 3;

export type Sorting = 'name' | 'trouble';

/** The devices that fit, in order. */
export function listed(devices: Device[], find: string, sorting: Sorting, language: string): Device[] {
  const words = find.toLocaleLowerCase(language).split(/\s+/).filter(Boolean);
  const collator = new Intl.Collator(language, { numeric: true, sensitivity: 'base' });
  return devices
    .filter((device) => {
      const text = `${device.title ?? ''} ${device.key}`.toLocaleLowerCase(language);
      return words.every((word) => text.includes(word));
    })
    .sort(
      (a, b) =>
        (sorting === 'trouble' ? troubleOf(a) - troubleOf(b) : 0) ||
        collator.compare(nameOf(a), nameOf(b)) ||
        (a.key < b.key ? -1 : 1),
    );
}

/** Learns how often each device measures, to know which value is old. */
export class Pace {
  private readonly last = new Map<string, { at: number; every: number }>();

  reading(key: string, takenMs: number): void {
    const known = this.last.get(key);
    if (!known) this.last.set(key, { at: takenMs, every: 0 });
    else if (takenMs > known.at) {
      // The longest of late counts, and fades: one that measures hourly is not old after a minute.
      this.last.set(key, { at: takenMs, every: Math.max(takenMs - known.at, known.every * 0.9) });
    }
  }

  /** From which age on a value is old. */
  limit(key: string): number {
    return Math.max(60_000, 3 * (this.last.get(key)?.every ?? 0));
  }
}

export const pace = new Pace();
