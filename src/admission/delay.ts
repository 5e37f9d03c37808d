// Answers that wait: a bad ticket is answered a moment later, so that guessing is slow, while nothing but the
// connection itself waits with it. How many may wait is bounded; above that, answers come at once.

import type { Timed, TimerWheel } from "../session/timer_wheel.ts";

/** Answers waiting at the same time, all tenants together. */
export const WAITING_MAX = 4096;

export class Delay {
  readonly #wheel: TimerWheel;
  readonly #max: number;
  #waiting = 0;

  constructor(wheel: TimerWheel, max: number = WAITING_MAX) {
    this.#wheel = wheel;
    this.#max = max;
  }

  /** Answers waiting now. */
  get waiting(): number {
    return this.#waiting;
  }

  /** The value, `delayMs` later; or at once where there is nothing to wait for or too many wait already. */
  after<T>(delayMs: number, value: T): T | Promise<T> {
    if (delayMs === 0 || this.#waiting >= this.#max) return value;
    this.#waiting++;
    return new Promise((resolve) => {
      const entry: Timed = {
        timerSlot: -1,
        timerIndex: -1,
        timerDue: 0,
        onTimer: () => {
          this.#waiting--;
          resolve(value);
          return 0;
        },
      };
      this.#wheel.schedule(entry, delayMs);
    });
  }
}
