import { beforeEach, describe, expect, test } from 'vitest';
import { Live, SILENCE_MS, type Source } from '../src/live';
import { Clockwork } from './clockwork';

class FakeSource implements Source {
  closed = false;
  private readonly listeners = new Map<string, ((event: { data?: unknown }) => void)[]>();
  addEventListener(kind: string, listener: (event: { data?: unknown }) => void): void {
    this.listeners.set(kind, [...(this.listeners.get(kind) ?? []), listener]);
  }
  close(): void {
    this.closed = true;
  }
  say(kind: string, data?: unknown): void {
    for (const listener of this.listeners.get(kind) ?? []) listener({ data: typeof data === 'string' ? data : JSON.stringify(data) });
  }
}

describe('the live connection', () => {
  let sources: FakeSource[];
  let clock: Clockwork;
  let live: Live;
  let failures: number;
  const newest = (): FakeSource => sources.at(-1)!;
  beforeEach(() => {
    sources = [];
    failures = 0;
    clock = new Clockwork();
    live = new Live({
      open: () => {
        sources.push(new FakeSource());
        return newest();
      },
      failed: () => void (failures += 1),
      now: () => clock.now,
      chance: () => 1,
      later: clock.later,
      cancel: clock.cancel,
    });
    live.connect();
  });
  const hello = (): void => newest().say('hello', { hub_ms: 1, connected: true });

  test('is live with the first word of the hub', () => {
    expect(live.state.value).toBe('connecting');
    hello();
    expect(live.state.value).toBe('live');
  });

  // A hub that is away for a night would not be noticed in the morning, or asked a thousand times a second.
  test('tries again for ever, with waits that grow to ten seconds', () => {
    const waits = [];
    for (let n = 0; n < 9; n += 1) {
      newest().say('error');
      waits.push(clock.next);
      clock.turn(clock.next!);
    }
    expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 10_000, 10_000, 10_000, 10_000]);
    expect(failures).toBe(9);
    hello();
    newest().say('error');
    expect(clock.next).toBe(500);
  });

  // A connection that is dead without a word (a phone that slept, a router that forgot) would show old values as live.
  test('silence is noticed', () => {
    hello();
    clock.turn(SILENCE_MS - 1);
    newest().say('health', { now_ms: 1 });
    clock.turn(SILENCE_MS - 1);
    expect(live.state.value).toBe('live');
    clock.turn(1);
    expect(live.state.value).toBe('away');
    expect(sources[0]!.closed).toBe(true);
  });

  // Timers sleep with the machine, and whoever looked at the page all the time wakes nothing.
  test('a night without timers is noticed by the clock', () => {
    hello();
    clock.turn(SILENCE_MS - 1);
    live.check();
    expect(live.state.value).toBe('live');
    clock.now += 8 * 3_600_000;
    live.check();
    expect(live.state.value).toBe('away');
    clock.turn(500);
    hello();
    live.check();
    expect(live.state.value).toBe('live');
  });

  // A hub of which there is nothing to tell would be taken for one that has stopped.
  test('a beat is a word', () => {
    hello();
    for (let n = 0; n < 5; n += 1) {
      clock.turn(5_000);
      newest().say('beat', {});
    }
    expect(live.state.value).toBe('live');
  });

  // After a night the page would go on with a connection that is dead.
  test('a page that is woken connects anew at once, unless it was heard a moment ago', () => {
    hello();
    live.wake();
    expect(sources.length).toBe(1);
    // The machine slept: its clock went on, no timer fired.
    clock.now += 8 * 3_600_000;
    live.wake();
    expect(sources.length).toBe(2);
    expect(sources[0]!.closed).toBe(true);
    hello();
    expect(live.state.value).toBe('live');
  });

  test('waking does not wait for the next attempt', () => {
    for (let n = 0; n < 6; n += 1) {
      newest().say('error');
      clock.turn(clock.next!);
    }
    newest().say('error');
    const before = sources.length;
    live.wake();
    expect(sources.length).toBe(before + 1);
  });

  // Six hidden tabs would take all connections that a browser has for one hub.
  test('a page that sleeps has no connection and asks for none', () => {
    hello();
    live.sleep();
    expect(newest().closed).toBe(true);
    clock.turn(3_600_000);
    live.lost();
    expect(sources.length).toBe(1);
    live.wake();
    expect(sources.length).toBe(2);
  });

  // A word of a connection that was given up would be taken for one of the new.
  test('an old connection is not listened to', () => {
    const heard: unknown[] = [];
    live.on('reading', (data) => heard.push(data));
    hello();
    newest().say('error');
    clock.turn(clock.next!);
    sources[0]!.say('reading', { key: 'old' });
    sources[0]!.say('error');
    expect(live.state.value).toBe('away');
    hello();
    newest().say('reading', { key: 'new' });
    newest().say('reading', 'not JSON');
    expect(heard).toEqual([{ key: 'new' }]);
    expect(live.state.value).toBe('live');
  });

  test('after the end of the session nothing is tried', () => {
    hello();
    live.stop();
    clock.turn(3_600_000);
    live.wake();
    live.lost();
    expect(sources.length).toBe(1);
    expect(live.state.value).toBe('stopped');
  });
});
