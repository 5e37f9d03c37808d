// What waits to be written to one session: a queue per lane, served in the lanes' order. TCP is one queue,
// so order and priority exist only above it; therefore a socket is fed no further than a watermark, and
// what it does not take waits here, where lanes still mean something and bounds hold.

import { type Frame, LANE, type Lane } from "../protocol/frame.ts";
import type { Link } from "../transport/port.ts";
import type { Traffic } from "../metrics.ts";
import type { Flusher } from "./flusher.ts";

/** Bytes in the runtime's socket buffer above which a link is fed no more. */
export const WATERMARK_BYTES = 65_536;
/** Largest sum of frames in one write: a corked socket's buffer cannot be looked at (see port.ts). */
export const WRITE_BYTES_MAX = 65_536;

/** Bounds per session and how long a socket may stall. */
export interface OutboxLimits {
  /** Of the reliable lane, and of control as well. */
  readonly reliableBytes: number;
  readonly reliableMessages: number;
  readonly lossyBytes: number;
  readonly sendTimeoutMs: number;
}

/** Why a frame was not delivered, as metrics name it. */
export type DropReason = "full" | "closed";

/** Told what an outbox cannot decide. Neither is called inside `push`. */
export interface OutboxOwner {
  /** Reliable messages cannot be delivered: the session must end. */
  tooSlow(cause: "full" | "stalled"): void;
  dropped(lane: Lane, reason: DropReason, messages: number, bytes: number): void;
}

export interface OutboxOptions {
  readonly link: Link;
  readonly flusher: Flusher;
  readonly limits: OutboxLimits;
  readonly owner: OutboxOwner;
  /** Counters by lane. */
  readonly written: readonly Traffic[];
}

class FrameQueue {
  frames: Frame[] = [];
  head = 0;
  bytes = 0;

  get size(): number {
    return this.frames.length - this.head;
  }

  shift(): Frame {
    const frame = this.frames[this.head++]!;
    this.bytes -= frame.bytes;
    this.settle();
    return frame;
  }

  /** Forgets the frames before `head`, now and then, so that a queue which never empties stays small. */
  settle(): void {
    if (this.head === this.frames.length) this.clear();
    else if (this.head >= 256 && this.head * 2 >= this.frames.length) {
      this.frames.splice(0, this.head);
      this.head = 0;
    }
  }

  clear(): void {
    // A large list is given back, so that a session's worst moment does not stay with it.
    if (this.frames.length > 64) this.frames = [];
    else this.frames.length = 0;
    this.head = this.bytes = 0;
  }
}

export class Outbox {
  readonly #link: Link;
  readonly #flusher: Flusher;
  readonly #limits: OutboxLimits;
  readonly #owner: OutboxOwner;
  readonly #written: readonly Traffic[];
  // One queue a lane, made when the lane is first used.
  #control: FrameQueue | null = null;
  #reliable: FrameQueue | null = null;
  #lossy: FrameQueue | null = null;
  /** Waiting for the flusher. */
  #dirty = false;
  /** The socket is above the watermark, until it drains. */
  #blocked = false;
  #overflowed = false;
  #closed = false;
  /** While blocked: bytes in the socket's buffer when it last took some, and when that was. */
  #bufferedBytes = 0;
  #progressAt = 0;
  /** Whether what the socket's buffer holds includes more than lossy frames. */
  #holdsReliable = false;

  constructor(options: OutboxOptions) {
    this.#link = options.link;
    this.#flusher = options.flusher;
    this.#limits = options.limits;
    this.#owner = options.owner;
    this.#written = options.written;
  }

