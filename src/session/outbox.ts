// What waits to be written to one session: four lanes, served in strict order, each with its own rule for "too
// much". TCP is one queue, so order and priority exist only above it; therefore a socket is fed no further than
// a watermark, and what it does not take waits here, where lanes still mean something and bounds hold.
// Everything that is decided here follows from the sequence of calls, what the link says of its buffer, and the
// clock: tests/session/outbox_model_test.ts replays arbitrary sequences against a naive model.

import { type Frame, LANE, type LossLane } from "../protocol/frame.ts";
import type { Gaps } from "./gaps.ts";
import { LaneQueue, LatestQueue } from "./lane_queue.ts";
import { Lanes, type OutboxOptions } from "./outbox_lanes.ts";
import type { OutboxOwner, SlowCause } from "./outbox_owner.ts";

/** A session writes this much in one turn at most; then the others have theirs. */
const TURN_BYTES_MAX = 262_144;

/** What ending a session costs, in writes: a crowd that is too slow at once ends over several turns. */
const END_COST = 32;

export class Outbox extends Lanes {
  readonly #owner: OutboxOwner;
  /** Waiting for the flusher. */
  #dirty = false;
  /** Written to since the last flush, in the handler of a message. */
  #wroteEarly = false;
  /** The socket is above the watermark, until it drains. */
  #blocked = false;
  #overflowed = false;
  /** Its owner ends it, and may still say why. */
  #leaving = false;
  #closed = false;
  /**
   * While blocked: bytes in the socket's buffer when last looked at, and when they last became fewer or, if later,
   * when something that must not be lost began to wait.
   */
  #bufferedBytes = 0;
  #progressAt = 0;
  #blockedAt = 0;
  /** What the flusher has counted of this outbox towards all that waits. */
  #countedBytes = 0;

  constructor(options: OutboxOptions) {
    super(options);
    this.#owner = options.owner;
  }

