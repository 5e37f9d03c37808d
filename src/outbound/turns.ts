// Turns: so many may be under way at a time, and so many wait for theirs in order. Neither runtime's own client bounds
// what goes to one server.

export class Turns {
  readonly #max: number;
  readonly #maxWaiting: number;
  readonly #waiting: (() => void)[] = [];
  #taken = 0;

  /**
   * @param max turns at the same time
   * @param maxWaiting callers that may wait for one
   */
  constructor(max: number, maxWaiting: number) {
    this.#max = max;
    this.#maxWaiting = maxWaiting;
  }

  /** Turns taken now. */
  get taken(): number {
    return this.#taken;
  }

  /** Callers that wait. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Whether there is neither a turn nor a place to wait for one: ask before `take`. */
  get isFull(): boolean {
    return this.#taken >= this.#max && this.#waiting.length >= this.#maxWaiting;
  }

  /** Takes a turn, to be given back. @returns null when it is there at once */
  take(): Promise<void> | null {
    if (this.#taken < this.#max) {
      this.#taken++;
      return null;
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Gives a turn back; whoever waits longest has it then. */
  give(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#taken--;
    else next();
  }
}
