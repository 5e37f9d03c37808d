// What this node knows of a room in a log: its newest messages, with holes between their offsets, and from where on none of
// them is missing.

import type { Frame } from "../protocol/frame.ts";
import type { Cursor, HistoryBounds, LossReason } from "./history.ts";
import { isOfMessage, placeOf, sequenceOf } from "./history_stream.ts";

interface Entry {
  readonly offset: number;
  readonly frame: Frame;
  readonly at: number;
}

/** Entries at the old end that are only marked as gone, before they are cut off together. */
const DEAD_MAX = 256;

export class StreamWindow {
  #bounds: HistoryBounds;
  #entries: Entry[] = [];
  /** The first of them that counts. */
  #head = 0;
  #bytes = 0;
  /** Messages that it has let go of. */
  trimmed = 0;
  /** It has let go of some. */
  isCut = false;
  /** Behind this offset nothing is missing. */
  #floor: number;
  /** The newest message's offset, or a place up to which there was none. */
  #last: number;
  /** A place up to which no further message came. */
  #place = 0;

  /** @param from behind this offset nothing is missing, and nothing has come yet */
  constructor(bounds: HistoryBounds, from: number) {
    this.#bounds = bounds;
    this.#floor = this.#last = from;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get size(): number {
    return this.#entries.length - this.#head;
  }

  get last(): number {
    return this.#last;
  }

  /** The oldest that is there; above `last` for none. */
  get first(): number {
    return this.#entries[this.#head]?.offset ?? this.#last + 1;
  }

  /** Up to here it is known what came. */
  get seen(): number {
    return Math.max(this.#last, this.#place);
  }

  apply(bounds: HistoryBounds, now: number): void {
    this.#bounds = bounds;
    this.trim(now);
  }

  append(offset: number, frame: Frame, at: number): void {
    this.#entries.push({ offset, frame, at });
    this.#bytes += frame.bytes;
    this.#last = offset;
  }

  /** Nothing is missing behind this offset. */
  prove(floor: number): void {
    this.#floor = floor;
    this.#last = Math.max(this.#last, floor);
  }

  /** No further message came up to this place. */
  advance(place: number): void {
    this.#place = Math.max(this.#place, place);
    if (!isOfMessage(this.#last)) this.#last = Math.max(this.#last, place);
  }

  /** Lets go of what is too old, and of what is too much. */
  trim(now: number): void {
    const { maxMessages, maxBytes, maxAgeMs } = this.#bounds;
    const oldest = now - maxAgeMs;
    for (;;) {
      const entry = this.#entries[this.#head];
      if (
        entry === undefined || this.size <= maxMessages && this.#bytes <= maxBytes && entry.at >= oldest
      ) break;
      this.#drop(entry);
    }
    if (this.#head === this.#entries.length || this.#head >= DEAD_MAX) {
      this.#entries.splice(0, this.#head);
      this.#head = 0;
    }
  }

  /** Lets go of all of them, and knows only where it stands. */
  empty(): void {
    while (this.#head < this.#entries.length) this.#drop(this.#entries[this.#head]!);
    this.#entries = [];
    this.#head = 0;
  }

  /** Whether this message, word for word, stands in the window. */
  has(offset: number, payload: Frame["payload"]): boolean {
    const entry = this.#entries[this.#behind(offset - 1)];
    return entry !== undefined && entry.offset === offset && entry.frame.payload === payload;
  }

  /** Whether it is known that what stands at this offset, if anything does, is what a cursor there has heard. */
  knows(offset: number): boolean {
    if (offset === this.#floor || this.#entries[this.#behind(offset - 1)]?.offset === offset) return true;
    return !isOfMessage(offset) && sequenceOf(offset) >= sequenceOf(this.#floor) &&
      offset <= this.seen;
  }

  /** Null when a client with this cursor can be given all that it missed. */
  lossOf({ offset }: Cursor): LossReason | null {
    if (this.knows(offset)) return null;
    if (offset > this.#last) return "ahead";
    if (offset < this.#floor) return "trimmed";
    // Some other message stands where this one stood.
    return "epoch";
  }

  /** The oldest messages behind an offset. */
  after(offset: number, limit: number): readonly Entry[] {
    const from = this.#behind(offset);
    return this.#entries.slice(from, from + limit);
  }

  /** The newest messages before an offset. */
  before(offset: number, limit: number): readonly Entry[] {
    const to = this.#behind(offset - 1);
    return this.#entries.slice(Math.max(this.#head, to - limit), to);
  }

  /** The offset after which the newest so many stand. */
  afterNewest(count: number): number {
    if (count === 0) return this.#last;
    const at = this.#entries.length - count;
    return at <= this.#head ? this.first - 1 : this.#entries[at]!.offset - 1;
  }

  #drop(entry: Entry): void {
    this.#head++;
    this.#bytes -= entry.frame.bytes;
    this.#floor = entry.offset;
    this.isCut = true;
    this.trimmed++;
  }

  /** The place of the first entry behind an offset. */
  #behind(offset: number): number {
    let low = this.#head, high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#entries[middle]!.offset > offset) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

/** From where on a room's records are all there, judging by their number and by the log's oldest. */
export function floorOf(
  { count, first, roomMax, oldest }: {
    readonly count: number;
    /** The sequence of the first of them; null for none. */
    readonly first: number | null;
    readonly roomMax: number;
    /** The log's oldest sequence, asked for after they were read. */
    readonly oldest: number;
  },
): number {
  // A room that is full may have lost any before its first. One that is not has lost none for their number; and what the log
  // loses for its age or its size, it loses from its old end.
  if (count >= roomMax && first !== null) return placeOf(first);
  return placeOf(Math.max(0, oldest - 1));
}
