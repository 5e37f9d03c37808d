// Rooms that keep what is said in them, in the state's database. Runs in the state's thread. A message is numbered here, in
// the transaction that keeps it, so that no number is ever given twice and none is left out. A room takes a row with its
// first message; until then its epoch is made of its name and of a secret, which changes whenever a room's row goes: so no
// epoch comes back, and rooms that nobody speaks in cost nothing.

import { createHash, randomBytes } from "node:crypto";
import type { StateBounds } from "./state_bounds.ts";
import { bytesOf, type StateDb } from "./state_db.ts";
import type { HistoryAppend, HistoryMeta, HistoryRange, HistoryStored } from "./state_messages.ts";

/** Rooms whose numbers are known without asking the database. */
const ROOMS_MAX = 10_000;
/** A room notes this often that it is used, in milliseconds. */
const NOTE_MS = 10_000;
/** Senders' keys that are known of one tenant; of more, the oldest go, some at a time. */
const KEYS_MAX = 100_000;
const KEYS_AT_ONCE = 1000;
/** What a room counts besides its messages: its row, and its place in an index. */
const ROOM_BYTES = 256;
const SWEEP_MAX = 1000;
/** Where it stands of what epochs of rooms without a message are made. */
const EPOCH_KEY = "history_epoch";

interface Room {
  /** Null before its first message. */
  id: number | null;
  epoch: string;
  first: number;
  last: number;
  bytes: number;
  /** The oldest row that is still there. What is before `first` is kept no more, and goes some time after that. */
  oldestRow: number;
  /** What is before this may go with the next trim: it was kept no more at the last one. */
  goneBefore: number;
  notedMs: number;
}

export class HistoryStore {
  readonly #db: StateDb;
  readonly #unixMs: () => number;
  readonly #bounds: StateBounds;
  readonly #rooms = new Map<string, Room>();
  /** What each tenant's rooms keep, as the bounds have it: a transaction that fails has kept nothing. */
  readonly #bytes = new Map<string, number>();
  /** Senders' keys of each tenant. */
  readonly #keys = new Map<string, number>();
  /** What epochs of rooms without a message are made of. */
  #epoch = "";

