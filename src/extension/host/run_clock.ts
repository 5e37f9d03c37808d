// The time that a host has really run: on a machine that is busy with others, a worker that waits for a CPU is not to blame
// for it.

/** What a clock reads, both in milliseconds since any moment. */
export interface RunTimes {
  /** Of a monotonic clock. */
  readonly wallMs: number;
  /** Of all CPUs that this process has had, together. */
  readonly cpuMs: number;
}

/** The least share of the time that counts: a worker that stands still without running yields to nobody either. */
const LEAST_SHARE = 1 / 20;

export class RunClock {
  readonly #read: () => RunTimes;
  #last: RunTimes;
  #ranMs = 0;

  constructor(read: () => RunTimes) {
    this.#read = read;
    this.#last = read();
  }

  /** Milliseconds, no faster than those of a clock on the wall. Exact when it is read every few of them. */
  now(): number {
    const { wallMs, cpuMs } = this.#read();
    const wall = wallMs - this.#last.wallMs;
    this.#ranMs += Math.max(Math.min(wall, cpuMs - this.#last.cpuMs), wall * LEAST_SHARE);
    this.#last = { wallMs, cpuMs };
    return this.#ranMs;
  }
}
