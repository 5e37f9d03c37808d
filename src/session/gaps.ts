// What a session has missed: frames of the hot lanes that were dropped since its client was last told.

import { LANE, type LossLane } from "../protocol/frame.ts";

/** The content of a `sys.gap`; `sinceMs` is how long ago the first of these frames was dropped. */
export interface Gap {
  readonly lane: LossLane;
  readonly dropped: number;
  readonly bytes: number;
  readonly sinceMs: number;
}

/** A client is told of a lane's drops this often at most, in milliseconds. */
const INTERVAL_MS = 1000;

interface Run {
  dropped: number;
  bytes: number;
  sinceAt: number;
  toldAt: number;
}

export class Gaps {
  readonly #now: () => number;
  #latest: Run | null = null;
  #lossy: Run | null = null;

  /** @param now milliseconds of a monotonic clock */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Frames of a lane were dropped. */
  note(lane: LossLane, dropped: number, bytes: number): void {
    const run = lane === LANE.latest ? this.#latest ??= newRun() : this.#lossy ??= newRun();
    if (run.dropped === 0) run.sinceAt = this.#now();
    run.dropped += dropped;
    run.bytes += bytes;
  }

  /** Whether there is something that the client has not been told of. */
  get waits(): boolean {
    return this.#latest !== null && this.#latest.dropped > 0 ||
      this.#lossy !== null && this.#lossy.dropped > 0;
  }

  /** What is to be told of a lane now, and then counts as told; null for nothing yet. */
  take(lane: LossLane): Gap | null {
    const run = lane === LANE.latest ? this.#latest : this.#lossy;
    const now = this.#now();
    if (run === null || run.dropped === 0 || now - run.toldAt < INTERVAL_MS) return null;
    const gap = { lane, dropped: run.dropped, bytes: run.bytes, sinceMs: now - run.sinceAt };
    run.toldAt = now;
    run.dropped = run.bytes = 0;
    return gap;
  }
}

function newRun(): Run {
  return { dropped: 0, bytes: 0, sinceAt: 0, toldAt: Number.NEGATIVE_INFINITY };
}
