// A table that nothing outlives: what an extension keeps when it is tried outside of a gateway.

import { Buffer } from "node:buffer";
import type { Entry, Range, Table } from "../state/table.ts";

export class MemoryTable implements Table {
  readonly #entries = new Map<string, Entry>();
  readonly #maxBytes: number;
  readonly #unixMs: () => number;

  constructor(maxBytes: number, unixMs: () => number) {
    this.#maxBytes = maxBytes;
    this.#unixMs = unixMs;
  }

  get(key: string): Promise<Entry | null> {
    return Promise.resolve(this.#read(key));
  }

  list({ prefix, after, limit }: Range): Promise<readonly Entry[]> {
    const keys = [...this.#entries.keys()].filter((key) => key.startsWith(prefix) && key > after).sort();
    return Promise.resolve(
      keys.map((key) => this.#read(key)).filter((entry) => entry !== null).slice(0, limit),
    );
  }

  put(entry: Entry): Promise<boolean> {
    return Promise.resolve(this.#write(entry));
  }

  increment(key: string, by: number, expiresMs: number | null): Promise<number | null> {
    const sum = Number(this.#read(key)?.value ?? 0) + by;
    const isDone = Number.isFinite(sum) && this.#write({ key, value: JSON.stringify(sum), expiresMs });
    return Promise.resolve(isDone ? sum : null);
  }

  delete(key: string): Promise<boolean> {
    const wasThere = this.#read(key) !== null;
    this.#entries.delete(key);
    return Promise.resolve(wasThere);
  }

  #read(key: string): Entry | null {
    const entry = this.#entries.get(key);
    if (entry === undefined || entry.expiresMs === null || entry.expiresMs > this.#unixMs()) {
      return entry ?? null;
    }
    this.#entries.delete(key);
    return null;
  }

  #write(entry: Entry): boolean {
    let bytes = sizeOf(entry);
    for (const other of this.#entries.values()) if (other.key !== entry.key) bytes += sizeOf(other);
    if (bytes > this.#maxBytes) return false;
    this.#entries.set(entry.key, entry);
    return true;
  }
}

function sizeOf({ key, value }: Entry): number {
  return Buffer.byteLength(key) + Buffer.byteLength(value);
}
