//! Removing many devices: a few at a time, and not on and on against a hub that cannot.

/** So many requests at once; more would hold up what the page asks besides. */
const AT_ONCE = 4;

export interface Removal {
  done: number;
  /** Why it ended early; nothing if it did not, or was stopped. */
  problem: unknown;
}

/** Removes the devices in order, until one fails or `signal` stops it; tells each that is done. */
export async function removeAll(
  keys: readonly string[],
  remove: (key: string) => Promise<void>,
  told: (done: number) => void,
  signal: AbortSignal,
): Promise<Removal> {
  const rest = [...keys];
  const removal: Removal = { done: 0, problem: null };
  const work = async (): Promise<void> => {
    for (let key = rest.shift(); key !== undefined && !signal.aborted; key = rest.shift()) {
      try {
        await remove(key);
      } catch (problem) {
        removal.problem ??= problem;
        rest.length = 0;
        return;
      }
      removal.done += 1;
      told(removal.done);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return removal;
}
