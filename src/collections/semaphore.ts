// Work that takes turns: a number of tasks at a time, the others in the order in which they came.

export class Semaphore {
  readonly #max: number;
  readonly #queue: (() => void)[] = [];
  #active = 0;

  /** @param max tasks at the same time, 1 or more */
  constructor(max: number) {
    this.#max = max;
  }

  /** Tasks under way. */
  get active(): number {
    return this.#active;
  }

  /** Tasks that would have to wait behind these, now. */
  get waiting(): number {
    return this.#queue.length;
  }

  /** Whether the next task would have to wait. */
  get isBusy(): boolean {
    return this.#active >= this.#max;
  }

  /** Runs a task when it is its turn, and settles as it does. How many may wait is the caller's to bound. */
  async run<T>(task: () => Promise<T>): Promise<T> {
    if (this.isBusy) await new Promise<void>((resolve) => this.#queue.push(resolve));
    else this.#active++;
    try {
      return await task();
    } finally {
      // The turn is handed on: nobody who comes now can take it away.
      const next = this.#queue.shift();
      if (next === undefined) this.#active--;
      else next();
    }
  }
}