  constructor(db: StateDb, unixMs: () => number, bounds: StateBounds) {
    this.#db = db;
    this.#unixMs = unixMs;
    this.#bounds = bounds;
    this.load();
    if (this.#epoch === "") this.#renew();
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
    const rooms = this.#db.all("SELECT tenant, count(*) AS rooms FROM history_rooms GROUP BY tenant");
    for (const { tenant, rooms: count } of rooms) this.#count(String(tenant), Number(count) * ROOM_BYTES);
    this.#keys.clear();
    const keys = this.#db.all("SELECT tenant, count(*) AS keys FROM history_keys GROUP BY tenant");
    for (const { tenant, keys: count } of keys) this.#keys.set(String(tenant), Number(count));
    this.#epoch = this.#db.meta(EPOCH_KEY) ?? this.#epoch;
  }

  open(tenant: string, name: string, bounds: HistoryAppend["bounds"]): HistoryMeta {
    const room = this.#room(tenant, name);
    this.#bound(tenant, room, bounds, Number.POSITIVE_INFINITY);
    // Nobody reads it yet.
    this.#delete(room, room.first);
    return metaOf(room);
  }

  /** @returns "full" when there is no room for it on the disk, "reused" when its key stands for another message */
  append(
    tenant: string,
    name: string,
    { text, key, epoch, bounds, keepAfter }: HistoryAppend,
  ): HistoryStored | "full" | "reused" {
    const now = this.#unixMs();
    if (key !== null) {
      const sent = this.#db.get(
        "SELECT epoch, off, digest FROM history_keys WHERE tenant = ? AND name = ? AND until_ms > ?",
        ...[tenant, key.name, now],
      );
      if (sent !== undefined) {
        if (sent["digest"] !== key.digest) return "reused";
        const meta = metaOf(this.#room(tenant, name));
        return { ...meta, epoch: String(sent["epoch"]), offset: Number(sent["off"]), duplicate: true };
      }
    }
    const bytes = bytesOf(text);
    const room = this.#room(tenant, name);
    if (!this.#bounds.admits(tenant, bytes + (room.id === null ? ROOM_BYTES : 0))) return "full";
    room.id ??= this.#create(tenant, name, { room, epoch, maxAgeMs: bounds.maxAgeMs });
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
    if (key !== null) this.#know(tenant, name, { room, offset, key });
    this.#note(room, bounds.maxAgeMs);
    this.#bound(tenant, room, { ...bounds, maxAgeMs: 0 }, keepAfter);
    return { ...metaOf(room), offset, duplicate: false };
  }

  read(tenant: string, name: string, range: HistoryRange): HistoryMeta & { rows: [number, string][] } {
    const room = this.#room(tenant, name);
    const forward = range.after !== null;
    const first = range.isPinned ? 0 : room.first;
    const rows = forward
      ? this.#db.all(
        "SELECT off, bytes, body FROM history WHERE room = ? AND off > ? AND off >= ? ORDER BY off LIMIT ?",
        ...[room.id, range.after, first, range.limit],
      )
      : this.#db.all(
        "SELECT off, bytes, body FROM history WHERE room = ? AND off < ? AND off >= ? ORDER BY off DESC LIMIT ?",
        ...[room.id, range.before, first, range.limit],
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

  /**
   * Lets go of what is too old. Rows go only when they were kept no more at the trim before: who has been promised some of
   * them meanwhile says so with this one. One trim of a room MUST be answered before the next.
   */
  trim(tenant: string, name: string, bounds: HistoryAppend["bounds"], keepAfter: number): HistoryMeta {
    const room = this.#room(tenant, name);
    this.#note(room, bounds.maxAgeMs);
    this.#delete(room, Math.min(room.goneBefore, keepAfter + 1));
    this.#bound(tenant, room, bounds, keepAfter);
    room.goneBefore = room.first;
    return metaOf(room);
  }

  clear(tenant: string, name: string): HistoryMeta {
    this.#drop(tenant, name, this.#room(tenant, name));
    return metaOf(this.#room(tenant, name));
  }

  /** Lets go of rooms that nobody has used for as long as they keep messages, and of keys that are over. */
  sweep(): void {
    const now = this.#unixMs();
    for (const [tenant, count] of this.#keys) {
      const gone = this.#db.run("DELETE FROM history_keys WHERE tenant = ? AND until_ms <= ?", tenant, now);
      if (gone === count) this.#keys.delete(tenant);
      else this.#keys.set(tenant, count - gone);
    }
    const rows = this.#db.all(
      "SELECT tenant, room FROM history_rooms WHERE used_ms + max_age_ms < ? LIMIT ?",
      // A room that is in use notes it now and then only.
      ...[now - 2 * NOTE_MS, SWEEP_MAX],
    );
    for (const row of rows) {
      const tenant = String(row["tenant"]), name = String(row["room"]);
      this.#drop(tenant, name, this.#room(tenant, name));
    }
  }

  #room(tenant: string, name: string): Room {
    const place = `${tenant} ${name}`;
    const known = this.#rooms.get(place);
    if (known !== undefined) return known;
    const room = this.#find(tenant, name) ??
      {
        id: null,
        epoch: this.#epochOf(place),
        first: 1,
        last: 0,
        bytes: 0,
        oldestRow: 1,
        goneBefore: 1,
        notedMs: 0,
      };
    this.#rooms.set(place, room);
    if (this.#rooms.size > ROOMS_MAX) this.#forgetOldest();
    return room;
  }

  #forgetOldest(): void {
    const [place, room] = this.#rooms.entries().next().value!;
    this.#rooms.delete(place);
    // Who finds it again finds its rows too, all of them.
    if (room.first <= room.oldestRow) return;
    const tenant = place.slice(0, place.indexOf(" "));
    this.#count(tenant, this.#bytesBetween(room, room.oldestRow, room.first));
  }

  #find(tenant: string, name: string): Room | null {
    const row = this.#db.get(
      "SELECT id, epoch, last FROM history_rooms WHERE tenant = ? AND room = ?",
      tenant,
      name,
    );
    if (row === undefined) return null;
    const id = Number(row["id"]);
    const kept = this.#db.get(
      "SELECT min(off) AS first, max(off) AS last, total(bytes) AS bytes FROM history WHERE room = ?",
      id,
    )!;
    const last = Math.max(Number(row["last"]), Number(kept["last"] ?? 0));
    const first = kept["first"] === null ? last + 1 : Number(kept["first"]);
    return {
      id,
      epoch: String(row["epoch"]),
      first,
      last,
      bytes: Number(kept["bytes"]),
      oldestRow: first,
      goneBefore: first,
      notedMs: 0,
    };
  }

  /** A room takes its row. @param of the epoch that its members know, and for how long it is to stay */
  #create(
    tenant: string,
    name: string,
    { room, epoch, maxAgeMs }: { room: Room; epoch: string | null; maxAgeMs: number },
  ): number {
    room.epoch = epoch ?? room.epoch;
    room.notedMs = this.#unixMs();
    this.#db.run(
      "INSERT INTO history_rooms (tenant, room, epoch, last, used_ms, max_age_ms) VALUES (?, ?, ?, 0, ?, ?)",
      ...[tenant, name, room.epoch, room.notedMs, maxAgeMs],
    );
    this.#count(tenant, ROOM_BYTES);
    return Number(this.#db.get("SELECT last_insert_rowid() AS id")!["id"]);
  }

  /** Each room's own, so that nobody is let in with the cursor of another room. */
  #epochOf(place: string): string {
    return createHash("sha256").update(`${this.#epoch} ${place}`).digest("hex").slice(0, 16);
  }

  /** From now on, a room without a message has another epoch than it has ever had. */
  #renew(): void {
    this.#epoch = randomBytes(8).toString("hex");
    this.#db.setMeta(EPOCH_KEY, this.#epoch);
  }

  /** A message is known by its key. */
  #know(
    tenant: string,
    name: string,
    { room, offset, key }: { room: Room; offset: number; key: NonNullable<HistoryAppend["key"]> },
  ): void {
    // One that is over may still stand there.
    const isNew = this.#db.run(
      "INSERT OR IGNORE INTO history_keys (tenant, name, epoch, off, room, until_ms, digest) VALUES (?, ?, ?, ?, ?, ?, ?)",
      ...[tenant, key.name, room.epoch, offset, name, this.#unixMs() + key.forMs, key.digest],
    ) > 0;
    if (!isNew) {
      this.#db.run(
        "UPDATE history_keys SET epoch = ?, off = ?, room = ?, until_ms = ?, digest = ? WHERE tenant = ? AND name = ?",
        ...[room.epoch, offset, name, this.#unixMs() + key.forMs, key.digest, tenant, key.name],
      );
      return;
    }
    const count = (this.#keys.get(tenant) ?? 0) + 1;
    this.#keys.set(tenant, count);
    if (count <= KEYS_MAX) return;
    const gone = this.#db.run(
      "DELETE FROM history_keys WHERE tenant = ? AND name IN " +
        "(SELECT name FROM history_keys WHERE tenant = ? ORDER BY until_ms LIMIT ?)",
      ...[tenant, tenant, KEYS_AT_ONCE],
    );
    this.#keys.set(tenant, count - gone);
  }

  /** Keeps no more than it may, but what comes behind an offset. @param bounds an age of 0 is not looked at */
  #bound(tenant: string, room: Room, bounds: HistoryAppend["bounds"], keepAfter: number): void {
    if (room.id === null) return;
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
  }

  #delete(room: Room, before: number): void {
    if (room.id === null || before <= room.oldestRow) return;
    this.#db.run("DELETE FROM history WHERE room = ? AND off < ?", room.id, before);
    room.oldestRow = before;
    // With its last row, the number that was given last would go.
    if (before > room.last) {
      this.#db.run("UPDATE history_rooms SET last = ? WHERE id = ?", room.last, room.id);
    }
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
    if (room.id === null || now - room.notedMs < NOTE_MS) return;
    room.notedMs = now;
    this.#db.run("UPDATE history_rooms SET used_ms = ?, max_age_ms = ? WHERE id = ?", now, maxAgeMs, room.id);
  }

  #count(tenant: string, bytes: number): void {
    this.#bytes.set(tenant, (this.#bytes.get(tenant) ?? 0) + bytes);
    this.#bounds.add(tenant, bytes);
  }

  #drop(tenant: string, name: string, room: Room): void {
    // Also where nothing is kept: members were told its epoch, which is to be another one now.
    this.#renew();
    this.#rooms.delete(`${tenant} ${name}`);
    if (room.id === null) return;
    this.#count(tenant, -room.bytes - ROOM_BYTES);
    this.#db.run("DELETE FROM history WHERE room = ?", room.id);
    this.#db.run("DELETE FROM history_rooms WHERE id = ?", room.id);
  }
}

function metaOf({ epoch, first, last, bytes }: Room): HistoryMeta {
  return { epoch, first, last, bytes };
}
