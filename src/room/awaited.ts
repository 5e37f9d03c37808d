// Those who wait until a record of a log has been dealt with.

export class Awaited {
  #waiting: { readonly sequence: number; readonly resolve: () => void }[] = [];

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  /** Whether somebody waits for a record behind this one. */
  isBeyond(sequence: number): boolean {
    return this.#waiting.some((one) => one.sequence > sequence);
  }

  /** Resolves with the record of this sequence, at the latest. */
  add(sequence: number): Promise<void> {
    return new Promise((resolve) => this.#waiting.push({ sequence, resolve }));
  }

  /** All up to this record have been dealt with. */
  reached(sequence: number): void {
    while (this.#waiting.length > 0 && this.#waiting[0]!.sequence <= sequence) {
      this.#waiting.shift()!.resolve();
    }
  }

  /** Lets all go who wait now, once what is returned is called. */
  all(): () => void {
    const waiting = this.#waiting;
    this.#waiting = [];
    return () => waiting.forEach(({ resolve }) => resolve());
  }
}
