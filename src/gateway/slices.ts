// Long work on the loop that serves everybody: done in slices, between which sockets are read and written.

/** Milliseconds of work after which others have their turn. */
const SLICE_MS = 2;

export class Slices {
  readonly #now: () => number;
  #since: number;

  /** @param now milliseconds of a monotonic clock */
  constructor(now: () => number) {
    this.#now = now;
    this.#since = now();
  }

  /** Call it after each small piece of the work, which goes on when this resolves. */
  async rest(): Promise<void> {
    if (this.#now() - this.#since >= SLICE_MS) await this.next();
  }

  /** Call it before a larger piece, which is to have a slice of its own. */
  async next(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 0));
    this.#since = this.#now();
  }
}
