// Answers that are dear to make, shared by those who ask for the same at the same time. Who asks now and then gets a new one
// each time; where many ask, making them takes a tenth of the loop at most, and they get the last one.

/** What making costs, in times of itself: a tenth of the loop. */
const TIMES = 9;
/** How far ahead of that it may be. */
const AHEAD_MS = 500;
/** Answers that are kept; the one that was made longest ago is forgotten first. */
const KEPT_MAX = 64;

/** An answer that was made, and the milliseconds of work that it took, without what others did in between. */
export interface Made {
  readonly text: string;
  readonly ms: number;
}

/** By what it keeps time: `now` in milliseconds of a monotonic clock, `wait` resolves so many of them later. */
export interface Pace {
  readonly now: () => number;
  readonly wait: (ms: number) => Promise<void>;
}

export class FreshEnough<K> {
  readonly #make: (key: K) => Promise<Made>;
  readonly #clock: Pace;
  /** The last answers, oldest first. */
  readonly #made = new Map<K, string>();
  readonly #making = new Map<K, Promise<string>>();
  /** When all that was made is paid for. */
  #paidAt = Number.NEGATIVE_INFINITY;

  constructor(make: (key: K) => Promise<Made>, clock: Pace) {
    this.#make = make;
    this.#clock = clock;
  }

  get(key: K): Promise<string> {
    const making = this.#making.get(key);
    if (making !== undefined) return making;
    const made = this.#made.get(key);
    if (made !== undefined && this.#waitMs > 0) return Promise.resolve(made);
    const remade = this.#remake(key).finally(() => this.#making.delete(key));
    this.#making.set(key, remade);
    return remade;
  }

  get #waitMs(): number {
    return this.#paidAt - AHEAD_MS - this.#clock.now();
  }

  async #remake(key: K): Promise<string> {
    // Nobody has asked for this one of late, and others for a lot.
    while (this.#waitMs > 0) await this.#clock.wait(this.#waitMs);
    const { text, ms } = await this.#make(key);
    this.#paidAt = Math.max(this.#paidAt, this.#clock.now()) + ms * TIMES;
    this.#made.delete(key);
    this.#made.set(key, text);
    if (this.#made.size > KEPT_MAX) this.#made.delete(this.#made.keys().next().value!);
    return text;
  }
}
