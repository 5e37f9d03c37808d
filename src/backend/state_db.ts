// The database in `gateway.state_dir`: one SQLite file with one connection that writes, on a thread of its own. It is
// locked as long as it is open, by the operating system, so that a second gateway is refused and a crash leaves no lock.

import { errorText } from "../error_text.ts";
import { Buffer } from "node:buffer";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";

/** Its name in `state_dir`. */
const FILE = "wsprism.db";
/** Of the tables below; a newer file is refused. */
const SCHEMA_VERSION = 1;

/** A value that SQLite takes and gives here. */
export type Value = string | number | null;
/** A row by column. */
export type Row = Readonly<Record<string, Value>>;

const TABLES = `
  CREATE TABLE kv (
    tab TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, expires_ms INTEGER,
    PRIMARY KEY (tab, key)
  ) WITHOUT ROWID;
  CREATE INDEX kv_expiry ON kv (expires_ms) WHERE expires_ms IS NOT NULL;
  CREATE TABLE hooks (
    id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, name TEXT NOT NULL, last_seq INTEGER NOT NULL,
    UNIQUE (tenant, name)
  );
  CREATE TABLE events (
    hook INTEGER NOT NULL, seq INTEGER NOT NULL, at_ms INTEGER NOT NULL, bytes INTEGER NOT NULL,
    first_seq INTEGER, lost INTEGER NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (hook, seq)
  ) WITHOUT ROWID;
  CREATE TABLE dead_letters (
    hook INTEGER NOT NULL, seq INTEGER NOT NULL, at_ms INTEGER NOT NULL, bytes INTEGER NOT NULL,
    reason TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (hook, seq)
  ) WITHOUT ROWID;
  CREATE TABLE sessions (
    tenant TEXT NOT NULL, session TEXT NOT NULL, info TEXT NOT NULL,
    PRIMARY KEY (tenant, session)
  ) WITHOUT ROWID;
`;

export class StateDb {
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  #open = false;

  /**
   * Opens the database, and makes it where there is none.
   * @param folder `gateway.state_dir`, null for one in memory
   * @throws in one line, when it cannot be used
   */
  constructor(folder: string | null) {
    try {
      if (folder !== null) mkdirSync(folder, { recursive: true, mode: 0o700 });
      this.#db = new DatabaseSync(folder === null ? ":memory:" : join(folder, FILE));
      this.#prepare();
    } catch (cause) {
      const why = errorText(cause);
      const locked = /locked|busy/i.test(why) ? "another gateway uses it" : why;
      throw new Error(`Cannot open the state in "${folder ?? ":memory:"}": ${locked}`, { cause });
    }
  }

  /** Rows of a query. */
  all(sql: string, ...values: readonly Value[]): Row[] {
    return this.#statement(sql).all(...values) as Row[];
  }

  /** The first row of a query. */
  get(sql: string, ...values: readonly Value[]): Row | undefined {
    return this.#statement(sql).get(...values) as Row | undefined;
  }

  /** Changes something; it is durable after `commit`. @returns rows changed */
  run(sql: string, ...values: readonly Value[]): number {
    if (!this.#open) this.#statement("BEGIN IMMEDIATE").run();
    this.#open = true;
    return Number(this.#statement(sql).run(...values).changes);
  }

  /** Whether there are changes to commit. */
  get isDirty(): boolean {
    return this.#open;
  }

  /** Makes all changes durable. @throws when it cannot; then none of them has happened */
  commit(): void {
    if (!this.#open) return;
    try {
      this.#statement("COMMIT").run();
      this.#open = false;
    } catch (cause) {
      this.rollback();
      throw cause;
    }
  }

  /** Forgets all changes since the last commit. */
  rollback(): void {
    if (!this.#open) return;
    this.#open = false;
    try {
      this.#statement("ROLLBACK").run();
    } catch {
      // SQLite has done so by itself.
    }
  }

  close(): void {
    this.#statements.clear();
    this.#db.close();
  }

  #prepare(): void {
    const db = this.#db;
    // Held from the first read on, until the process ends. Before WAL, so that no memory is shared with others.
    db.exec("PRAGMA locking_mode = EXCLUSIVE");
    db.exec("PRAGMA journal_mode = WAL");
    db.exec("PRAGMA synchronous = FULL");
    db.exec("PRAGMA journal_size_limit = 67108864");
    db.exec("PRAGMA temp_store = MEMORY");
    // Takes the lock, also where nothing was to be changed.
    db.exec("BEGIN IMMEDIATE");
    const found = Number((db.prepare("PRAGMA user_version").get() as Row)["user_version"]);
    if (found > SCHEMA_VERSION) {
      db.exec("ROLLBACK");
      throw new Error(`it was written by a newer version (${found}, this one knows ${SCHEMA_VERSION})`);
    }
    if (found < SCHEMA_VERSION) db.exec(`${TABLES} PRAGMA user_version = ${SCHEMA_VERSION}`);
    db.exec("COMMIT");
  }

  #statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) this.#statements.set(sql, statement = this.#db.prepare(sql));
    return statement;
  }
}

/** Bytes of texts as UTF-8. */
export function bytesOf(...texts: readonly string[]): number {
  return texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
}
