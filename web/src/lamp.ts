//! A lamp's command, from the finger to the answer of the device.

import { signal, type Signal } from '@preact/signals';
import type { Answer, Lamp } from './types';

export type LampPhase =
  | { phase: 'idle' }
  | { phase: 'pending'; wanted: Lamp; id: string | null }
  | { phase: 'done'; wanted: Lamp }
  | { phase: 'refused'; reason: string | null }
  /** Nothing came in time; an answer that comes after all still counts. */
  | { phase: 'silent'; wanted: Lamp; id: string | null }
  | { phase: 'failed'; message: string };

/** How long an answer may take. Longer than a device needs to notice that it lost contact, it is not waited. */
export const ANSWER_MS = 10_000;
/** How many answers are remembered that came before the hub had told us the id they are for. */
const EARLY = 100;

export interface LampOptions {
  send: (key: string, wanted: Lamp) => Promise<string>;
  told: (error: unknown) => string;
  later: (run: () => void, ms: number) => unknown;
  cancel: (timer: unknown) => void;
}

export class Lamps {
  private readonly phases = new Map<string, Signal<LampPhase>>();
  private readonly timers = new Map<string, unknown>();
  private readonly early = new Map<string, Answer>();

  constructor(private readonly options: LampOptions) {}

  of(key: string): Signal<LampPhase> {
    let phase = this.phases.get(key);
    if (!phase) this.phases.set(key, (phase = signal<LampPhase>({ phase: 'idle' })));
    return phase;
  }

  async command(key: string, wanted: Lamp): Promise<void> {
    const phase = this.of(key);
    if (phase.peek().phase === 'pending') return;
    const mine: LampPhase = { phase: 'pending', wanted, id: null };
    phase.value = mine;
    this.timers.set(key, this.options.later(() => this.silent(key), ANSWER_MS));
    let id: string;
    try {
      id = await this.options.send(key, wanted);
    } catch (error) {
      if (phase.peek() === mine) this.settle(key, { phase: 'failed', message: this.options.told(error) });
      return;
    }
    const now = phase.peek();
    if ((now.phase !== 'pending' && now.phase !== 'silent') || now.id !== null) return;
    const early = this.early.get(id);
    phase.value = { ...now, id };
    if (early) this.answer(early);
  }

  /** What a device answered, to whomever. */
  answer(answer: Answer): void {
    const phase = this.of(answer.key);
    const now = phase.peek();
    if ((now.phase === 'pending' || now.phase === 'silent') && now.id === answer.id) {
      this.settle(
        answer.key,
        answer.done ? { phase: 'done', wanted: now.wanted } : { phase: 'refused', reason: answer.reason },
      );
      return;
    }
    this.early.set(answer.id, answer);
    if (this.early.size > EARLY) {
      const oldest = this.early.keys().next().value;
      if (oldest !== undefined) this.early.delete(oldest);
    }
  }

  /** The ids of which nothing is known yet, by device: after a gap they are looked up. */
  open(): { key: string; id: string }[] {
    const open = [];
    for (const [key, signal] of this.phases) {
      const phase = signal.peek();
      if ((phase.phase === 'pending' || phase.phase === 'silent') && phase.id !== null) open.push({ key, id: phase.id });
    }
    return open;
  }

  clear(): void {
    for (const timer of this.timers.values()) this.options.cancel(timer);
    this.timers.clear();
    this.phases.clear();
    this.early.clear();
  }

  private silent(key: string): void {
    const phase = this.of(key);
    const now = phase.peek();
    if (now.phase === 'pending') phase.value = { phase: 'silent', wanted: now.wanted, id: now.id };
  }

  private settle(key: string, phase: LampPhase): void {
    this.options.cancel(this.timers.get(key));
    this.timers.delete(key);
    this.of(key).value = phase;
  }
}
