// Buckets of many users or rooms, made when somebody first sends and forgotten when they are full again. Their number is
// bounded: a crowd beyond the bound has the oldest ones forgotten early.

import type { Rate } from "./rate.ts";

/** Buckets looked at for each new one: more than come, so that those which are full do not pile up. */
const LOOKS = 2;

export class Buckets {
  readonly #max: number;
  /** When each is full again (see rate.ts); in the order in which they were last looked at. */
  readonly #fullAt = new Map<string, number>();

  /** @param max how many are remembered at most */
  constructor(max = 100_000) {
    this.#max = max;
  }

  get size(): number {
    return this.#fullAt.size;
  }

  /** Milliseconds until so many tokens are there; see `Rate.waitMs`. */
  waitMs(rate: Rate, key: string, now: number, count: number): number {
    return rate.waitMs(this.#fullAt.get(key) ?? 0, now, count);
  }

  /** The state of one, for whoever looks at it. */
  fullAt(key: string): number {
    return this.#fullAt.get(key) ?? 0;
  }

  /** Takes tokens; ask `waitMs` first. */
  take(rate: Rate, key: string, now: number, count: number): void {
    const fullAt = this.#fullAt.get(key);
    this.#fullAt.set(key, rate.take(fullAt ?? 0, now, count));
    if (fullAt === undefined) this.#forget(now);
  }

  /** Goes on with another rate: each bucket is empty at worst; without a rate, none is remembered. */
  apply(rate: Rate | null, now: number): void {
    if (rate === null) this.#fullAt.clear();
    else for (const [key, fullAt] of this.#fullAt) this.#fullAt.set(key, rate.capped(fullAt, now));
  }

  #forget(now: number): void {
    for (let i = 0; i < LOOKS; i++) {
      const [key, fullAt] = this.#fullAt.entries().next().value!;
      this.#fullAt.delete(key);
      // Not yet full: it goes behind all others, and the next look is at another one.
      if (fullAt > now && this.#fullAt.size < this.#max) this.#fullAt.set(key, fullAt);
      if (this.#fullAt.size === 0) return;
    }
  }
}
