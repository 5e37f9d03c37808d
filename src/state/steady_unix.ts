// Unix time that does not jump ahead. What ends at a given time (a ban, a row of the state) is decided by the wall clock,
// and a clock that is set wrongly, by hours or years, must not end it for good: after a step forward, time goes on here as
// before, until the clock has stood by its new time for a day or has come back.

/** A difference that is no step: clocks are corrected by as much all the time. */
const STEP_MS = 60_000;
/** For so long a clock must stand by its new time to be believed. */
const BELIEF_MS = 86_400_000;

/** What is remembered over a restart. */
export interface Steadiness {
  /** Unix time minus the other clock's. */
  readonly skewMs: number;
  /** When the step was seen, by the other clock; null where there was none. */
  readonly stepAt: number | null;
}

export class SteadyUnix {
  readonly #unixMs: () => number;
  readonly #now: () => number;
  #skewMs: number;
  #stepAt: number | null;

  /**
   * @param unixMs Unix time in milliseconds, by a clock that may be set
   * @param now milliseconds of a clock that is never set
   */
  constructor(unixMs: () => number, now: () => number, before: Steadiness | null = null) {
    this.#unixMs = unixMs;
    this.#now = now;
    this.#skewMs = before?.skewMs ?? unixMs() - now();
    this.#stepAt = before?.stepAt ?? null;
  }

  get steadiness(): Steadiness {
    return { skewMs: this.#skewMs, stepAt: this.#stepAt };
  }

  /** Milliseconds by which the clock is ahead of this, 0 as long as it is believed. */
  get aheadMs(): number {
    const now = this.#now(), unixMs = this.#unixMs();
    const stepMs = unixMs - (now + this.#skewMs);
    if (Math.abs(stepMs) < STEP_MS) this.#follow(unixMs - now);
    else if (now - (this.#stepAt ??= now) >= BELIEF_MS) this.#follow(unixMs - now);
    else return Math.max(0, stepMs);
    return 0;
  }

  /** Unix time in milliseconds, never ahead of the clock. */
  get unixMs(): number {
    return this.#unixMs() - this.aheadMs;
  }

  #follow(skewMs: number): void {
    this.#skewMs = skewMs;
    this.#stepAt = null;
  }
}
