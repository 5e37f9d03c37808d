// Token buckets, written as the equivalent GCRA ("virtual scheduling", ITU-T I.371): a bucket's whole state is
// one number, the time at which it will be full again. So a session pays 8 bytes for its limiter, an
// address in the handshake limiter pays a Map entry, and waiting times come out exact.

/** Some sixteen times the rounding of one sum: 0.3 ns after a day. */
const CLOCK_PRECISION = 2 ** -48;

/** Rate and burst of many buckets. Times are milliseconds of one monotonic clock. */
export class Rate {
  readonly #intervalMs: number;
  readonly #burstMs: number;

  /**
   * @param perSecond tokens that come back each second, above 0
   * @param burst tokens of a full bucket, 1 or more
   */
  constructor(perSecond: number, burst: number) {
    this.#intervalMs = 1000 / perSecond;
    this.#burstMs = this.#intervalMs * burst;
  }

  /**
   * Milliseconds until `count` tokens are there, or all that the bucket holds where that is fewer: 0 when they are. What
   * is larger than the bucket waits until it is full, and then leaves a debt. `fullAt` is the bucket's state, 0 for a new
   * one.
   */
  waitMs(fullAt: number, now: number, count = 1): number {
    const needMs = Math.min(this.#intervalMs * count, this.#burstMs);
    const wait = Math.max(fullAt, now) + needMs - this.#burstMs - now;
    // What the sums above can lose by rounding, on a clock that has run for long, is not a missing token.
    return wait > Math.max(this.#intervalMs * 1e-6, now * CLOCK_PRECISION) ? wait : 0;
  }

  /** Tokens of a full bucket, and those that are in this one now. */
  levels(fullAt: number, now: number): { readonly burst: number; readonly left: number } {
    const burst = this.#burstMs / this.#intervalMs;
    return { burst, left: Math.max(0, (this.#burstMs - Math.max(0, fullAt - now)) / this.#intervalMs) };
  }

  /** The bucket's state after `count` tokens are taken, there or not; it owes `count` at most. */
  takeMany(fullAt: number, now: number, count: number): number {
    const taken = Math.max(fullAt, now) + this.#intervalMs * count;
    return Math.min(taken, now + this.#burstMs + this.#intervalMs * count);
  }

  /** A bucket's state that other numbers may have left behind: it is empty at worst, and owes `owed` besides. */
  capped(fullAt: number, now: number, owed = 0): number {
    return Math.min(fullAt, now + this.#burstMs + this.#intervalMs * owed);
  }

  /** The bucket's state after `count` tokens are taken; ask `waitMs` first. */
  take(fullAt: number, now: number, count = 1): number {
    return Math.max(fullAt, now) + this.#intervalMs * count;
  }
}
