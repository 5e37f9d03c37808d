// Tables of texts by key in the state's database (see state.ts): bounded, with rows that expire. Runs in the state's
// thread.

import type { Entry, Range } from "../state.ts";
import { bytesOf, type Row, type StateDb } from "./state_db.ts";

/** Expired rows that one sweep takes away. */
const SWEEP_MAX = 10_000;

export class KvStore {
  readonly #db: StateDb;
  readonly #unixMs: () => number;
  /** Bytes of tables that were written to. */
  readonly #bytes = new Map<string, number>();

  /** @param unixMs Unix time in milliseconds */
  constructor(db: StateDb, unixMs: () => number) {
    this.#db = db;
    this.#unixMs = unixMs;
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
      ...[table, prefix, after, `${prefix}\u{10ffff}`, this.#unixMs(), limit],
    );
    return rows.map(entry);
  }

  /** @returns false when the table is full */
  put(table: string, { key, value, expiresMs }: Entry, maxBytes: number): boolean {
    const before = this.#db.get("SELECT value FROM kv WHERE tab = ? AND key = ?", table, key);
    const freed = before === undefined ? 0 : bytesOf(key, String(before["value"]));
    const bytes = this.#size(table) - freed + bytesOf(key, value);
    if (bytes > maxBytes) return false;
    this.#db.run("INSERT OR REPLACE INTO kv (tab, key, value, expires_ms) VALUES (?, ?, ?, ?)", ...[
      table,
      key,
      value,
      expiresMs,
    ]);
    this.#bytes.set(table, bytes);
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
    const size = this.#size(table);
    this.#db.run("DELETE FROM kv WHERE tab = ? AND key = ?", table, key);
    this.#bytes.set(table, size - bytesOf(key, String(row["value"])));
    return true;
  }

  /** Takes away what has expired, some of it at a time. */
  sweep(): void {
    const swept = this.#db.run(
      "DELETE FROM kv WHERE (tab, key) IN (SELECT tab, key FROM kv WHERE expires_ms <= ? LIMIT ?)",
      ...[this.#unixMs(), SWEEP_MAX],
    );
    if (swept > 0) this.load();
  }

  /** Forgets what is known by heart; needed after a rollback. */
  load(): void {
    this.#bytes.clear();
  }

  #row(table: string, key: string): Row | undefined {
    return this.#db.get(
      "SELECT key, value, expires_ms FROM kv WHERE tab = ? AND key = ? AND (expires_ms IS NULL OR expires_ms > ?)",
      ...[table, key, this.#unixMs()],
    );
  }

  #size(table: string): number {
    let bytes = this.#bytes.get(table);
    if (bytes === undefined) {
      const sql =
        "SELECT total(length(CAST(key AS BLOB)) + length(CAST(value AS BLOB))) AS n FROM kv WHERE tab = ?";
      this.#bytes.set(table, bytes = Number(this.#db.get(sql, table)!["n"]));
    }
    return bytes;
  }
}

function entry({ key, value, expires_ms: expiresMs }: Row): Entry {
  return { key: String(key), value: String(value), expiresMs: expiresMs === null ? null : Number(expiresMs) };
}
