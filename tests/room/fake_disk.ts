// A disk whose commits happen when the test says so.

import type { DiskMessage, DiskMeta, DiskStored, HistoryDisk } from "../../src/room/disk_room.ts";

type Row = readonly [number, string];

interface Room {
  epoch: string;
  first: number;
  last: number;
  rows: Row[];
}

export class FakeDisk implements HistoryDisk {
  readonly rooms = new Map<string, Room>();
  readonly #waiting: {
    do: () => unknown;
    settle: { resolve(of: unknown): void; reject(why: Error): void };
  }[] = [];
  #epochs = 0;

  /** Jobs that wait for the next commit. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Does what waits, and lets whoever asked for it go on. */
  async commit(): Promise<void> {
    for (const { do: job, settle } of this.#waiting.splice(0)) settle.resolve(job());
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** What waits fails, and has not happened. */
  async fail(): Promise<void> {
    for (const { settle } of this.#waiting.splice(0)) settle.reject(new Error("the disk is broken"));
    await new Promise((resolve) => setImmediate(resolve));
  }

  open(name: string): Promise<DiskMeta> {
    return this.#ask(() => metaOf(this.#room(name)));
  }

  append(name: string, { text, epoch }: DiskMessage): Promise<DiskStored> {
    return this.#ask(() => {
      const room = this.#room(name);
      if (room.last === 0 && epoch !== null) room.epoch = epoch;
      room.rows.push([++room.last, text]);
      return { ...metaOf(room), offset: room.last, duplicate: false };
    });
  }

  read(
    name: string,
    range: Parameters<HistoryDisk["read"]>[1],
  ): Promise<DiskMeta & { readonly rows: readonly Row[] }> {
    return this.#ask(() => {
      const room = this.#room(name);
      const rows = "after" in range
        ? room.rows.filter(([offset]) => offset > range.after).slice(0, range.limit)
        : room.rows.filter(([offset]) => offset < range.before).slice(-range.limit);
      return { ...metaOf(room), rows };
    });
  }

  trim(name: string): Promise<DiskMeta> {
    return this.#ask(() => metaOf(this.#room(name)));
  }

  clear(name: string): Promise<DiskMeta> {
    return this.#ask(() => {
      this.rooms.delete(name);
      return metaOf(this.#room(name));
    });
  }

  #room(name: string): Room {
    let room = this.rooms.get(name);
    if (room === undefined) {
      this.rooms.set(name, room = { epoch: `d${++this.#epochs}`, first: 1, last: 0, rows: [] });
    }
    return room;
  }

  #ask<T>(job: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ do: job, settle: { resolve: (of) => resolve(of as T), reject } });
    });
  }
}

function metaOf({ epoch, first, last, rows }: Room): DiskMeta {
  return { epoch, first, last, bytes: rows.reduce((sum, [, text]) => sum + text.length, 0) };
}
