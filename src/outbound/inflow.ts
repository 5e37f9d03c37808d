// What answers of others may cost the gateway. Whoever is asked decides what an answer looks like, and all answers are
// read on a loop that serves everybody: so each tenant has a share of the loop's time for reading, and of the memory that
// answers under way may hold. A tenant that has used up its time is read no further for a while (its sockets are paused);
// an answer for which there is no memory is refused.

/** Memory that answers under way may hold. */
export interface InflowBounds {
  /** Of one tenant, in bytes. */
  readonly tenantBytes: number;
  /** Of all tenants, in bytes. */
  readonly totalBytes: number;
  /** What a tenant may hold whatever the others do, in bytes. */
  readonly floorBytes: number;
}

export const INFLOW_BOUNDS: InflowBounds = {
  tenantBytes: 67_108_864,
  totalBytes: 268_435_456,
  floorBytes: 1_048_576,
};

/** Part of the loop's time in which answers may be read; tenants that have to wait share it. */
const PART = 0.5;
/** Milliseconds of reading in one go, after a rest: what others may wait for it. */
const BURST_MS = 0.5;
/**
 * What a byte costs that is handed on, in milliseconds, beside the work that is seen: it is copied from thread to thread,
 * into the pipe, and its memory is collected later. A tenant has 32 MiB a second of it at most.
 */
const BYTE_MS = PART * 1000 / 33_554_432;

/** The shares of all tenants of one event loop. */
export class Inflow {
  readonly now: () => number;
  readonly bounds: InflowBounds;
  /** Bytes held by answers under way. */
  heldBytes = 0;
  /** Shares whose reading waits. */
  waiting = 0;

  /** @param now milliseconds of a monotonic clock */
  constructor(now: () => number, bounds: InflowBounds = INFLOW_BOUNDS) {
    this.now = now;
    this.bounds = bounds;
  }

  /** A share for a tenant, which all that asks in the tenant's name has in common. */
  share(): Share {
    return new Share(this);
  }
}

/** One tenant's share. */
export class Share {
  readonly #inflow: Inflow;
  #heldBytes = 0;
  /** When all the time used until now is paid for. */
  #paidAt = Number.NEGATIVE_INFINITY;
  /** Those who wait until reading goes on. */
  readonly #resumes: (() => void)[] = [];
  #isWaiting = false;

  constructor(inflow: Inflow) {
    this.#inflow = inflow;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Takes memory for an answer. @returns false when there is no more for this tenant */
  reserve(bytes: number): boolean {
    const { bounds, heldBytes } = this.#inflow;
    const own = this.#heldBytes + bytes;
    if (own > bounds.tenantBytes) return false;
    if (own > bounds.floorBytes && heldBytes + bytes > bounds.totalBytes) return false;
    this.#heldBytes = own;
    this.#inflow.heldBytes += bytes;
    return true;
  }

  release(bytes: number): void {
    this.#heldBytes -= bytes;
    this.#inflow.heldBytes -= bytes;
  }

  /** Milliseconds until reading may go on, 0 for now. */
  get waitMs(): number {
    return Math.max(0, this.#paidAt - this.#inflow.now());
  }

  /** Milliseconds of the clock by which it goes. */
  get now(): number {
    return this.#inflow.now();
  }

  /** Whether it has used up its time. @param now the time, which the caller has just looked at */
  isSpent(now: number): boolean {
    return this.#paidAt > now;
  }

  /** Whether work that comes now has to wait: the time is used up, or others wait for it already. */
  get isBusy(): boolean {
    return this.#isWaiting || this.waitMs > 0;
  }

  /** Takes note of work that an answer has caused. @param now the time, which the caller has just looked at */
  spent(ms: number, now: number): void {
    const part = PART / Math.max(1, this.#inflow.waiting);
    this.#paidAt = Math.max(this.#paidAt, now - BURST_MS / part) + ms / part;
  }

  /** Takes note of bytes that an answer is, and that are handed on. */
  carried(bytes: number): void {
    this.spent(bytes * BYTE_MS, this.now);
  }

  /** Does a piece of work that an answer causes, such as reading its JSON. */
  work<T>(task: () => T): T {
    const from = this.now;
    try {
      return task();
    } finally {
      const now = this.now;
      this.spent(now - from, now);
    }
  }

  /** Resolves when work may go on, after others have had their turn. */
  turn(): Promise<void> {
    return new Promise((resolve) => this.later(resolve));
  }

  /** Runs a task when reading may go on; those who wait take turns, one after the other. */
  later(resume: () => void): void {
    this.#resumes.push(resume);
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    this.#inflow.waiting++;
    this.#wait();
  }

  #wait(): void {
    setTimeout(() => {
      // One at a time, as each may use up what there is.
      while (this.#resumes.length > 0 && this.waitMs === 0) this.#resumes.shift()!();
      if (this.#resumes.length > 0) return this.#wait();
      this.#isWaiting = false;
      this.#inflow.waiting--;
    }, Math.ceil(this.waitMs));
  }
}
