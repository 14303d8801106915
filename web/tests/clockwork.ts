//! Timers that a test turns by hand.

export class Clockwork {
  now = 0;
  private waiting: { at: number; run: () => void; id: number }[] = [];
  private ids = 0;

  readonly later = (run: () => void, ms: number): number => {
    this.ids += 1;
    this.waiting.push({ at: this.now + ms, run, id: this.ids });
    return this.ids;
  };
  readonly cancel = (id: unknown): void => {
    this.waiting = this.waiting.filter((each) => each.id !== id);
  };

  turn(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const next = this.waiting.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.cancel(next.id);
      this.now = next.at;
      next.run();
    }
    this.now = end;
  }

  /** When the next timer fires, from now. */
  get next(): number | null {
    return this.waiting.length === 0 ? null : Math.min(...this.waiting.map(({ at }) => at)) - this.now;
  }
}