  /** Bytes that wait in the lanes, and in the socket's buffer when last looked at. */
  get waitingBytes(): number {
    return this.bytes + (this.#blocked ? this.#bufferedBytes : 0);
  }

  /** How long the socket has been full; null while it is not. */
  blockedMs(now: number): number | null {
    return this.#blocked ? now - this.#blockedAt : null;
  }

  /** Nothing waits, here or in the socket's buffer, and nothing is to be told: another outbox would do the same. */
  get isIdle(): boolean {
    return this.dropped === 0 && !this.#dirty && !this.#blocked && !this.holdsReliable &&
      this.gaps === null && this.bytes === 0;
  }

  /** Bytes that wait for a full socket, its own buffer included: what shedding goes by. */
  get heldBytes(): number {
    return this.#countedBytes;
  }

  /** Queues a frame. It is written at the end of this event-loop turn, or when the socket drains. */
  push(frame: Frame): void {
    if (this.#closed) return;
    if (this.#overflowed || this.#leaving) return this.#pushLast(frame);
    switch (frame.lane) {
      case LANE.lossy:
        this.#pushLossy(frame);
        break;
      case LANE.latest:
        this.#pushLatest(frame);
        break;
      case LANE.reliable:
        this.#pushReliable(this.reliable ??= new LaneQueue(false), frame);
        break;
      case LANE.control:
        this.#pushReliable(this.control ??= new LaneQueue(false), frame);
    }
    if (this.#blocked) this.#recount();
    else if (!this.#dirty) this.#markDirty();
  }

  /** Writes what waits, lane by lane, as far as the socket takes it. @returns see `Flushable.flush` */
  flush(): number {
    this.#dirty = false;
    if (this.#closed || this.#blocked && !this.#overflowed) return 0;
    if (!this.#overflowed && this.gaps !== null) this.#tellGaps(this.gaps);
    // Telling of a gap can be what is too much.
    if (this.#overflowed) {
      this.#giveUp("full");
      return END_COST;
    }
    if (this.#wroteEarly) {
      this.#wroteEarly = false;
      const buffered = this.link.bufferedBytes();
      if (buffered > this.tenant.settings.outbox.watermarkBytes) this.#block(buffered);
    }
    if (!this.#blocked) this.#write(this.tenant.settings.outbox.watermarkBytes, TURN_BYTES_MAX);
    if (this.#blocked || this.#closed) return 1;
    if (this.bytes > 0 && !this.#dirty) this.#markDirty();
    // What this very flush found too old is told of at the next look.
    if (this.gaps?.waits) this.flusher.watch(this);
    return 1;
  }

  /**
   * Writes at once what its own client's message has brought, when that has been handled: a client that hears itself
   * early sends on early, and on Bun it costs no system call of its own, for the runtime corks a message's handler.
   * There the socket's buffer cannot be looked at, so that a look is due at the turn's end, when this is flushed again.
   */
  flushSpeaker(): void {
    if (!this.#dirty || this.#blocked || this.#overflowed || this.#closed || this.gaps !== null) return;
    // What may still be replaced by something newer in this turn waits for its end.
    if (this.latest !== null && this.latest.size > 0) return;
    this.#write(this.tenant.settings.outbox.watermarkBytes, TURN_BYTES_MAX);
    this.#wroteEarly = true;
  }

  /** The socket has taken all it was given. */
  drained(): void {
    this.holdsReliable = false;
    if (!this.#blocked || this.#closed) return;
    this.#blocked = false;
    this.flusher.count(-this.#countedBytes);
    this.#countedBytes = this.#bufferedBytes = 0;
    if (!this.gaps?.waits) this.flusher.unwatch(this);
    if (!this.#dirty && (this.bytes > 0 || this.gaps?.waits)) this.#markDirty();
  }

  /** Looked at now and then while its socket is full, or while the client is to be told of a gap. */
  look(now: number): void {
    if (!this.#blocked) {
      if (!this.#dirty) this.#markDirty();
      return;
    }
    const buffered = this.link.bufferedBytes();
    if (buffered === 0) return this.drained(); // whatever became of the link's word
    if (buffered < this.#bufferedBytes) {
      this.#bufferedBytes = buffered;
      this.#progressAt = now;
      this.#recount();
    } else if (now - this.#progressAt >= this.tenant.settings.outbox.sendTimeoutMs && this.holdsBack()) {
      this.#giveUp("stalled");
    }
  }

  /** Gives up what may be given up, because all sessions together hold too much. */
  shed(): void {
    if (!this.#blocked) return;
    if (this.latest !== null) this.dropAll(LANE.latest, this.latest, "shed");
    if (this.lossy !== null) this.dropAll(LANE.lossy, this.lossy, "shed");
    this.#recount();
  }

  /** Ends the session behind this outbox, because shedding was not enough. */
  evict(): void {
    this.#giveUp("shed");
  }

  /**
   * Ends the outbox. What waits on the control lane, and with `reliable` on the reliable lane too, is given
   * to the socket regardless of the watermark: those lanes' bounds are the bound of it.
   */
  finish(reliable: boolean): void {
    if (this.#closed) return;
    if (this.lossy !== null) this.dropAll(LANE.lossy, this.lossy, "closed");
    if (this.latest !== null) this.dropAll(LANE.latest, this.latest, "closed");
    if (!reliable && this.reliable !== null) this.dropAll(LANE.reliable, this.reliable, "closed");
    this.#write(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY);
    this.discard();
  }

  /** More waited than may wait, and what waited is lost. */
  get hasOverflowed(): boolean {
    return this.#overflowed;
  }

  /**
   * Ends the outbox of a session that goes on without it.
   * @returns the ext frames that wait, in the order of writing; null where some are lost
   */
  abandon(): Frame[] | null {
    const frames: Frame[] = [];
    for (const queue of [this.control, this.reliable]) {
      if (queue === null) continue;
      const waiting: Frame[] = [];
      queue.moveTo(waiting, 0);
      for (const frame of waiting) if (frame.isExt) frames.push(frame);
    }
    this.discard();
    return this.#overflowed ? null : frames;
  }

  /** Ends the outbox; what waits is lost and counted. */
  discard(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#blocked = false;
    this.flusher.unwatch(this);
    this.flusher.count(-this.#countedBytes);
    this.#countedBytes = this.#bufferedBytes = 0;
    if (this.control !== null) this.dropAll(LANE.control, this.control, "closed");
    if (this.reliable !== null) this.dropAll(LANE.reliable, this.reliable, "closed");
    if (this.latest !== null) this.dropAll(LANE.latest, this.latest, "closed");
    if (this.lossy !== null) this.dropAll(LANE.lossy, this.lossy, "closed");
    this.control = this.reliable = null;
    this.latest = this.lossy = null;
  }

  #giveUp(cause: SlowCause): void {
    this.#leaving = true;
    this.#owner.tooSlow(cause);
  }

  /** Of what comes after the verdict, only the word why is sent, full or not; the rest is lost and counted. */
  #pushLast(frame: Frame): void {
    if (this.#leaving && frame.lane === LANE.control) (this.control ??= new LaneQueue(false)).push(frame, 0);
    else this.drop(frame.lane, "closed", 1, frame.bytes);
  }

  #pushReliable(queue: LaneQueue, frame: Frame): void {
    // However long the socket has taken nothing: the first frame that must not be lost has its full time.
    if (this.#blocked && !this.holdsBack()) this.#progressAt = this.flusher.now();
    queue.push(frame, 0);
    if (this.#isFull(queue) && !this.#blocked) {
      this.#write(this.tenant.settings.outbox.watermarkBytes, TURN_BYTES_MAX);
    }
    // A turn can bring more than the bound to a client that is not slow at all: above, it had its chance.
    if (!this.#isFull(queue)) return;
    // A fan-out is walking through the members of a room just now: the session ends at the flush, not here.
    this.#overflowed = true;
    this.dropAll(frame.lane, queue, "full");
    if (!this.#dirty) this.#markDirty();
  }

  #isFull(queue: LaneQueue): boolean {
    const { reliableBytes, reliableMessages } = this.tenant.settings.outbox;
    const buffered = this.#blocked ? this.#bufferedBytes : 0;
    return queue.bytes + buffered > reliableBytes && queue.size > 0 || queue.size > reliableMessages;
  }

  #pushLatest(frame: Frame): void {
    const { latestBytes, latestAgeMs } = this.tenant.settings.outbox;
    const queue = this.latest ??= new LatestQueue(latestAgeMs > 0);
    if (queue.push(frame, this.stamp(queue, latestAgeMs))) this.tenant.metrics.conflated++;
    if (queue.bytes > latestBytes) this.#shrink(LANE.latest, queue, latestBytes);
  }

  #pushLossy(frame: Frame): void {
    const { lossyBytes, lossyAgeMs, lossyDropsOldest } = this.tenant.settings.outbox;
    const queue = this.lossy ??= new LaneQueue(lossyAgeMs > 0);
    if (queue.bytes + frame.bytes <= lossyBytes) {
      return void queue.push(frame, this.stamp(queue, lossyAgeMs));
    }
    if (!this.#blocked) this.#write(this.tenant.settings.outbox.watermarkBytes, TURN_BYTES_MAX);
    const fits = queue.bytes + frame.bytes <= lossyBytes;
    if (fits || lossyDropsOldest || !this.#blocked && queue.size === 0) {
      queue.push(frame, this.stamp(queue, lossyAgeMs));
      this.#shrink(LANE.lossy, queue, lossyBytes);
    } else this.drop(LANE.lossy, "full", 1, frame.bytes);
  }

  /** Drops the oldest frames of a lane until it is within its bound. A socket that still takes gets its chance first. */
  #shrink(lane: LossLane, queue: LaneQueue, maxBytes: number): void {
    if (!this.#blocked) this.#write(this.tenant.settings.outbox.watermarkBytes, TURN_BYTES_MAX);
    let dropped = 0, bytes = 0;
    while (queue.bytes > maxBytes) {
      bytes += queue.shift().bytes;
      dropped++;
    }
    this.drop(lane, "full", dropped, bytes);
  }

  #markDirty(): void {
    this.#dirty = true;
    this.flusher.add(this);
  }

  #recount(): void {
    const held = this.bytes + this.#bufferedBytes;
    this.flusher.count(held - this.#countedBytes);
    this.#countedBytes = held;
  }

  /** A run of drops has ended, for there is room again: says so, or sees to it that it is said later. */
  #tellGaps(gaps: Gaps): void {
    // Pushing must not make this outbox dirty: it is being flushed.
    this.#dirty = true;
    for (const lane of [LANE.latest, LANE.lossy] as const) {
      const gap = gaps.take(lane);
      if (gap !== null) this.#owner.tellGap(gap);
    }
    this.#dirty = false;
    if (gaps.waits) this.flusher.watch(this);
    else if (!this.#blocked) this.flusher.unwatch(this);
  }

  /** @param turnBytes how much may be written now */
  #write(watermark: number, turnBytes: number): void {
    const { batch } = this.flusher;
    let written = 0;
    while (written < turnBytes) {
      const count = this.gatherAll();
      if (count === 0) return;
      written += this.flusher.batchBytes;
      this.flusher.batchBytes = 0;
      const buffered = this.link.write(batch, count);
      if (buffered === 0) this.holdsReliable = false;
      else if (buffered > watermark) return this.#block(buffered);
    }
  }

  #block(buffered: number): void {
    if (this.#closed) return;
    this.#blocked = true;
    this.#bufferedBytes = buffered;
    this.#blockedAt = this.#progressAt = this.flusher.now();
    this.flusher.watch(this);
    this.#recount();
  }
}
