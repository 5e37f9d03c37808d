// The queues behind an outbox: frames in order, with their bytes counted. Pure bookkeeping, no clock and no
// socket, so that what is delivered and what is dropped follows from the calls alone.

import { Frame, LANE, UNNUMBERED } from "../protocol/frame.ts";

/** Above this many frames, a list that was emptied is given back instead of kept. */
const KEEP_MAX = 64;
/** Below this many queued frames, looking through them is faster than a Map of their keys. */
const SCAN_MAX = 8;
/** Stands where a frame was until the list is compacted, so that nobody's bytes are held uncounted. */
const GONE = new Frame("", LANE.lossy, 0);

/** Frames of one lane, oldest first. */
export class LaneQueue {
  frames: Frame[] = [];
  /** Where the oldest frame stands in `frames`; those before it are gone. */
  head = 0;
  bytes = 0;
  /** When each frame came, in step with `frames`; null where age does not matter. */
  times: number[] | null;

  constructor(aged: boolean) {
    this.times = aged ? [] : null;
  }

  get size(): number {
    return this.frames.length - this.head;
  }

  /** @returns whether a queued frame was replaced, which only `LatestQueue` does */
  push(frame: Frame, now: number): boolean {
    this.frames.push(frame);
    this.times?.push(now);
    this.bytes += frame.bytes;
    return false;
  }

  /** Removes the oldest frame; call it while there is one. */
  shift(): Frame {
    const frame = this.frames[this.head]!;
    this.frames[this.head++] = GONE;
    this.bytes -= frame.bytes;
    if (this.head === this.frames.length) this.clear();
    else if (this.head >= 256 && this.head * 2 >= this.frames.length) this.compact();
    return frame;
  }

  /** Moves all frames to `list`, from `at` on. @returns where they end */
  moveTo(list: Frame[], at: number): number {
    const { frames } = this;
    for (let i = this.head; i < frames.length; i++) list[at++] = frames[i]!;
    this.clear();
    return at;
  }

  /** When the oldest frame came; infinity where its age did not matter then. */
  oldestAt(): number {
    return this.times === null ? Number.POSITIVE_INFINITY : this.times[this.head]!;
  }

  /** Age matters from now on, as a reload may say. */
  keepTimes(): void {
    this.times ??= new Array<number>(this.frames.length).fill(Number.POSITIVE_INFINITY);
  }

  clear(): void {
    // A large list is given back, so that a session's worst moment does not stay with it.
    if (this.frames.length > KEEP_MAX) {
      this.frames = [];
      if (this.times !== null) this.times = [];
    } else {
      this.frames.length = 0;
      if (this.times !== null) this.times.length = 0;
    }
    this.head = this.bytes = 0;
  }

  /** Forgets the frames before `head`. */
  protected compact(): void {
    this.frames.splice(0, this.head);
    this.times?.splice(0, this.head);
    this.head = 0;
  }
}

/** Frames of which only the newest with each key matters: it takes the place of the one that waits. */
export class LatestQueue extends LaneQueue {
  /** Frames forgotten so far: place = base + index in `frames`. */
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
      this.bytes += frame.bytes - this.frames[index]!.bytes;
      this.frames[index] = frame;
      if (this.times !== null) this.times[index] = now;
      return true;
    }
    super.push(frame, now);
    this.#places?.set(frame.key, this.#base + this.frames.length - 1);
    return false;
  }

  override shift(): Frame {
    this.#places?.delete(this.frames[this.head]!.key);
    return super.shift();
  }

  override clear(): void {
    super.clear();
    this.#places = null;
    this.#base = 0;
  }

  protected override compact(): void {
    this.#base += this.head;
    super.compact();
  }

  #find(key: number): number {
    if (this.#places === null) {
      if (this.size <= SCAN_MAX) {
        for (let i = this.frames.length - 1; i >= this.head; i--) if (this.frames[i]!.key === key) return i;
        return -1;
      }
      this.#places = new Map();
      for (let i = this.head; i < this.frames.length; i++) {
        this.#places.set(this.frames[i]!.key, this.#base + i);
      }
    }
    const place = this.#places.get(key);
    return place === undefined ? -1 : place - this.#base;
  }
}
