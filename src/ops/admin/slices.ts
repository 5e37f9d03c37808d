// Long work on the loop that serves everybody: done in slices, between which sockets are read and written. However many
// requests have such work, one slice of it is done in a turn of the loop; keys take turns, and so do the requests of one.

import type { AdminContext } from "./admin_context.ts";

/** Milliseconds of work after which others have their turn. */
const SLICE_MS = 4;

type Loop = Pick<AdminContext, "now" | "turn">;

/** The slices of one request. */
export interface Slices {
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
  /** Resolves when it is this request's turn again. */
  readonly turn: () => Promise<void>;
}

/** Whose turn it is. */
export class SliceQueue {
  readonly #loop: Loop;
  /** Who waits, by key; the key that has its turn next is first. */
  readonly #waiting = new Map<string, (() => void)[]>();
  #turning = false;

  constructor(loop: Loop) {
    this.#loop = loop;
  }

  /** For a request of this key. */
  of({ id }: { readonly id: string }): Slices {
    return { now: this.#loop.now, turn: () => this.#turn(id) };
  }

  #turn(id: string): Promise<void> {
    return new Promise((resolve) => {
      const own = this.#waiting.get(id);
      if (own === undefined) this.#waiting.set(id, [resolve]);
      else own.push(resolve);
      if (!this.#turning) void this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#turning = true;
    while (this.#waiting.size > 0) {
      await this.#loop.turn();
      const [[id, own]] = this.#waiting as unknown as [[string, (() => void)[]]];
      const go = own.shift()!;
      // Behind all other keys.
      this.#waiting.delete(id);
      if (own.length > 0) this.#waiting.set(id, own);
      go();
    }
    this.#turning = false;
  }
}

/** Work of one request under way: after each piece, `isOver` says whether others are to have their turn first. */
export class Slice {
  readonly #slices: Slices;
  readonly #ms: number;
  #since: number;

  constructor(slices: Slices, ms = SLICE_MS) {
    this.#slices = slices;
    this.#ms = ms;
    this.#since = slices.now();
  }

  get isOver(): boolean {
    return this.#slices.now() - this.#since >= this.#ms;
  }

  /** Lets others have their turn. */
  async next(): Promise<void> {
    await this.#slices.turn();
    this.#since = this.#slices.now();
  }
}

/** Does something to each item, in their order. What an item is by then may have changed: `each` MUST bear it. */
export async function inSlices<T>(
  items: Iterable<T>,
  each: (item: T) => void,
  slices: Slices,
): Promise<void> {
  const slice = new Slice(slices);
  for (const item of items) {
    each(item);
    if (slice.isOver) await slice.next();
  }
}
