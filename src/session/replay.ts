// What a session keeps for a client that may have to come back. Both sides count ext messages, as XEP-0198 does: those that
// a connection has taken stand in `sent`, in the order in which they were written, until the client says that it has heard
// them; those that no connection has taken yet wait. What is kept is bounded: of `sent` the oldest may go, for the client
// may well have heard them, and only when it comes back does it turn out. What waits is never let go of.

import type { Frame } from "../protocol/frame.ts";
import { LaneQueue } from "./lane_queue.ts";

/** How much is kept for one session, `sent` and waiting together. */
export interface ReplayBounds {
  readonly maxBytes: number;
  readonly maxMessages: number;
}

export class Replay {
  readonly #bounds: () => ReplayBounds;
  /** The newest `sent.size` of those that were sent. */
  #sent = new LaneQueue(false);
  #sentCount = 0;
  #waiting = new LaneQueue(false);
  /** The next ext message is the first of its connection, which is not counted. */
  #isFirst = true;

  /** @param bounds those that hold now */
  constructor(bounds: () => ReplayBounds) {
    this.#bounds = bounds;
  }

  /** Ext messages that were handed to connections, but for the first of each. */
  get sentCount(): number {
    return this.#sentCount;
  }

  /** Messages that no connection has taken yet. */
  get waiting(): number {
    return this.#waiting.size;
  }

  get waitingBytes(): number {
    return this.#waiting.bytes;
  }

  /** All that is kept, in bytes of payload. */
  get bytes(): number {
    return this.#sent.bytes + this.#waiting.bytes;
  }

  /** A connection writes a message. */
  sent(frame: Frame): void {
    if (this.#isFirst) {
      this.#isFirst = false;
      return;
    }
    this.#sentCount++;
    this.#sent.push(frame, 0);
    this.#trim();
  }

  /** A message comes for which there is no connection, or that has others before it. @returns whether there was room */
  wait(frame: Frame): boolean {
    this.#waiting.push(frame, 0);
    return this.#trim();
  }

  /** Takes the oldest message that waits; call it while there is one. */
  next(): Frame {
    return this.#waiting.shift();
  }

  /** The client says how many it has heard. @returns false when there were never so many */
  heard(count: number): boolean {
    if (count > this.#sentCount) return false;
    for (let left = this.#sent.size - (this.#sentCount - count); left > 0; left--) this.#sent.shift();
    return true;
  }

  /**
   * The connection is gone; of what it was given, this was never written.
   * @returns whether all that waits has room
   */
  detach(unwritten: readonly Frame[]): boolean {
    // Of a connection that has written nothing at all, the first is a greeting, which the next one has of its own.
    this.#prepend(this.#isFirst ? unwritten.slice(1) : unwritten);
    this.#isFirst = true;
    return this.#trim();
  }

  /** Whether all is still there that comes after the first so many. */
  reachesBackTo(count: number): boolean {
    return count >= this.#sentCount - this.#sent.size;
  }

  /** All after the first so many waits again; these MUST be there, and no more may be said than were sent. */
  rewind(count: number): void {
    this.heard(count);
    const missed: Frame[] = [];
    this.#sent.moveTo(missed, 0);
    this.#sentCount = count;
    this.#prepend(missed);
  }

  /** All that is kept: what was sent, and what waits, each oldest first. */
  list(): { readonly sent: Frame[]; readonly waiting: Frame[] } {
    return { sent: this.#sent.list(), waiting: this.#waiting.list() };
  }

  /** Goes on where another node's has ended; nothing may have been sent yet. @returns whether all that waits has room */
  goOn(sentCount: number, sent: readonly Frame[], waiting: readonly Frame[]): boolean {
    this.#sentCount = sentCount;
    for (const frame of sent) this.#sent.push(frame, 0);
    for (const frame of waiting) this.#waiting.push(frame, 0);
    return this.#trim();
  }

  #prepend(frames: readonly Frame[]): void {
    if (frames.length === 0) return;
    const after = this.#waiting;
    this.#waiting = new LaneQueue(false);
    for (const frame of frames) this.#waiting.push(frame, 0);
    while (after.size > 0) this.#waiting.push(after.shift(), 0);
  }

  /** @returns whether what waits is within the bounds by itself */
  #trim(): boolean {
    const { maxBytes, maxMessages } = this.#bounds();
    while (this.bytes > maxBytes || this.#sent.size + this.#waiting.size > maxMessages) {
      if (this.#sent.size === 0) return false;
      this.#sent.shift();
    }
    return true;
  }
}
