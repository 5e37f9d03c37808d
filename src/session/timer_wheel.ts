// One timer for all sessions. Each entry waits in the slot of its due time; a tick visits one slot. An entry
// due later than one turn of the wheel is met once a turn and stays, so setting one costs the same for any time.

/** Something with at most one deadline. The wheel keeps the first three fields; start them at -1, -1 and 0. */
export interface Timed {
  timerSlot: number;
  timerIndex: number;
  timerDue: number;
  /** The deadline has passed. @returns milliseconds to the next one, 0 for none */
  onTimer(now: number): number;
}

const TICK_MS = 100;
const SLOTS = 1024;

export class TimerWheel {
  readonly #slots: Timed[][] = Array.from({ length: SLOTS }, () => []);
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

  /** Sets or moves an entry's deadline. */
  schedule(entry: Timed, delayMs: number): void {
    this.cancel(entry);
    entry.timerDue = this.#now() + delayMs;
    const tick = Math.max(Math.ceil(entry.timerDue / TICK_MS), this.#tick + 1);
    const slot = tick % SLOTS;
    entry.timerSlot = slot;
    entry.timerIndex = this.#slots[slot]!.push(entry) - 1;
    this.#size++;
  }

  cancel(entry: Timed): void {
    if (entry.timerSlot < 0) return;
    const slot = this.#slots[entry.timerSlot]!;
    const last = slot.pop()!;
    if (last !== entry) {
      slot[entry.timerIndex] = last;
      last.timerIndex = entry.timerIndex;
    }
    entry.timerSlot = entry.timerIndex = -1;
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
      // Backwards: what a visit moves or cancels is replaced by an entry that was visited already.
      for (let i = slot.length - 1; i >= 0; i--) {
        const entry = slot[i];
        if (entry === undefined || entry.timerDue > now) continue;
        this.cancel(entry);
        const next = entry.onTimer(now);
        if (next > 0) this.schedule(entry, next);
      }
    }
  }
}