  /** Bytes that wait here, without the socket's own buffer. */
  get bytes(): number {
    return (this.#control?.bytes ?? 0) + (this.#reliable?.bytes ?? 0) + (this.#lossy?.bytes ?? 0);
  }

  /** Queues a frame. It is written at the end of this event-loop turn, or when the socket drains. */
  push(frame: Frame): void {
    if (this.#closed) return;
    const queue = this.#queue(frame.lane);
    queue.frames.push(frame);
    queue.bytes += frame.bytes;
    if (frame.lane === LANE.lossy) {
      if (queue.bytes > this.#limits.lossyBytes) this.#shedLossy(queue);
    } else if (queue.bytes > this.#limits.reliableBytes || queue.size > this.#limits.reliableMessages) {
      this.#makeRoom(frame.lane, queue);
    }
    if (!this.#dirty && !this.#blocked) this.#markDirty();
  }

  /** Writes what waits, lane by lane, as far as the socket takes it. */
  flush(): void {
    this.#dirty = false;
    if (this.#closed) return;
    if (this.#overflowed) {
      this.#owner.tooSlow("full");
      return;
    }
    if (!this.#blocked) this.#write(WATERMARK_BYTES);
  }

  /** The socket has taken all it was given. */
  drained(): void {
    this.#holdsReliable = false;
    if (!this.#blocked) return;
    this.#blocked = false;
    this.#flusher.unblock(this);
    if (this.bytes > 0 && !this.#dirty && !this.#closed) this.#markDirty();
  }

  checkStall(now: number): void {
    const buffered = this.#link.bufferedBytes();
    if (buffered < this.#bufferedBytes) {
      this.#bufferedBytes = buffered;
      this.#progressAt = now;
      return;
    }
    if (now - this.#progressAt < this.#limits.sendTimeoutMs) return;
    const waiting = this.#holdsReliable || this.#control !== null && this.#control.size > 0 ||
      this.#reliable !== null && this.#reliable.size > 0;
    if (waiting) this.#owner.tooSlow("stalled");
  }

  /**
   * Ends the outbox. What waits on the control lane, and with `reliable` on the reliable lane too, is given
   * to the socket regardless of the watermark: those bounds are the bound of it.
   */
  finish(reliable: boolean): void {
    if (this.#closed) return;
    if (this.#lossy !== null) this.#drop(LANE.lossy, this.#lossy, "closed");
    if (!reliable && this.#reliable !== null) this.#drop(LANE.reliable, this.#reliable, "closed");
    this.#write(Number.POSITIVE_INFINITY);
    this.discard();
  }

  /** Ends the outbox; what waits is lost and counted. */
  discard(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#flusher.unblock(this);
    if (this.#reliable !== null) this.#drop(LANE.reliable, this.#reliable, "closed");
    if (this.#lossy !== null) this.#drop(LANE.lossy, this.#lossy, "closed");
    this.#control = this.#reliable = this.#lossy = null;
  }

  #queue(lane: Lane): FrameQueue {
    switch (lane) {
      case LANE.control:
        return this.#control ??= new FrameQueue();
      case LANE.reliable:
        return this.#reliable ??= new FrameQueue();
      case LANE.lossy:
        return this.#lossy ??= new FrameQueue();
    }
  }

  #markDirty(): void {
    this.#dirty = true;
    this.#flusher.add(this);
  }

  #shedLossy(queue: FrameQueue): void {
    // A turn can bring more than the bound to a client that is not slow at all: it gets its chance first.
    if (!this.#blocked) this.#write(WATERMARK_BYTES);
    let messages = 0, bytes = 0;
    while (queue.bytes > this.#limits.lossyBytes) {
      bytes += queue.shift().bytes;
      messages++;
    }
    if (messages > 0) this.#owner.dropped(LANE.lossy, "full", messages, bytes);
  }

  #makeRoom(lane: Lane, queue: FrameQueue): void {
    if (!this.#blocked) this.#write(WATERMARK_BYTES);
    const { reliableBytes, reliableMessages } = this.#limits;
    if (queue.bytes <= reliableBytes && queue.size <= reliableMessages) return;
    // Whoever publishes is iterating over a room: the session ends at the flush, not here.
    this.#overflowed = true;
    this.#drop(lane, queue, "full");
    if (!this.#dirty) this.#markDirty();
  }

  #drop(lane: Lane, queue: FrameQueue, reason: DropReason): void {
    if (queue.size === 0) return;
    this.#owner.dropped(lane, reason, queue.size, queue.bytes);
    queue.clear();
  }

  #write(watermark: number): void {
    const { batch } = this.#flusher;
    for (;;) {
      let count = 0, bytes = 0;
      for (let lane: Lane = LANE.control; lane <= LANE.lossy; lane++) {
        const queue = lane === LANE.control
          ? this.#control
          : lane === LANE.reliable
          ? this.#reliable
          : this.#lossy;
        if (queue === null) continue;
        const before = count, bytesBefore = bytes;
        while (queue.head < queue.frames.length) {
          const frame = queue.frames[queue.head]!;
          if (count > 0 && bytes + frame.bytes > WRITE_BYTES_MAX) break;
          batch[count++] = frame;
          bytes += frame.bytes;
          queue.head++;
        }
        queue.bytes -= bytes - bytesBefore;
        this.#written[lane]!.add(count - before, bytes - bytesBefore);
        if (lane !== LANE.lossy && count > before) this.#holdsReliable = true;
        if (queue.head > 0) queue.settle();
        if (queue.frames.length > 0) break;
      }
      if (count === 0) return;
      const buffered = this.#link.write(batch, count);
      if (buffered === 0) this.#holdsReliable = false;
      else if (buffered > watermark) {
        this.#blocked = true;
        this.#bufferedBytes = buffered;
        this.#progressAt = this.#flusher.now();
        this.#flusher.block(this);
        return;
      }
    }
  }
}
