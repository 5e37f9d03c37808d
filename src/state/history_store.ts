// Rooms that keep what is said in them, in the state's database. Runs in the state's thread. A message is numbered here, in
// the transaction that keeps it, so that no number is ever given twice and none is left out.

import { randomBytes } from "node:crypto";
import type { StateBounds } from "./state_bounds.ts";
import { bytesOf, type StateDb } from "./state_db.ts";
import type { HistoryAppend, HistoryMeta, HistoryRange, HistoryStored } from "./state_messages.ts";

/** Rooms whose numbers are known without asking the database. */
const ROOMS_MAX = 10_000;
/** Rows that are let go of at a time. */
const DELETE_ROWS = 32;
/** A room notes this often that it is used, in milliseconds. */
const NOTE_MS = 10_000;
/** How long a sender's key is known. */
const KEY_MS = 300_000;
const SWEEP_MAX = 1000;

interface Room {
  readonly id: number;
  readonly epoch: string;
  first: number;
  last: number;
  bytes: number;
  /** The oldest row that is still there: what is before `first` goes soon. */
  oldestRow: number;
  notedMs: number;
}

export class HistoryStore {
  readonly #db: StateDb;
  readonly #unixMs: () => number;
  readonly #bounds: StateBounds;
  readonly #rooms = new Map<string, Room>();
  /** What each tenant's rooms keep, as the bounds have it: a transaction that fails has kept nothing. */
  readonly #bytes = new Map<string, number>();

  constructor(db: StateDb, unixMs: () => number, bounds: StateBounds) {
    this.#db = db;
    this.#unixMs = unixMs;
    this.#bounds = bounds;
    this.load();
  }

