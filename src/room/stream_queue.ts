// Records that came while a room was being read, in the order in which they came: bounded, for what finds no place here stands
// in the log.

import type { StreamRecord } from "./history_stream.ts";

const RECORDS_MAX = 1024;
const BYTES_MAX = 4_194_304;

export class StreamQueue {
  #records: StreamRecord[] = [];
  #bytes = 0;
  #overflowed = false;

  get isEmpty(): boolean {
    return this.#records.length === 0 && !this.#overflowed;
  }

  add(record: StreamRecord): void {
    const bytes = this.#bytes + record.text.length;
    // Behind one that found no place none is of use.
    if (this.#records.length >= RECORDS_MAX || bytes > BYTES_MAX) this.#overflowed = true;
    if (this.#overflowed) return;
    this.#records.push(record);
    this.#bytes = bytes;
  }

  /**
   * Takes those that follow one another.
   * @param chain the sequence of the last record before them, as it is now
   * @returns whether nothing is missing, between them or behind them
   */
  drain(chain: () => number, take: (record: StreamRecord) => void): boolean {
    let at = 0;
    for (; at < this.#records.length; at++) {
      const record = this.#records[at]!;
      if (record.sequence <= chain()) continue;
      if (record.before !== chain()) break;
      take(record);
    }
    this.#records.splice(0, at);
    this.#bytes = this.#records.reduce((sum, { text }) => sum + text.length, 0);
    const isWhole = this.isEmpty;
    // What found no place is read next.
    if (this.#records.length === 0) this.#overflowed = false;
    return isWhole;
  }

  clear(): void {
    this.#records = [];
    this.#bytes = 0;
    this.#overflowed = false;
  }
}
