// The queues behind an outbox: frames in order, with their bytes counted. Pure bookkeeping, no clock and no
// socket, so that what is delivered and what is dropped follows from the calls alone.

import { Frame, LANE, UNNUMBERED } from "../protocol/frame.ts";

/** Above this many places, a ring that was emptied is given back instead of kept. */
const KEEP_MAX = 64;
const CAPACITY_MIN = 4;
/** Below this many queued frames, looking through them is faster than a Map of their keys. */
const SCAN_MAX = 8;
/** Stands where no frame is, so that nobody's bytes are held uncounted. */
const NONE = new Frame("", LANE.lossy, 0);

/**
 * Frames of one lane, oldest first, in a ring: a lane that is full for long, as hundreds are at once beside a fast
 * publisher, takes and gives a frame without ever moving those between.
 */
export class LaneQueue {
  /** A power of two long, or empty. */
  ring: Frame[] = [];
  /** Where in `ring` the oldest frame stands. */
  protected head = 0;
  size = 0;
  bytes = 0;
  /** When each frame came, in step with `ring`; null where age does not matter. */
  times: number[] | null;

  constructor(aged: boolean) {
    this.times = aged ? [] : null;
  }

  /** @returns whether a queued frame was replaced, which only `LatestQueue` does */
  push(frame: Frame, now: number): boolean {
    if (this.size === this.ring.length) this.#grow();
    const at = this.slot(this.size++);
    this.ring[at] = frame;
    if (this.times !== null) this.times[at] = now;
    this.bytes += frame.bytes;
    return false;
  }

  /** The oldest frame; call it while there is one. */
  oldest(): Frame {
    return this.ring[this.head]!;
  }

  /** Removes the oldest frame; call it while there is one. */
  shift(): Frame {
    const frame = this.ring[this.head]!;
    this.ring[this.head] = NONE;
    this.head = this.slot(1);
    this.bytes -= frame.bytes;
    if (--this.size === 0) this.clear();
    return frame;
  }

  /** All frames, oldest first. */
  list(): Frame[] {
    return Array.from({ length: this.size }, (_, i) => this.ring[this.slot(i)]!);
  }

  /** Moves all frames to `list`, from `at` on. @returns where they end */
  moveTo(list: Frame[], at: number): number {
    for (let i = 0; i < this.size; i++) list[at++] = this.ring[this.slot(i)]!;
    this.clear();
    return at;
  }

  /** When the oldest frame came; infinity where its age did not matter then. */
  oldestAt(): number {
    return this.times === null ? Number.POSITIVE_INFINITY : this.times[this.head]!;
  }

  /** Age matters from now on, as a reload may say. */
  keepTimes(): void {
    this.times ??= new Array<number>(this.ring.length).fill(Number.POSITIVE_INFINITY);
  }

  clear(): void {
    // A large ring is given back, so that a session's worst moment does not stay with it.
    if (this.ring.length > KEEP_MAX) {
      this.ring = [];
      if (this.times !== null) this.times = [];
    } else {
      for (let i = 0; i < this.size; i++) this.ring[this.slot(i)] = NONE;
    }
    this.head = this.size = this.bytes = 0;
  }

  /** Where in `ring` the frame stands that has so many before it. */
  protected slot(index: number): number {
    return (this.head + index) & (this.ring.length - 1);
  }

  #grow(): void {
    const capacity = Math.max(CAPACITY_MIN, 2 * this.ring.length);
    const ring = new Array<Frame>(capacity).fill(NONE);
    for (let i = 0; i < this.size; i++) ring[i] = this.ring[this.slot(i)]!;
    if (this.times !== null) {
      const times = new Array<number>(capacity).fill(0);
      for (let i = 0; i < this.size; i++) times[i] = this.times[this.slot(i)]!;
      this.times = times;
    }
    this.ring = ring;
    this.head = 0;
  }
}

/** Frames of which only the newest with each key matters: it takes the place of the one that waits. */
export class LatestQueue extends LaneQueue {
  /** Frames that have left since the map was made: place = base + how many stand before it. */
  #base = 0;
  /** Place of each key, made when scanning would take longer. */
  #places: Map<number, number> | null = null;
  /** No queued frame has a lower stamp than the one, or a higher one than the other. */
  #oldestStamp = UNNUMBERED;
  #newestStamp = UNNUMBERED;

  override push(frame: Frame, now: number): boolean {
    const { stamp, stampBefore } = frame;
    if (this.size === 0) this.#oldestStamp = this.#newestStamp = UNNUMBERED;
    // Numbered frames say by themselves whether one with their key can be here. In a tick of state, none is.
    const isNew = stamp > this.#newestStamp && stampBefore < this.#oldestStamp;
    const index = isNew ? -1 : this.#find(frame.key);
    if (this.size === 0 || stamp < this.#oldestStamp) this.#oldestStamp = stamp;
    if (stamp > this.#newestStamp) this.#newestStamp = stamp;
    if (index >= 0) {
      const at = this.slot(index);
      this.bytes += frame.bytes - this.ring[at]!.bytes;
      this.ring[at] = frame;
      if (this.times !== null) this.times[at] = now;
      return true;
    }
    super.push(frame, now);
    this.#places?.set(frame.key, this.#base + this.size - 1);
    return false;
  }

  override shift(): Frame {
    this.#places?.delete(this.oldest().key);
    this.#base++;
    return super.shift();
  }

  override clear(): void {
    super.clear();
    this.#places = null;
    this.#base = 0;
  }

  /** How many frames stand before the one with this key; -1 where there is none. */
  #find(key: number): number {
    if (this.#places === null) {
      if (this.size <= SCAN_MAX) {
        for (let i = this.size - 1; i >= 0; i--) if (this.ring[this.slot(i)]!.key === key) return i;
        return -1;
      }
      this.#places = new Map();
      for (let i = 0; i < this.size; i++) this.#places.set(this.ring[this.slot(i)]!.key, this.#base + i);
    }
    const place = this.#places.get(key);
    return place === undefined ? -1 : place - this.#base;
  }
}