  /** What was known of rooms may not hold any more: a transaction has failed. */
  load(): void {
    this.#rooms.clear();
    for (const [tenant, bytes] of [...this.#bytes]) this.#count(tenant, -bytes);
    this.#bytes.clear();
    const rows = this.#db.all(
      "SELECT tenant, total(bytes) AS bytes FROM history JOIN history_rooms ON history_rooms.id = history.room " +
        "GROUP BY tenant",
    );
    for (const { tenant, bytes } of rows) this.#count(String(tenant), Number(bytes));
  }

  open(tenant: string, name: string, bounds: HistoryAppend["bounds"]): HistoryMeta {
    const room = this.#room(tenant, name, bounds.maxAgeMs);
    this.#trim(tenant, room, bounds, Number.POSITIVE_INFINITY);
    return metaOf(room);
  }

  /** @returns null when there is no room for it on the disk */
  append(
    tenant: string,
    name: string,
    { text, key, bounds, keepAfter }: HistoryAppend,
  ): HistoryStored | null {
    const now = this.#unixMs();
    if (key !== null) {
      const sent = this.#db.get(
        "SELECT room, epoch, off FROM history_keys WHERE tenant = ? AND name = ? AND until_ms > ?",
        ...[tenant, key, now],
      );
      if (sent !== undefined) {
        const meta = metaOf(this.#room(tenant, name, bounds.maxAgeMs));
        return { ...meta, epoch: String(sent["epoch"]), offset: Number(sent["off"]), duplicate: true };
      }
    }
    const bytes = bytesOf(text);
    if (!this.#bounds.admits(tenant, bytes)) return null;
    const room = this.#room(tenant, name, bounds.maxAgeMs);
    const offset = ++room.last;
    this.#db.run("INSERT INTO history (room, off, at_ms, bytes, body) VALUES (?, ?, ?, ?, ?)", ...[
      room.id,
      offset,
      now,
      bytes,
      text,
    ]);
    room.bytes += bytes;
    this.#count(tenant, bytes);
    if (key !== null) {
      this.#db.run(
        "INSERT OR REPLACE INTO history_keys (tenant, name, epoch, off, room, until_ms) VALUES (?, ?, ?, ?, ?, ?)",
        ...[tenant, key, room.epoch, offset, name, now + KEY_MS],
      );
    }
    this.#note(room, bounds.maxAgeMs);
    this.#trim(tenant, room, { ...bounds, maxAgeMs: 0 }, keepAfter);
    return { ...metaOf(room), offset, duplicate: false };
  }

  read(tenant: string, name: string, range: HistoryRange): HistoryMeta & { rows: [number, string][] } {
    const room = this.#room(tenant, name, 0);
    const forward = range.after !== null;
    const rows = forward
      ? this.#db.all(
        "SELECT off, bytes, body FROM history WHERE room = ? AND off > ? AND off >= ? ORDER BY off LIMIT ?",
        ...[room.id, range.after, room.first, range.limit],
      )
      : this.#db.all(
        "SELECT off, bytes, body FROM history WHERE room = ? AND off < ? AND off >= ? ORDER BY off DESC LIMIT ?",
        ...[room.id, range.before, room.first, range.limit],
      );
    const found: [number, string][] = [];
    let bytes = 0;
    for (const row of rows) {
      bytes += Number(row["bytes"]);
      if (bytes > range.maxBytes && found.length > 0) break;
      found.push([Number(row["off"]), String(row["body"])]);
    }
    return { ...metaOf(room), rows: forward ? found : found.reverse() };
  }

  trim(tenant: string, name: string, bounds: HistoryAppend["bounds"], keepAfter: number): HistoryMeta {
    const room = this.#room(tenant, name, bounds.maxAgeMs);
    this.#note(room, bounds.maxAgeMs);
    this.#trim(tenant, room, bounds, keepAfter);
    return metaOf(room);
  }

  clear(tenant: string, name: string): HistoryMeta {
    const room = this.#room(tenant, name, 0);
    this.#drop(tenant, name, room);
    return metaOf(this.#room(tenant, name, 0));
  }

  /** Lets go of rooms that nobody has used for as long as they keep messages, and of keys that are over. */
  sweep(): void {
    const now = this.#unixMs();
    this.#db.run("DELETE FROM history_keys WHERE until_ms <= ?", now);
    const rows = this.#db.all(
      "SELECT tenant, room FROM history_rooms WHERE used_ms + max_age_ms < ? LIMIT ?",
      // A room that is in use notes it now and then only.
      ...[now - 2 * NOTE_MS, SWEEP_MAX],
    );
    for (const row of rows) {
      const tenant = String(row["tenant"]), name = String(row["room"]);
      this.#drop(tenant, name, this.#room(tenant, name, 0));
    }
  }

  #room(tenant: string, name: string, maxAgeMs: number): Room {
    const place = `${tenant} ${name}`;
    const known = this.#rooms.get(place);
    if (known !== undefined) return known;
    let row = this.#db.get(
      "SELECT id, epoch, last FROM history_rooms WHERE tenant = ? AND room = ?",
      tenant,
      name,
    );
    const now = this.#unixMs();
    if (row === undefined) {
      this.#db.run(
        "INSERT INTO history_rooms (tenant, room, epoch, last, used_ms, max_age_ms) VALUES (?, ?, ?, 0, ?, ?)",
        ...[tenant, name, randomBytes(8).toString("hex"), now, maxAgeMs],
      );
      row = this.#db.get(
        "SELECT id, epoch, last FROM history_rooms WHERE tenant = ? AND room = ?",
        tenant,
        name,
      )!;
    }
    const id = Number(row["id"]);
    const kept = this.#db.get(
      "SELECT min(off) AS first, max(off) AS last, total(bytes) AS bytes FROM history WHERE room = ?",
      id,
    )!;
    const last = Math.max(Number(row["last"]), Number(kept["last"] ?? 0));
    const first = kept["first"] === null ? last + 1 : Number(kept["first"]);
    const room: Room = {
      id,
      epoch: String(row["epoch"]),
      first,
      last,
      bytes: Number(kept["bytes"]),
      oldestRow: first,
      notedMs: 0,
    };
    this.#rooms.set(place, room);
    if (this.#rooms.size > ROOMS_MAX) this.#rooms.delete(this.#rooms.keys().next().value!);
    return room;
  }

  /** @param bounds an age of 0 is not looked at */
  #trim(tenant: string, room: Room, bounds: HistoryAppend["bounds"], keepAfter: number): void {
    const { maxMessages, maxBytes, maxAgeMs } = bounds;
    let first = Math.max(room.first, room.last - maxMessages + 1);
    if (maxAgeMs > 0) {
      const young = this.#db.get(
        "SELECT min(off) AS off FROM history WHERE room = ? AND off >= ? AND at_ms >= ?",
        ...[room.id, first, this.#unixMs() - maxAgeMs],
      );
      first = Math.max(
        first,
        young?.["off"] === null || young === undefined ? room.last + 1 : Number(young["off"]),
      );
    }
    first = Math.min(first, keepAfter + 1);
    let freed = first > room.first ? this.#bytesBetween(room, room.first, first) : 0;
    while (room.bytes - freed > maxBytes && first <= Math.min(room.last, keepAfter)) {
      freed += this.#bytesBetween(room, first, first + 1);
      first++;
    }
    if (first <= room.first) return;
    room.first = first;
    room.bytes -= freed;
    this.#count(tenant, -freed);
    const isEmpty = first > room.last;
    if (!isEmpty && first - room.oldestRow < DELETE_ROWS) return;
    this.#db.run("DELETE FROM history WHERE room = ? AND off < ?", room.id, first);
    room.oldestRow = first;
    // With its last row, the number that was given last would go.
    if (isEmpty) this.#db.run("UPDATE history_rooms SET last = ? WHERE id = ?", room.last, room.id);
  }

  #bytesBetween(room: Room, from: number, to: number): number {
    const row = this.#db.get(
      "SELECT total(bytes) AS bytes FROM history WHERE room = ? AND off >= ? AND off < ?",
      ...[room.id, from, to],
    );
    return Number(row?.["bytes"] ?? 0);
  }

  #note(room: Room, maxAgeMs: number): void {
    const now = this.#unixMs();
    if (now - room.notedMs < NOTE_MS) return;
    room.notedMs = now;
    this.#db.run("UPDATE history_rooms SET used_ms = ?, max_age_ms = ? WHERE id = ?", now, maxAgeMs, room.id);
  }

  #count(tenant: string, bytes: number): void {
    this.#bytes.set(tenant, (this.#bytes.get(tenant) ?? 0) + bytes);
    this.#bounds.add(tenant, bytes);
  }

  #drop(tenant: string, name: string, room: Room): void {
    this.#count(tenant, -room.bytes);
    this.#db.run("DELETE FROM history WHERE room = ?", room.id);
    this.#db.run("DELETE FROM history_rooms WHERE id = ?", room.id);
    this.#rooms.delete(`${tenant} ${name}`);
  }
}

function metaOf({ epoch, first, last, bytes }: Room): HistoryMeta {
  return { epoch, first, last, bytes };
}
