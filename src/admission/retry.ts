// How long a refused client should stay away. The gateway adds the jitter, since clients cannot be trusted to: those
// that were refused together must not come back together.

/** Widths of the spread in milliseconds: for what concerns one address, and for what concerns everybody at once. */
export const SPREAD_MS = { one: 1000, all: 5000 } as const;

export class Retry {
  readonly #random: () => number;

  /** @param random 0 up to, not including, 1 */
  constructor(random: () => number) {
    this.#random = random;
  }

  /** A time to stay away in whole milliseconds: never below `waitMs`, spread over `spreadMs`, or as much as the wait. */
  after(waitMs: number, spreadMs: number): number {
    return Math.ceil(waitMs + this.#random() * Math.max(spreadMs, waitMs));
  }
}
