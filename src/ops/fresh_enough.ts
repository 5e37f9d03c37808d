// An answer that is dear to make, shared by those who ask at the same time. Who asks now and then gets a new one each time;
// where many ask, making it takes a tenth of the loop at most, and they get the last one.

/** What making costs, in times of itself: a tenth of the loop. */
const TIMES = 9;
/** How far ahead of that it may be. */
const AHEAD_MS = 500;

export class FreshEnough {
  readonly #make: () => Promise<string>;
  readonly #now: () => number;
  #made = "";
  /** When all that was made is paid for. */
  #paidAt = Number.NEGATIVE_INFINITY;
  #making: Promise<string> | null = null;

  /** @param now milliseconds of a monotonic clock */
  constructor(make: () => Promise<string>, now: () => number) {
    this.#make = make;
    this.#now = now;
  }

  get(): Promise<string> {
    if (this.#making !== null) return this.#making;
    if (this.#paidAt - this.#now() > AHEAD_MS) return Promise.resolve(this.#made);
    return this.#making = this.#remake().finally(() => this.#making = null);
  }

  async #remake(): Promise<string> {
    const startedAt = this.#now();
    this.#made = await this.#make();
    const now = this.#now();
    this.#paidAt = Math.max(this.#paidAt, now) + (now - startedAt) * TIMES;
    return this.#made;
  }
}
