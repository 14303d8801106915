import { expect, test } from 'vitest';
import { removeAll } from '../src/removal';

const KEYS = Array.from({ length: 20 }, (_, index) => `a/${index}`);

// A thousand requests at once would hold up the page, and the hub.
test('all are removed, a few at a time, and each is told', async () => {
  const gone: string[] = [];
  const told: number[] = [];
  let under = 0;
  let most = 0;
  const remove = async (key: string): Promise<void> => {
    most = Math.max(most, (under += 1));
    await Promise.resolve();
    under -= 1;
    gone.push(key);
  };
  const removal = await removeAll(KEYS, remove, (done) => told.push(done), new AbortController().signal);
  expect(removal).toEqual({ done: 20, problem: null });
  expect([...gone].sort()).toEqual([...KEYS].sort());
  expect(told).toEqual(KEYS.map((_, index) => index + 1));
  expect(most).toBe(4);
});

// A hub without its broker would be asked a thousand times, and say no to each.
test('one that fails ends it, and what was done counts', async () => {
  let asked = 0;
  const remove = async (): Promise<void> => {
    asked += 1;
    if (asked > 6) throw new Error('no broker');
  };
  const removal = await removeAll(KEYS, remove, () => undefined, new AbortController().signal);
  expect(removal.done).toBe(6);
  expect(String(removal.problem)).toBe('Error: no broker');
  expect(asked).toBeLessThanOrEqual(6 + 4);
});

test('it is stopped in the middle', async () => {
  const stop = new AbortController();
  const removal = await removeAll(KEYS, async () => undefined, (done) => done === 5 && stop.abort(), stop.signal);
  expect(removal.problem).toBe(null);
  expect(removal.done).toBeGreaterThanOrEqual(5);
  expect(removal.done).toBeLessThan(12);
});
