// What is counted of a tenant's histories, for its metrics. Plain numbers: rooms add what has changed, and nobody walks over
// all rooms to answer a scrape.

import type { LossReason } from "./history.ts";

/** What became of a cursor: all after it was there, or why not. */
export type RecoveryOutcome = "recovered" | LossReason;

/** Why messages went before anybody asked for them to go: a bound of their room, or that of all rooms in memory. */
export type TrimReason = "bounds" | "budget";

export class HistoryCounts {
  /** Messages that are kept now, and their payload bytes: of rooms that this process has in use. */
  messages = 0;
  bytes = 0;
  /** Messages that were kept since the start. */
  stored = 0;
  /** Messages that were not said again, because their key was known. */
  duplicates = 0;
  /** Messages that were refused because they could not be kept. */
  refused = 0;
  readonly trimmed: Record<TrimReason, number> = { bounds: 0, budget: 0 };
  readonly recoveries: Record<RecoveryOutcome, number> = {
    recovered: 0,
    epoch: 0,
    trimmed: 0,
    ahead: 0,
    too_many: 0,
  };
}

/** What one room adds to the counts, kept in step with what it keeps. */
export class CountedRoom {
  readonly #counts: HistoryCounts;
  #messages = 0;
  #bytes = 0;

  constructor(counts: HistoryCounts) {
    this.#counts = counts;
  }

  /** It keeps so much now. */
  set(messages: number, bytes: number): void {
    this.#counts.messages += messages - this.#messages;
    this.#counts.bytes += bytes - this.#bytes;
    this.#messages = messages;
    this.#bytes = bytes;
  }
}
