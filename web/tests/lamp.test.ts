import { beforeEach, describe, expect, test } from 'vitest';
import { ANSWER_MS, Lamps } from '../src/lamp';
import { Clockwork } from './clockwork';

describe('a lamp', () => {
  let clock: Clockwork;
  let sent: { key: string; wanted: string; give: (id: string) => void; fail: (error: unknown) => void }[];
  let lamps: Lamps;
  beforeEach(() => {
    clock = new Clockwork();
    sent = [];
    lamps = new Lamps({
      send: (key, wanted) => new Promise((give, fail) => sent.push({ key, wanted, give, fail })),
      told: (error) => String(error),
      later: clock.later,
      cancel: clock.cancel,
    });
  });
  const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const answer = (id: string, done = true, reason: string | null = null): void => lamps.answer({ key: 'k', id, done, reason });
  const phase = (): unknown => lamps.of('k').value;

  test('is pending until the device answers', async () => {
    void lamps.command('k', 'on');
    expect(phase()).toMatchObject({ phase: 'pending', wanted: 'on' });
    sent[0]!.give('w-1');
    await settled();
    answer('w-2');
    expect(phase()).toMatchObject({ phase: 'pending' });
    answer('w-1');
    expect(phase()).toEqual({ phase: 'done', wanted: 'on' });
    clock.turn(ANSWER_MS * 2);
    expect(phase()).toEqual({ phase: 'done', wanted: 'on' });
  });

  // On loopback the answer is faster than the hub's own: it would be missed, and "no answer" shown.
  test('an answer that is faster than the hub counts', async () => {
    void lamps.command('k', 'off');
    answer('w-1', false, 'busy');
    sent[0]!.give('w-1');
    await settled();
    expect(phase()).toEqual({ phase: 'refused', reason: 'busy' });
  });

  // The switch would wait for ever.
  test('a device that does not answer is told, and may answer late', async () => {
    void lamps.command('k', 'on');
    sent[0]!.give('w-1');
    await settled();
    clock.turn(ANSWER_MS);
    expect(phase()).toMatchObject({ phase: 'silent', wanted: 'on' });
    expect(lamps.open()).toEqual([{ key: 'k', id: 'w-1' }]);
    answer('w-1');
    expect(phase()).toEqual({ phase: 'done', wanted: 'on' });
    expect(lamps.open()).toEqual([]);
  });

  test('a hub that is slower than the patience still gives the id', async () => {
    void lamps.command('k', 'on');
    clock.turn(ANSWER_MS);
    sent[0]!.give('w-1');
    await settled();
    answer('w-1');
    expect(phase()).toEqual({ phase: 'done', wanted: 'on' });
  });

  // A double click would switch twice.
  test('one command at a time', async () => {
    void lamps.command('k', 'on');
    void lamps.command('k', 'off');
    expect(sent.length).toBe(1);
    sent[0]!.fail('away');
    await settled();
    expect(phase()).toEqual({ phase: 'failed', message: 'away' });
    void lamps.command('k', 'off');
    expect(sent.length).toBe(2);
    // The patience of the command that failed is over: it must not end this one.
    clock.turn(ANSWER_MS - 1);
    expect(phase()).toMatchObject({ phase: 'pending', wanted: 'off' });
  });
});
