// One timer for all sessions. Each timer waits in the slot of its due time; a tick visits one slot. A timer
// due later than one turn of the wheel is met once a turn and stays, so setting one costs the same for any time.

/** Somebody with at most one deadline. The fields are the wheel's. */
export abstract class Timer {
  slot = -1;
  index = -1;
  due = 0;

  /** The deadline has passed. @returns milliseconds to the next one, 0 for none or one that was set inside */
  abstract onTimer(now: number): number;
}

const TICK_MS = 100;
const SLOTS = 1024;

export class TimerWheel {
  readonly #slots: Timer[][] = Array.from({ length: SLOTS }, () => []);
  readonly #now: () => number;
  /** Ticks since time 0, up to which all slots have been visited. */
  #tick: number;
  #size = 0;

  /** @param now milliseconds of a monotonic clock */
  constructor(now: () => number) {
    this.#now = now;
    this.#tick = Math.floor(now() / TICK_MS);
  }

  /** How often `advance` wants to be called, in milliseconds; deadlines are met this late at most. */
  static readonly tickMs = TICK_MS;

  get size(): number {
    return this.#size;
  }

  /** Sets or moves a deadline. */
  schedule(timer: Timer, delayMs: number): void {
    this.cancel(timer);
    timer.due = this.#now() + delayMs;
    const tick = Math.max(Math.ceil(timer.due / TICK_MS), this.#tick + 1);
    const slot = tick % SLOTS;
    timer.slot = slot;
    timer.index = this.#slots[slot]!.push(timer) - 1;
    this.#size++;
  }

  cancel(timer: Timer): void {
    if (timer.slot < 0) return;
    const slot = this.#slots[timer.slot]!;
    const last = slot.pop()!;
    if (last !== timer) {
      slot[timer.index] = last;
      last.index = timer.index;
    }
    timer.slot = timer.index = -1;
    this.#size--;
  }

  /** Visits every slot whose time has come. */
  advance(): void {
    const now = this.#now();
    const until = Math.floor(now / TICK_MS);
    // After a long pause each slot is visited once, not once per missed turn.
    this.#tick = Math.max(this.#tick, until - SLOTS);
    while (this.#tick < until) {
      this.#tick++;
      const slot = this.#slots[this.#tick % SLOTS]!;
      // Backwards: what a visit moves or cancels is replaced by a timer that was visited already.
      for (let i = slot.length - 1; i >= 0; i--) {
        const timer = slot[i];
        if (timer === undefined || timer.due > now) continue;
        this.cancel(timer);
        const next = timer.onTimer(now);
        if (next > 0) this.schedule(timer, next);
      }
    }
  }
}
