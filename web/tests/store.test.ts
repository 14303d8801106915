import { effect } from '@preact/signals';
import { beforeEach, describe, expect, test } from 'vitest';
import { listed, Pace, Store } from '../src/store';
import type { Device } from '../src/types';

export function device(id: string, more: Partial<Device> = {}): Device {
  return {
    key: `aldis/${id}`, prefix: 'aldis', id, title: null, status: 'online', since_ms: 1, lamp: 'off', sensor: 'ok',
    t: 20, h: 50, taken_ms: 1000, first_ms: 0, last_ms: 1000, gaps: 0, lost: 0, diag: null, ...more,
  };
}

describe('the store', () => {
  let run: (() => void)[] = [];
  let store: Store;
  beforeEach(() => {
    run = [];
    store = new Store((soon) => run.push(soon));
    store.replace([device('a'), device('b')]);
  });
  const flush = (): void => run.splice(0).forEach((each) => each());

  // A thousand readings a second would draw a thousand times.
  test('draws what comes together once, and only the device it is of', () => {
    let a = 0;
    let b = 0;
    effect(() => (store.signal('aldis/a')!.value, void (a += 1)));
    effect(() => (store.signal('aldis/b')!.value, void (b += 1)));
    for (let n = 1; n <= 50; n += 1) store.reading({ key: 'aldis/a', taken_ms: 1000 + n, t: n, h: 1, late: false });
    expect(run.length).toBe(1);
    flush();
    expect([a, b]).toEqual([2, 1]);
    expect(store.signal('aldis/a')!.value.t).toBe(50);
  });

  // A reading of the night's outage would stand as the present.
  test('a reading that comes late does not go back', () => {
    store.reading({ key: 'aldis/a', taken_ms: 500, t: -9, h: 1, late: true });
    flush();
    expect(store.get('aldis/a')!.t).toBe(20);
  });

  // A list sorted anew at each reading jumps, and costs.
  test('lists change when a status does, not when a value does', () => {
    const before = store.shape.value;
    store.reading({ key: 'aldis/a', taken_ms: 2000, t: 30, h: 1, late: false });
    flush();
    expect(store.shape.value).toBe(before);
    store.change(device('a', { status: 'offline' }));
    flush();
    expect(store.shape.value).toBe(before + 1);
  });

  // What came between a change and its drawing would be lost.
  test('a reading behind a change that waits keeps both', () => {
    store.change(device('a', { lamp: 'on' }));
    store.reading({ key: 'aldis/a', taken_ms: 3000, t: 31, h: 1, late: false });
    flush();
    expect(store.get('aldis/a')).toMatchObject({ lamp: 'on', t: 31 });
  });

  test('a device that is removed does not come back with what waits', () => {
    store.reading({ key: 'aldis/a', taken_ms: 2000, t: 30, h: 1, late: false });
    store.remove('aldis/a');
    flush();
    expect(store.get('aldis/a')).toBeUndefined();
    store.replace([device('b')]);
    expect(store.size).toBe(1);
  });
});

describe('the list', () => {
  const devices = [
    device('n10'), device('n9', { status: 'offline' }), device('x', { title: 'Žemuogė', sensor: 'missing' }), device('y', { title: 'aikštė' }),
  ];
  const ids = (find: string, sorting: 'name' | 'trouble'): string[] => listed(devices, find, sorting, 'lt').map(({ id }) => id);

  // "n10" before "n9", and "Ž" behind everything that is ASCII.
  test('is in the order of the language', () => {
    expect(ids('', 'name')).toEqual(['y', 'n9', 'n10', 'x']);
  });

  test('may have trouble first', () => {
    expect(ids('', 'trouble')).toEqual(['n9', 'x', 'y', 'n10']);
  });

  test('finds by title and by id, in any case', () => {
    expect(ids('žem', 'name')).toEqual(['x']);
    expect(ids('ALDIS n1', 'name')).toEqual(['n10']);
    expect(ids('nothing', 'name')).toEqual([]);
  });
});

describe('pace', () => {
  // A device that measures hourly would be marked as old for 59 minutes of each hour.
  test('learns how often a device measures', () => {
    const pace = new Pace();
    expect(pace.limit('a')).toBe(60_000);
    for (let n = 0; n < 3; n += 1) pace.reading('a', n * 3_600_000);
    expect(pace.limit('a')).toBe(3 * 3_600_000);
    for (let n = 0; n < 200; n += 1) pace.reading('a', 3 * 3_600_000 + n * 5000);
    expect(pace.limit('a')).toBe(60_000);
  });
});
