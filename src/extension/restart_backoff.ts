// When an extension that was ended, or did not start, is started again: at once at first, later the more often it happens,
// and after five kills within a minute not for a while. A clock brings the time; nothing here waits.

/** Kills within `WINDOW_MS` after which an extension is left alone. */
const KILLS_MAX = 5;
const WINDOW_MS = 60_000;
/** Before the second, third and fourth start within the window. */
const DELAYS_MS = [0, 100, 200, 400] as const;
/** How long it is left alone: the first time, and at most. */
const ALONE_MS = { least: 10_000, most: 300_000 } as const;
/** After a start that failed; it doubles. */
const RETRY_MS = { least: 1000, most: 60_000 } as const;

/** When to start again. */
export interface Wait {
  readonly ms: number;
  /** It is left alone now, for it was killed too often. */
  readonly alone: boolean;
}

export class RestartBackoff {
  #kills: number[] = [];
  #aloneMs = 0;
  #failedStarts = 0;

  /** It was ended, and it was its own fault. */
  killed(now: number): Wait {
    const recent = this.#kills.filter((at) => now - at < WINDOW_MS);
    if (recent.length === 0) this.#aloneMs = 0;
    recent.push(now);
    this.#kills = recent;
    if (recent.length < KILLS_MAX) return { ms: DELAYS_MS[recent.length - 1]!, alone: false };
    this.#aloneMs = Math.min(ALONE_MS.most, Math.max(ALONE_MS.least, this.#aloneMs * 2));
    // Once it is back, one more within a minute is enough.
    this.#kills = Array(KILLS_MAX - 1).fill(now + this.#aloneMs);
    return { ms: this.#aloneMs, alone: true };
  }

  /** It did not come to be: its code failed, or there was no host for it. */
  failed(): Wait {
    const ms = Math.min(RETRY_MS.most, RETRY_MS.least * 2 ** Math.min(this.#failedStarts, 16));
    this.#failedStarts++;
    return { ms, alone: false };
  }

  /** It has started. */
  ready(): void {
    this.#failedStarts = 0;
  }
}
