// The real tables of histories in a database in memory, whose commits, failures and crashes happen when a test says so.

import { HistoryStore } from "../../src/state/history_store.ts";
import { StateBounds } from "../../src/state/state_bounds.ts";
import { StateDb } from "../../src/state/state_db.ts";
import type { HistoryAppend } from "../../src/state/state_messages.ts";
import type { DiskMessage, DiskMeta, DiskStored, HistoryDisk } from "../../src/room/disk_room.ts";
import type { HistoryBounds } from "../../src/room/history.ts";
import { nameOf } from "../../src/room/sent_keys.ts";

type Range = Parameters<HistoryDisk["read"]>[1];

interface Job {
  readonly do: () => unknown;
  readonly reads: boolean;
  readonly resolve: (of: unknown) => void;
  readonly reject: (why: Error) => void;
}

export class TableDisk implements HistoryDisk {
  readonly #db = new StateDb(null);
  readonly #store: HistoryStore;
  #waiting: Job[] = [];

  constructor(unixMs: () => number) {
    const bounds = new StateBounds({ maxBytes: 1e9, tenantMaxBytes: 1e9, disk: () => null, now: unixMs });
    this.#store = new HistoryStore(this.#db, unixMs, bounds);
    this.#db.commit();
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** Does what waits in one transaction, and lets whoever asked for it go on. */
  commit(): void {
    const jobs = this.#waiting.splice(0);
    const results = jobs.map((job) => job.do());
    this.#db.commit();
    jobs.forEach((job, i) => job.resolve(results[i]));
  }

  /** What waits fails, and has not happened; reads are answered. */
  fail(): void {
    const jobs = this.#waiting.splice(0);
    for (const job of jobs) job.do();
    this.#db.rollback();
    this.#store.load();
    for (const job of jobs) {
      if (job.reads) job.resolve(job.do());
      else job.reject(new Error("the disk is broken"));
    }
    this.#db.commit();
  }

  /** The process that asked is gone; what waits is on the disk, or is not, and nobody is told. */
  crash(isCommitted: boolean): void {
    const jobs = this.#waiting.splice(0);
    if (isCommitted) { for (const job of jobs) job.do(); }
    this.#db.commit();
    this.#store.load();
  }

  /** Rooms that nobody has used for long go. */
  sweep(): void {
    this.#store.sweep();
    this.#db.commit();
  }

  close(): void {
    this.#db.close();
  }

  open(room: string, bounds: HistoryBounds): Promise<DiskMeta> {
    return this.#ask(() => this.#store.open("t", room, bounds), true);
  }

  append(room: string, { key, ...rest }: DiskMessage): Promise<DiskStored | "reused"> {
    const known = key === null ? null : { name: nameOf(key), digest: key.digest, forMs: key.forMs };
    const message: HistoryAppend = { ...rest, key: known };
    return this.#ask(() => this.#store.append("t", room, message) as DiskStored | "reused", false);
  }

  read(room: string, range: Range): ReturnType<HistoryDisk["read"]> {
    const { limit, maxBytes, isPinned = false } = range;
    const from = "after" in range
      ? { after: range.after, before: Number.MAX_SAFE_INTEGER }
      : { after: null, before: range.before };
    return this.#ask(() => this.#store.read("t", room, { ...from, limit, maxBytes, isPinned }), true);
  }

  trim(room: string, bounds: HistoryBounds, keepAfter: number): Promise<DiskMeta> {
    return this.#ask(() => this.#store.trim("t", room, bounds, keepAfter), false);
  }

  clear(room: string): Promise<DiskMeta> {
    return this.#ask(() => this.#store.clear("t", room), false);
  }

  #ask<T>(job: () => T, reads: boolean): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ do: job, reads, resolve: (of) => resolve(of as T), reject });
    });
  }
}
