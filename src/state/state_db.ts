// The database in `gateway.state_dir`: one SQLite file with one connection that writes, on a thread of its own. It is
// locked as long as it is open, by the operating system, so that a second gateway is refused and a crash leaves no lock.

import { errorText } from "../error_text.ts";
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { STATE_FILE, stateFolderFault } from "../config/state_folder.ts";
import { mark, markedId, MARKER, sizeOf } from "./state_marker.ts";

/** Of the tables below; a newer file is refused. */
const SCHEMA_VERSION = 3;
/** Says whose database it is ("wspr"); the first version did not. */
const APPLICATION_ID = 0x77737072;
/** Names it for as long as it lives. */
const ID_KEY = "id";

/** A value that SQLite takes and gives here. */
export type Value = string | number | null;
/** A row by column. */
export type Row = Readonly<Record<string, Value>>;

const HISTORY_TABLES = `
  CREATE TABLE IF NOT EXISTS history_rooms (
    id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, room TEXT NOT NULL, epoch TEXT NOT NULL, last INTEGER NOT NULL,
    used_ms INTEGER NOT NULL, max_age_ms INTEGER NOT NULL,
    UNIQUE (tenant, room)
  );
  CREATE TABLE IF NOT EXISTS history (
    room INTEGER NOT NULL, off INTEGER NOT NULL, at_ms INTEGER NOT NULL, bytes INTEGER NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (room, off)
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS history_keys (
    tenant TEXT NOT NULL, name TEXT NOT NULL, room TEXT NOT NULL, epoch TEXT NOT NULL, off INTEGER NOT NULL,
    until_ms INTEGER NOT NULL, digest TEXT,
    PRIMARY KEY (tenant, name)
  ) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS history_keys_age ON history_keys (tenant, until_ms);
`;
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
    first_seq INTEGER, lost INTEGER NOT NULL, body TEXT NOT NULL, since_ms INTEGER NOT NULL DEFAULT 0,
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
  CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
  ${HISTORY_TABLES}`;
/** Of databases of earlier versions, by their version. */
const UPGRADES: Readonly<Record<number, string>> = {
  // Its events have waited since their time, as far as that can be.
  1: `
  CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
  ALTER TABLE events ADD COLUMN since_ms INTEGER NOT NULL DEFAULT 0;
  UPDATE events SET since_ms = min(at_ms, CAST(strftime('%s', 'now') AS INTEGER) * 1000);
  ${HISTORY_TABLES}`,
  2: `
  ALTER TABLE history_keys ADD COLUMN digest TEXT;
  DROP INDEX IF EXISTS history_keys_expiry;
  CREATE INDEX history_keys_age ON history_keys (tenant, until_ms)`,
};
/** Columns that must be there. */
const COLUMNS = [
  ["kv", "tab, key, value, expires_ms"],
  ["hooks", "id, tenant, name, last_seq"],
  ["events", "hook, seq, at_ms, bytes, first_seq, lost, body, since_ms"],
  ["dead_letters", "hook, seq, at_ms, bytes, reason, body"],
  ["sessions", "tenant, session, info"],
  ["meta", "key, value"],
  ["history_rooms", "id, tenant, room, epoch, last, used_ms, max_age_ms"],
  ["history", "room, off, at_ms, bytes, body"],
  ["history_keys", "tenant, name, room, epoch, off, until_ms, digest"],
] as const;

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
      const marked = folder === null ? null : markedId(folder);
      // Before it is opened, which would make one.
      if (folder !== null && marked !== null && sizeOf(join(folder, STATE_FILE)) === 0) throw gone();
      this.#db = new DatabaseSync(folder === null ? ":memory:" : join(folder, STATE_FILE));
      try {
        this.#prepare(marked);
        const id = this.meta(ID_KEY)!;
        if (marked !== null && marked !== id) {
          throw new Error(`it is another gateway's: delete ${MARKER} there to go on with it all the same`);
        }
        if (folder !== null && marked === null) mark(folder, id);
      } catch (cause) {
        this.#statements.clear();
        this.#db.close();
        throw cause;
      }
    } catch (cause) {
      const why = errorText(cause);
      const locked = /locked|busy/i.test(why) ? "another gateway uses it" : null;
      const fault = folder === null || locked !== null ? null : stateFolderFault(folder);
      const told = locked ?? (fault === null ? why : `it ${fault}`);
      throw new Error(`Cannot open the state in "${folder ?? ":memory:"}": ${told}`, { cause });
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

  /** Something that is kept of the state itself; null where it is not. */
  meta(key: string): string | null {
    const row = this.get("SELECT value FROM meta WHERE key = ?", key);
    return row === undefined ? null : String(row["value"]);
  }

  /** Keeps something of the state itself; it is durable after `commit`. */
  setMeta(key: string, value: string): void {
    this.run("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", key, value);
  }

  /** Bytes that its rows take, which its file may exceed. */
  get usedBytes(): number {
    const of = (pragma: string) => Number(Object.values(this.get(`PRAGMA ${pragma}`) ?? {})[0]);
    return (of("page_count") - of("freelist_count")) * of("page_size");
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

  /** @param marked the id that the folder says it has; null where it says none */
  #prepare(marked: string | null): void {
    const db = this.#db;
    // Held from the first read on, until the process ends. Before WAL, so that no memory is shared with others.
    db.exec("PRAGMA locking_mode = EXCLUSIVE");
    db.exec("PRAGMA journal_mode = WAL");
    db.exec("PRAGMA synchronous = FULL");
    db.exec("PRAGMA journal_size_limit = 67108864");
    db.exec("PRAGMA temp_store = MEMORY");
    // Takes the lock, also where nothing was to be changed.
    db.exec("BEGIN IMMEDIATE");
    const number = (sql: string) => Number(Object.values(db.prepare(sql).get() as Row)[0]);
    const found = number("PRAGMA user_version"), application = number("PRAGMA application_id");
    const isNew = found === 0 && number("SELECT count(*) FROM sqlite_master") === 0;
    if (isNew && marked !== null) throw gone();
    if (found > SCHEMA_VERSION && (application === 0 || application === APPLICATION_ID)) {
      throw new Error(`it was written by a newer version (${found}, this one knows ${SCHEMA_VERSION})`);
    }
    if (!isNew && (found === 0 || application !== (found === 1 ? 0 : APPLICATION_ID))) {
      throw new Error(`${STATE_FILE} is another program's database`);
    }
    if (!isNew) {
      const checked = Object.values(db.prepare("PRAGMA quick_check(1)").get() as Row)[0];
      if (checked !== "ok") throw new Error(`it is damaged: ${String(checked).replace(/\s+/g, " ")}`);
    }
    if (found < SCHEMA_VERSION) {
      db.exec(isNew ? TABLES : UPGRADES[found]!);
      db.exec(`PRAGMA user_version = ${SCHEMA_VERSION}; PRAGMA application_id = ${APPLICATION_ID}`);
      const id = randomBytes(8).toString("hex");
      if (found < 2) db.prepare("INSERT INTO meta (key, value) VALUES (?, ?)").run(ID_KEY, id);
    }
    for (const [table, columns] of COLUMNS) {
      try {
        db.prepare(`SELECT ${columns} FROM ${table} LIMIT 0`).all();
      } catch (cause) {
        throw new Error(`it is damaged: its table "${table}" is not as it should be`, { cause });
      }
    }
    if (db.prepare("SELECT 1 FROM meta WHERE key = ?").get(ID_KEY) === undefined) {
      throw new Error("it is damaged: it has no id");
    }
    db.exec("COMMIT");
  }

  #statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) this.#statements.set(sql, statement = this.#db.prepare(sql));
    return statement;
  }
}

function gone(): Error {
  return new Error(
    `${STATE_FILE} is missing or empty, and ${MARKER} beside it says that there was one: put it back, or delete ${MARKER} to ` +
      "begin anew, without the bans and all else that was kept",
  );
}

/** Bytes of texts as UTF-8. */
export function bytesOf(...texts: readonly string[]): number {
  return texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
}
