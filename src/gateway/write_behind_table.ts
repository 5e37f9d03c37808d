// What is in memory, written to a table of the state as it changes: of each key the last word, in the order in which the
// keys changed, and again and again until the state has taken it. Nobody on a message's way waits for it.

import type { Log } from "../log.ts";
import type { Entry, Range, Table } from "../state/table.ts";
import type { Clock } from "./clock.ts";

export interface WriteBehindTableOptions {
  readonly name: string;
  /** Opens it; asked when it is first needed. */
  readonly table: () => Table;
  /** How many keys may wait to be written; what else changes meanwhile is lost at a restart, and the log says so. */
  readonly waitingMax: number;
  readonly log: Log;
  readonly wait: Clock["wait"];
}

/** Keys that are written, or read, at once. */
const BATCH = 1000;
/** After a write that failed, the next one is tried this much later. */
const RETRY_MS = 1000;

interface Change {
  /** Where it stands among all changes, counted from 1. */
  readonly number: number;
  /** Null: the key is no more. */
  entry: Entry | null;
}

export class WriteBehindTable {
  readonly #options: WriteBehindTableOptions;
  /** What is to be written, by key, the oldest first. */
  #changes = new Map<string, Change>();
  #lastNumber = 0;
  /** All changes up to this one are written, but for those that were lost. */
  #writtenUpTo = 0;
  /** Changes that had no room since all was written last. */
  #lost = 0;
  #writing: Promise<boolean> | null = null;
  /** Whether it is to be tried again later. */
  #retrying = false;
  #stopped = false;

  constructor(options: WriteBehindTableOptions) {
    this.#options = options;
  }

  /** Whether nothing waits to be written. */
  get isWritten(): boolean {
    return this.#writing === null && this.#changes.size === 0;
  }

  /** Puts an entry in the place of the one with its key. */
  put(entry: Entry): void {
    this.#change(entry.key, entry);
  }

  delete(key: string): void {
    this.#change(key, null);
  }

  /** Whether all that has changed so far is written, once that is known. */
  async written(): Promise<boolean> {
    const wanted = this.#lastNumber;
    while (this.#writtenUpTo < wanted) if (!await this.#write()) return false;
    return this.#lost === 0;
  }

  /** What could not be written until now is not tried again. */
  stop(): void {
    this.#stopped = true;
  }

  /** Reads all entries that hold, so many at most, by key. @throws when they cannot be read */
  async load(max: number): Promise<Entry[]> {
    const entries: Entry[] = [];
    for (let after = "";;) {
      const range: Range = { prefix: "", after, limit: Math.min(BATCH, max + 1 - entries.length) };
      const page = await this.#options.table().list(range);
      entries.push(...page);
      if (page.length < range.limit || entries.length > max) break;
      after = page.at(-1)!.key;
    }
    if (entries.length <= max) return entries;
    const { name: table, log } = this.#options;
    log.error("more is kept than may be, and the rest is ignored", { table, max });
    return entries.slice(0, max);
  }

  #change(key: string, entry: Entry | null): void {
    const waiting = this.#changes.get(key);
    // It keeps its place, so that whoever waits for what was said before does not wait in vain.
    if (waiting !== undefined) waiting.entry = entry;
    else if (this.#changes.size >= this.#options.waitingMax) return this.#lose();
    else this.#changes.set(key, { number: ++this.#lastNumber, entry });
    void this.#write();
  }

  #lose(): void {
    const { name: table, waitingMax: max, log } = this.#options;
    if (this.#lost++ === 0) {
      log.error("too much waits to be written, and more is lost at a restart", { table, max });
    }
  }

  /** Writes some of what waits, unless that is being done. @returns whether it succeeded; never rejects */
  #write(): Promise<boolean> {
    return this.#writing ??= this.#writeBatch().then((succeeded) => {
      this.#writing = null;
      if (succeeded && this.#changes.size > 0) void this.#write();
      else if (!succeeded) void this.#retry();
      return succeeded;
    });
  }

  async #retry(): Promise<void> {
    if (this.#retrying || this.#stopped) return;
    this.#retrying = true;
    await this.#options.wait(RETRY_MS);
    this.#retrying = false;
    if (this.#changes.size > 0 && !this.#stopped) void this.#write();
  }

  async #writeBatch(): Promise<boolean> {
    // What changes within a turn is written together.
    await Promise.resolve();
    const batch = [...this.#changes].slice(0, BATCH);
    for (const [key] of batch) this.#changes.delete(key);
    const table = this.#options.table();
    const written = await Promise.allSettled(
      batch.map(([key, { entry }]) => entry === null ? table.delete(key).then(() => true) : table.put(entry)),
    );
    if (written.some((one) => one.status === "fulfilled" && !one.value)) {
      this.#options.log.error("table of the state is full", { table: this.#options.name });
    }
    const failed = batch.filter((_, i) => {
      const one = written[i]!;
      return one.status === "rejected" || !one.value;
    });
    if (failed.length === 0) {
      this.#writtenUpTo = batch.at(-1)?.[1].number ?? this.#writtenUpTo;
      if (this.#changes.size === 0) this.#lost = 0;
      return true;
    }
    this.#restore(failed);
    return false;
  }

  /** What could not be written goes first again, with what has been said of it since. */
  #restore(failed: readonly (readonly [key: string, change: Change])[]): void {
    const later = this.#changes;
    this.#changes = new Map(failed);
    for (const [key, change] of later) {
      const before = this.#changes.get(key);
      if (before === undefined) this.#changes.set(key, change);
      else before.entry = change.entry;
    }
  }
}
