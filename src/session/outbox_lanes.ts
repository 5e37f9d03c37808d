// The four lanes of one session's outbox, each with its own rule for "too much", and the order in which frames are taken
// from them: strictly lane by lane, no frame that is too old, no more in one write than a corked socket can be asked about.
// A class to be extended rather than an object of its own, because there is an outbox for every busy session.

import type { DropReason, TenantMetrics } from "../metrics/metrics.ts";
import { type Frame, LANE, type Lane, LANE_NAMES } from "../protocol/frame.ts";
import type { Flusher } from "./flusher.ts";
import { Gaps } from "./gaps.ts";
import type { LaneQueue, LatestQueue } from "./lane_queue.ts";
import type { OutboxLimits } from "./outbox_limits.ts";
import type { OutboxOwner } from "./outbox_owner.ts";
import type { LaneLook } from "./session_look.ts";
import type { Replay } from "./replay.ts";

/** Largest sum of frames in one write: a corked socket's buffer cannot be looked at (see port.ts). */
export const WRITE_BYTES_MAX = 16_384;

/** Where an outbox writes: a link, or its way for datagrams; see `FrameWay` of the transports' port. */
export interface OutboxWay {
  write(frames: readonly Frame[], count: number): number;
  bufferedBytes(): number;
}

export interface OutboxOptions {
  readonly link: OutboxWay;
  readonly flusher: Flusher;
  /** Whose bounds hold, as they are now, and where is counted. */
  readonly tenant: { readonly settings: { readonly outbox: OutboxLimits }; readonly metrics: TenantMetrics };
  readonly owner: OutboxOwner;
  /** Told of every ext frame that is written; null where nobody comes back for it. */
  readonly replay: Replay | null;
}

export abstract class Lanes {
  protected readonly link: OutboxWay;
  protected readonly flusher: Flusher;
  protected readonly tenant: OutboxOptions["tenant"];
  protected readonly replay: Replay | null;
  // One queue a lane, made when the lane is first used.
  protected control: LaneQueue | null = null;
  protected reliable: LaneQueue | null = null;
  protected latest: LatestQueue | null = null;
  protected lossy: LaneQueue | null = null;
  /** Made at the first drop. */
  protected gaps: Gaps | null = null;
  /** Whether the socket's buffer may hold more than latest and lossy frames. */
  protected holdsReliable = false;

  constructor({ link, flusher, tenant, replay }: OutboxOptions) {
    this.link = link;
    this.flusher = flusher;
    this.tenant = tenant;
    this.replay = replay;
  }

  /** Messages dropped, and not because the session has ended. */
  dropped = 0;

  /** What waits, lane by lane; for administrators. */
  waiting(): LaneLook[] {
    const queues = [this.control, this.reliable, this.latest, this.lossy];
    return queues.map((queue, lane) => ({
      lane: LANE_NAMES[lane]!,
      messages: queue?.size ?? 0,
      bytes: queue?.bytes ?? 0,
    }));
  }

  /** Bytes that wait in the lanes. */
  get bytes(): number {
    return (this.control?.bytes ?? 0) + (this.reliable?.bytes ?? 0) + (this.latest?.bytes ?? 0) +
      (this.lossy?.bytes ?? 0);
  }

  /** Whether what must not be lost waits behind the socket. */
  protected holdsBack(): boolean {
    return this.holdsReliable || (this.control?.size ?? 0) > 0 || (this.reliable?.size ?? 0) > 0;
  }

  protected dropAll(lane: Lane, queue: LaneQueue, reason: DropReason): void {
    this.drop(lane, reason, queue.size, queue.bytes);
    queue.clear();
  }

  protected drop(lane: Lane, reason: DropReason, dropped: number, bytes: number): void {
    if (dropped === 0) return;
    this.tenant.metrics.drops.add(lane, reason, dropped, bytes);
    if (reason !== "closed") this.dropped += dropped;
    if (reason === "closed" || lane === LANE.control || lane === LANE.reliable) return;
    (this.gaps ??= new Gaps(this.flusher.now)).note(lane, dropped, bytes);
  }

  protected stamp(queue: LaneQueue, maxAgeMs: number): number {
    if (maxAgeMs === 0) return Number.POSITIVE_INFINITY;
    queue.keepTimes();
    return this.flusher.now();
  }

  /** Fills the batch for one write. A lane has its turn when those before it are empty. @returns its length */
  protected gatherAll(): number {
    let count = 0;
    if (this.control !== null && this.control.size > 0) {
      count = this.#gather(LANE.control, this.control, count);
      if (this.control.size > 0) return count;
      // An idle session has had its greeting here and needs no queue any more.
      this.control = null;
    }
    if (this.reliable !== null && this.reliable.size > 0) {
      count = this.#gather(LANE.reliable, this.reliable, count);
      if (this.reliable.size > 0) return count;
    }
    if (this.latest !== null && this.latest.size > 0) {
      count = this.#gather(LANE.latest, this.latest, count);
      if (this.latest.size > 0) return count;
    }
    if (this.lossy !== null && this.lossy.size > 0) count = this.#gather(LANE.lossy, this.lossy, count);
    return count;
  }

  /** Moves frames of a lane to the batch, as far as one write goes. @returns the batch's new length */
  #gather(lane: Lane, queue: LaneQueue, count: number): number {
    const { batch } = this.flusher;
    const { latestAgeMs, lossyAgeMs } = this.tenant.settings.outbox;
    const maxAgeMs = lane < LANE.latest ? 0 : lane === LANE.latest ? latestAgeMs : lossyAgeMs;
    const oldest = maxAgeMs > 0 ? this.flusher.now() - maxAgeMs : 0;
    const from = count;
    let bytes = this.flusher.batchBytes, stale = 0, staleBytes = 0;
    if (maxAgeMs === 0 && bytes + queue.bytes <= WRITE_BYTES_MAX) {
      bytes += queue.bytes;
      count = queue.moveTo(batch, count);
    }
    while (queue.size > 0) {
      if (maxAgeMs > 0 && queue.oldestAt() < oldest) {
        staleBytes += queue.shift().bytes;
        stale++;
        continue;
      }
      const next = queue.oldest();
      if (count > 0 && bytes + next.bytes > WRITE_BYTES_MAX) break;
      batch[count++] = queue.shift();
      bytes += next.bytes;
    }
    this.drop(lane, "age", stale, staleBytes);
    this.tenant.metrics.out[lane]!.add(count - from, bytes - this.flusher.batchBytes);
    this.flusher.batchBytes = bytes;
    if (lane <= LANE.reliable && count > from) {
      this.holdsReliable = true;
      if (this.replay !== null) this.#note(this.replay, from, count);
    }
    return count;
  }

  #note(replay: Replay, from: number, to: number): void {
    const { batch } = this.flusher;
    for (let i = from; i < to; i++) if (batch[i]!.isExt) replay.sent(batch[i]!);
  }
}
