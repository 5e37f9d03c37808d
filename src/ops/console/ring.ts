// The last so many of something, the oldest of which gives way: bounded by number and by what they weigh.

export class Ring<T> {
  readonly #max: number;
  readonly #weightMax: number;
  readonly #weigh: (item: T) => number;
  #items: T[] = [];
  /** Where the oldest is; before it nothing is kept. */
  #head = 0;
  #weight = 0;

  constructor(max: number, weightMax = Infinity, weigh: (item: T) => number = () => 0) {
    this.#max = max;
    this.#weightMax = weightMax;
    this.#weigh = weigh;
  }

  get size(): number {
    return this.#items.length - this.#head;
  }

  push(item: T): void {
    this.#items.push(item);
    this.#weight += this.#weigh(item);
    while (this.size > this.#max || this.#weight > this.#weightMax && this.size > 1) {
      this.#weight -= this.#weigh(this.#items[this.#head]!);
      this.#items[this.#head++] = undefined as T;
    }
    if (this.#head > this.#max) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
  }

  /** Oldest first. */
  all(): T[] {
    return this.#items.slice(this.#head);
  }
}
