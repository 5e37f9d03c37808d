// A circuit breaker: when too many questions fail nobody is asked for a while, then one tries whether things are well
// again. It spares the callers the wait, and whoever is down the rush.

/** Failures in a row that open it. */
const FAILURES_MAX = 5;
/** So many of the last ones open it too, for a server that still answers now and then. */
const RATE = { failures: 10, of: 20 } as const;
/** How long it stays open: at first, and at most, doubling in between. */
const OPEN_MS = { least: 1000, most: 30_000 } as const;

export class Breaker {
  readonly #now: () => number;
  /** In a row. */
  #failures = 0;
  /** The last outcomes, true for a failure, oldest first. */
  #recent: boolean[] = [];
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

  /** Milliseconds until it makes sense to ask, 0 for now. */
  get waitMs(): number {
    if (this.#openMs === 0) return 0;
    const wait = this.#openUntil - this.#now();
    if (wait > 0) return wait;
    // The one that tries will tell; the others are told to wait as long as it may take.
    return this.#trying ? OPEN_MS.least : 0;
  }

  /** Asks for leave to try; with leave, one of the outcomes MUST be told. @returns 0 for yes, else `waitMs` */
  enter(): number {
    const wait = this.waitMs;
    if (wait === 0 && this.#openMs > 0) this.#trying = true;
    return wait;
  }

  succeeded(): void {
    this.#failures = 0;
    if (this.#openMs > 0) this.#recent = [];
    this.#openMs = 0;
    this.#trying = false;
    this.#note(false);
  }

  /** @returns whether this failure has opened it */
  failed(): boolean {
    this.#failures++;
    this.#note(true);
    const tried = this.#trying;
    this.#trying = false;
    // What was under way when it opened says nothing new.
    if (!tried && (this.#openMs > 0 || !this.#isTooMany())) return false;
    this.#openMs = Math.min(OPEN_MS.most, Math.max(OPEN_MS.least, this.#openMs * 2));
    this.#openUntil = this.#now() + this.#openMs;
    return !tried;
  }

  #note(failure: boolean): void {
    this.#recent.push(failure);
    if (this.#recent.length > RATE.of) this.#recent.shift();
  }

  #isTooMany(): boolean {
    return this.#failures >= FAILURES_MAX ||
      this.#recent.filter((failure) => failure).length >= RATE.failures;
  }
}
