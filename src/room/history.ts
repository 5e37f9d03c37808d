// What a room keeps of what was said in it: the newest reliable messages, each with its offset. Offsets count from 1
// without holes; an epoch names the run that they count. A client that says which message it heard last is either given
// all that came after it, or told that this cannot be proven and why. There is nothing between the two.

import type { Frame } from "../protocol/frame.ts";

/** How much a room keeps. */
export interface HistoryBounds {
  readonly maxMessages: number;
  /** Of payload, without offsets. */
  readonly maxBytes: number;
  readonly maxAgeMs: number;
}

/** The last message that a client has heard in a room; offset 0 for none of this epoch. */
export interface Cursor {
  readonly epoch: string;
  readonly offset: number;
}

/** Why what a client missed is not, or not all, there. */
export type LossReason = "epoch" | "trimmed" | "ahead" | "too_many";

/** What a client is given that comes with a cursor: messages `after` an offset up to the newest. */
export type Recovery =
  | { readonly recovered: true; readonly after: number }
  | { readonly recovered: false; readonly reason: LossReason; readonly after: number };

/** Some messages of a room, oldest first. */
export interface HistoryPage {
  readonly frames: readonly Frame[];
  /** The offset of the first of them; those of the others follow. */
  readonly from: number;
  /** Whether there are more in the direction in which was read. */
  readonly more: boolean;
}

export class RoomHistory {
  /** 1–32 characters, never empty. */
  readonly epoch: string;
  #bounds: HistoryBounds;
  /** A ring of a power of two, or empty: the message with offset n stands at n modulo its length. */
  #frames: (Frame | null)[] = [];
  /** When each came, in step. */
  #times: number[] = [];
  #first: number;
  #last: number;
  #bytes = 0;

  /** @param last the offset given last: 0 for a new epoch */
  constructor(epoch: string, bounds: HistoryBounds, last = 0) {
    this.epoch = epoch;
    this.#bounds = bounds;
    this.#last = last;
    this.#first = last + 1;
  }

  /** The offset of the oldest message that is kept; above `last` where none is. */
  get first(): number {
    return this.#first;
  }

  /** The offset of the newest message that there was; 0 for none. */
  get last(): number {
    return this.#last;
  }

  get size(): number {
    return this.#last - this.#first + 1;
  }

  /** Payload bytes that are kept. */
  get bytes(): number {
    return this.#bytes;
  }

  /** When the newest message came that is kept; negative infinity for none. */
  get lastAt(): number {
    return this.size === 0 ? Number.NEGATIVE_INFINITY : this.#times[this.#slot(this.#last)]!;
  }

  /** Other bounds hold from now on. */
  apply(bounds: HistoryBounds, now: number): void {
    this.#bounds = bounds;
    this.trim(now);
  }

  /** Keeps a message, which has `last + 1` as its offset, and lets go of what is then too much. */
  append(frame: Frame, now: number): void {
    if (this.size === this.#frames.length) this.#grow();
    const at = this.#slot(++this.#last);
    this.#frames[at] = frame;
    this.#times[at] = now;
    this.#bytes += frame.bytes;
    this.trim(now);
  }

  /** Lets go of what is too old, and of what is too much. */
  trim(now: number): void {
    const { maxMessages, maxBytes, maxAgeMs } = this.#bounds;
    const oldest = now - maxAgeMs;
    while (
      this.size > 0 &&
      (this.size > maxMessages || this.#bytes > maxBytes || this.#times[this.#slot(this.#first)]! < oldest)
    ) {
      const at = this.#slot(this.#first++);
      this.#bytes -= this.#frames[at]!.bytes;
      this.#frames[at] = null;
    }
    if (this.size === 0) this.#frames = this.#times = [];
  }

  /** The message with an offset that is kept. */
  at(offset: number): Frame {
    return this.#frames[this.#slot(offset)]!;
  }

  /**
   * What a client missed since its cursor.
   * @param max messages that are given at once; of more, the newest
   */
  recover({ epoch, offset }: Cursor, max: number): Recovery {
    const newest = Math.max(this.#first - 1, this.#last - max);
    const reason = epoch !== this.epoch
      ? "epoch"
      : offset > this.#last
      ? "ahead"
      : offset < this.#first - 1
      ? "trimmed"
      : offset < newest
      ? "too_many"
      : null;
    return reason === null ? { recovered: true, after: offset } : { recovered: false, reason, after: newest };
  }

  /** The oldest messages after an offset. */
  after(offset: number, limit: number): HistoryPage {
    const from = Math.max(this.#first, offset + 1);
    const to = Math.min(this.#last, from + limit - 1);
    return { frames: this.#range(from, to), from, more: to < this.#last };
  }

  /** The newest messages before an offset. */
  before(offset: number, limit: number): HistoryPage {
    const to = Math.min(this.#last, offset - 1);
    const from = Math.max(this.#first, to - limit + 1);
    return { frames: this.#range(from, to), from, more: from > this.#first && to >= this.#first };
  }

  #range(from: number, to: number): Frame[] {
    const frames: Frame[] = [];
    for (let offset = from; offset <= to; offset++) frames.push(this.at(offset));
    return frames;
  }

  /** Offsets grow beyond what `&` takes; a remainder does not mind. */
  #slot(offset: number): number {
    return offset % this.#frames.length;
  }

  #grow(): void {
    const capacity = Math.max(8, 2 * this.#frames.length);
    const frames = new Array<Frame | null>(capacity).fill(null);
    const times = new Array<number>(capacity).fill(0);
    for (let offset = this.#first; offset <= this.#last; offset++) {
      frames[offset % capacity] = this.#frames[this.#slot(offset)]!;
      times[offset % capacity] = this.#times[this.#slot(offset)]!;
    }
    this.#frames = frames;
    this.#times = times;
  }
}
