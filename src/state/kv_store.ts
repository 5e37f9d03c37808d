// Tables of texts by key in the state's database (see state.ts): bounded, with rows that expire. Runs in the state's
// thread.

import type { Entry, Range } from "./table.ts";
import type { StateBounds } from "./state_bounds.ts";
import { bytesOf, type Row, type StateDb } from "./state_db.ts";

/** Expired rows that one sweep takes away. */
const SWEEP_MAX = 10_000;
/** First word of the names of tables that extensions fill; their tenant is the second. */
const EXTENSION = "extension";
const BYTES = "length(CAST(key AS BLOB)) + length(CAST(value AS BLOB))";

/** Time by which rows expire. */
export interface KvTime {
  /** Unix time in milliseconds, which does not jump ahead with the clock. */
  readonly unixMs: number;
  /** Milliseconds by which the clock is ahead of it. */
  readonly aheadMs: number;
}

export class KvStore {
  readonly #db: StateDb;
  readonly #time: KvTime;
  readonly #bounds: StateBounds;
  /** Bytes of tables. */
  readonly #bytes = new Map<string, number>();

  constructor(db: StateDb, time: KvTime, bounds: StateBounds) {
    this.#db = db;
    this.#time = time;
    this.#bounds = bounds;
    this.load();
  }

  get(table: string, key: string): Entry | null {
    const row = this.#row(table, key);
    return row === undefined ? null : entry(row);
  }

  list(table: string, { prefix, after, limit }: Range): Entry[] {
    // Keys with the prefix are a range; U+10FFFF sorts behind all that can follow it. SQLite seeks by one lower bound only,
    // and a `+` keeps it from the other: a page behind a key is not to walk over all that come before.
    const from = after === "" ? "key >= ? AND +key > ?" : "+key >= ? AND key > ?";
    const rows = this.#db.all(
      `SELECT key, value, expires_ms FROM kv WHERE tab = ? AND ${from} AND key <= ? ` +
        "AND (expires_ms IS NULL OR expires_ms > ?) ORDER BY key LIMIT ?",
      ...[table, prefix, after, `${prefix}\u{10ffff}`, this.#time.unixMs, limit],
    );
    return rows.map(entry);
  }

  /** @returns false when the table is full */
  put(table: string, { key, value, expiresMs }: Entry, maxBytes: number): boolean {
    const before = this.#db.get("SELECT value FROM kv WHERE tab = ? AND key = ?", table, key);
    const freed = before === undefined ? 0 : bytesOf(key, String(before["value"]));
    const more = bytesOf(key, value) - freed;
    const tenant = tenantOf(table);
    if (this.#size(table) + more > maxBytes) return false;
    if (tenant !== null && !this.#bounds.admits(tenant, more)) return false;
    // A time to live counts from now, whatever the clock says.
    const until = expiresMs === null || tenant === null ? expiresMs : expiresMs - this.#time.aheadMs;
    this.#db.run("INSERT OR REPLACE INTO kv (tab, key, value, expires_ms) VALUES (?, ?, ?, ?)", ...[
      table,
      key,
      value,
      until,
    ]);
    this.#add(table, more);
    return true;
  }

  /** @returns the sum; null when there is no number, or the table is full */
  increment(
    table: string,
    add: { key: string; by: number; expiresMs: number | null },
    maxBytes: number,
  ): number | null {
    const { key, by, expiresMs } = add;
    const before = this.#row(table, key);
    const sum = Number(before === undefined ? "0" : before["value"]) + by;
    if (!Number.isFinite(sum)) return null;
    return this.put(table, { key, value: String(sum), expiresMs }, maxBytes) ? sum : null;
  }

  delete(table: string, key: string): boolean {
    const row = this.#db.get("SELECT value FROM kv WHERE tab = ? AND key = ?", table, key);
    if (row === undefined) return false;
    this.#db.run("DELETE FROM kv WHERE tab = ? AND key = ?", table, key);
    this.#add(table, -bytesOf(key, String(row["value"])));
    return true;
  }

  /** Takes away what has expired, some of it at a time. */
  sweep(): void {
    const past = this.#db.all(
      `SELECT tab, key, ${BYTES} AS bytes FROM kv WHERE expires_ms <= ? LIMIT ?`,
      ...[this.#time.unixMs, SWEEP_MAX],
    );
    for (const { tab, key, bytes } of past) {
      this.#db.run("DELETE FROM kv WHERE tab = ? AND key = ?", tab!, key!);
      this.#add(String(tab), -Number(bytes));
    }
  }

  /** Reads from the database what is known by heart otherwise; needed after a rollback. */
  load(): void {
    for (const [table, bytes] of this.#bytes) this.#add(table, -bytes);
    this.#bytes.clear();
    for (const { tab, bytes } of this.#db.all(`SELECT tab, total(${BYTES}) AS bytes FROM kv GROUP BY tab`)) {
      this.#add(String(tab), Number(bytes));
    }
  }

  #add(table: string, bytes: number): void {
    const size = this.#size(table) + bytes;
    if (size === 0) this.#bytes.delete(table);
    else this.#bytes.set(table, size);
    const tenant = tenantOf(table);
    if (tenant !== null) this.#bounds.add(tenant, bytes);
  }

  #row(table: string, key: string): Row | undefined {
    return this.#db.get(
      "SELECT key, value, expires_ms FROM kv WHERE tab = ? AND key = ? AND (expires_ms IS NULL OR expires_ms > ?)",
      ...[table, key, this.#time.unixMs],
    );
  }

  #size(table: string): number {
    return this.#bytes.get(table) ?? 0;
  }
}

/** The tenant that fills a table by what it does; null for one that is the gateway's own. */
function tenantOf(table: string): string | null {
  const [kind, tenant] = table.split(" ", 2);
  return kind === EXTENSION ? tenant ?? null : null;
}

function entry({ key, value, expires_ms: expiresMs }: Row): Entry {
  return { key: String(key), value: String(value), expiresMs: expiresMs === null ? null : Number(expiresMs) };
}
