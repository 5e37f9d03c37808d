// A circuit breaker: after failures in a row nobody is asked for a while, then one question tries whether things are
// well again. It spares the callers the wait, and whoever is down the rush.

/** Failures in a row that open it. */
const FAILURES_MAX = 5;
/** How long it stays open: at first, and at most, doubling in between. */
const OPEN_MS = { least: 1000, most: 30_000 } as const;

export class Breaker {
  readonly #now: () => number;
  #failures = 0;
  #openMs = 0;
  #openUntil = 0;
  #trying = false;

  /** @param now milliseconds of a monotonic clock */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Whether it is closed, as long as all is well. */
  get isClosed(): boolean {
    return this.#openMs === 0;
  }

  /** Asks for leave to try. @returns 0 for yes, else milliseconds until it makes sense to ask again */
  enter(): number {
    if (this.#openMs === 0) return 0;
    const wait = this.#openUntil - this.#now();
    if (wait > 0) return wait;
    // The one that tries will tell; the others are told to wait as long as it may take.
    if (this.#trying) return OPEN_MS.least;
    this.#trying = true;
    return 0;
  }

  succeeded(): void {
    this.#failures = this.#openMs = 0;
    this.#trying = false;
  }

  /** @returns whether this failure has opened it */
  failed(): boolean {
    this.#failures++;
    const tried = this.#trying;
    this.#trying = false;
    // What was under way when it opened says nothing new.
    if (!tried && (this.#openMs > 0 || this.#failures < FAILURES_MAX)) return false;
    this.#openMs = Math.min(OPEN_MS.most, Math.max(OPEN_MS.least, this.#openMs * 2));
    this.#openUntil = this.#now() + this.#openMs;
    return !tried;
  }
}
