// Long work on the loop that serves everybody: done in slices, between which sockets are read and written.

/** Milliseconds of work after which others have their turn. */
const SLICE_MS = 2;

export class Slices {
  readonly #now: () => number;
  readonly #ms: number;
  #since: number;
  #workedMs = 0;

  /** @param now milliseconds of a monotonic clock @param ms of one slice */
  constructor(now: () => number, ms = SLICE_MS) {
    this.#now = now;
    this.#ms = ms;
    this.#since = now();
  }

  /** Milliseconds of work so far, without what others did in between. */
  get workedMs(): number {
    return this.#workedMs + this.#now() - this.#since;
  }

  /** Call it after each small piece of the work, which goes on when this resolves. */
  async rest(): Promise<void> {
    if (this.#now() - this.#since >= this.#ms) await this.next();
  }

  /** Call it before a larger piece, which is to have a slice of its own. */
  async next(): Promise<void> {
    this.#workedMs = this.workedMs;
    await new Promise((resolve) => setTimeout(resolve, 0));
    this.#since = this.#now();
  }
}
