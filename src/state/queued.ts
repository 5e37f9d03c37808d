// What is in the queue of a webhook, and what its queue needs.

/** Why events were given up. */
export type GapReason = "bytes" | "age" | "overload" | "dead_letter";

export interface QueueLimits {
  /** Bytes of events that may wait. */
  readonly maxBytes: number;
  /** Events wait this long at most, in milliseconds. */
  readonly maxAgeMs: number;
  /** Dead letters that are kept; the oldest leave first. */
  readonly maxDeadLetters: number;
}

/** An event that waits. */
export interface Queued {
  readonly seq: number;
  /** Unix time in milliseconds. */
  readonly atMs: number;
  /** As the backend gets it. */
  readonly json: string;
  /** Since when it waits, by the clock of ages. */
  readonly sinceMs: number;
  readonly bytes: number;
  /** A gap event: how many events it stands for; 0 for all others. */
  readonly lost: number;
}

/** An event that the backend refuses. */
export interface DeadLetter {
  readonly seq: number;
  readonly atMs: number;
  readonly reason: string;
  readonly json: string;
}

/** Some of the dead letters, oldest first. */
export interface DeadLetters {
  readonly letters: readonly DeadLetter[];
  /** Whether there are more behind these. */
  readonly more: boolean;
}

/** What a queue holds, and has given up since it was opened. */
/** A webhook, as far as its queue goes. */
export interface QueueOwner {
  /** Its number in the state. */
  readonly id: number;
  readonly tenant: string;
  /** Milliseconds of a clock that is never set, and goes on over restarts: by this one events get older. */
  readonly time: () => number;
  /** Whether the tenant may keep so much more, in bytes. */
  readonly admits: (bytes: number) => boolean;
  /** The tenant keeps so much more, or less. */
  readonly kept: (bytes: number) => void;
}

export interface QueueStats {
  readonly events: number;
  readonly bytes: number;
  /** Unix time in milliseconds of the first one, null for an empty queue. */
  readonly oldestMs: number | null;
  readonly deadLetters: number;
  readonly lost: Readonly<Record<GapReason, number>>;
}
