// The durable queue of one webhook: events in a sequence of their own, taken out from the front once the backend has
// them. What has to be given up, for size or age or because the backend refuses it, leaves a gap event in its place,
// so that the sequence itself has no holes. Runs in the state's thread.

import { Buffer } from "node:buffer";
import type {
  DeadLetters,
  GapReason,
  Queued,
  QueueLimits,
  QueueOwner,
  QueueStats,
} from "./queued.ts";
import type { Row, StateDb } from "./state_db.ts";

export type {
  DeadLetters,
  GapReason,
  Queued,
  QueueLimits,
  QueueOwner,
  QueueStats,
} from "./queued.ts";

/** What is held in memory of a queue, so that a backend that keeps up costs no reading. */
const RECENT_MAX = { events: 10_000, bytes: 4_194_304 } as const;
/** Shed down to this share of the bound, so that not each event sheds one. */
const SHED_TO = 0.9;

export class HookQueue {
  readonly #db: StateDb;
  readonly #owner: QueueOwner;
  readonly #hook: number;
  limits: QueueLimits;
  #lastSeq = 0;
  /** Whether the database does not know the last number yet. */
  #isAhead = false;
  /** All events of the queue, in their order, as long as there are not too many: else none. */
  #recent: Queued[] = [];
  #events = 0;
  #bytes = 0;
  #oldestMs: number | null = null;
  /** Since when the oldest event waits, by the clock of ages; null for an empty queue. */
  #oldestSince: number | null = null;
  /** Events for which there was no room, and which are not in the sequence yet. */
  #unkept = 0;
  #deadLetters = 0;
  /** Up to here events are on their way, and stay in the queue until that has ended. */
  #heldSeq = 0;
  readonly #lost: Record<GapReason, number> = { bytes: 0, age: 0, overload: 0, dead_letter: 0 };

  constructor(db: StateDb, owner: QueueOwner, limits: QueueLimits) {
    this.#db = db;
    this.#owner = owner;
    this.#hook = owner.id;
    this.limits = limits;
    this.load();
  }

  /** Reads from the database what is known by heart otherwise; needed after a rollback. */
  load(): void {
    const count = (sql: string) => this.#db.get(sql, this.#hook)!;
    this.#isAhead = false;
    this.#recent = [];
    this.#lastSeq = Number(count("SELECT last_seq AS n FROM hooks WHERE id = ?")["n"]);
    const held = count(
      "SELECT count(*) AS n, total(bytes) AS bytes, min(at_ms) AS oldest, min(since_ms) AS since FROM events WHERE hook = ?",
    );
    this.#events = Number(held["n"]);
    this.#owner.kept(Number(held["bytes"]) - this.#bytes);
    this.#bytes = Number(held["bytes"]);
    this.#oldestMs = held["oldest"] === null ? null : Number(held["oldest"]);
    this.#oldestSince = held["since"] === null ? null : Number(held["since"]);
    this.#deadLetters = Number(count("SELECT count(*) AS n FROM dead_letters WHERE hook = ?")["n"]);
  }

  /** Writes what is written once a transaction; to be called before each commit. */
  settle(): void {
    if (!this.#isAhead) return;
    this.#isAhead = false;
    this.#db.run("UPDATE hooks SET last_seq = ? WHERE id = ?", this.#lastSeq, this.#hook);
  }

  get stats(): QueueStats {
    return {
      events: this.#events,
      bytes: this.#bytes,
      oldestMs: this.#oldestMs,
      deadLetters: this.#deadLetters,
      lost: { ...this.#lost },
    };
  }

  /** Adds an event. @param json an object with at least one key, without `seq` */
  append(json: string, atMs: number): void {
    const bytes = Buffer.byteLength(json);
    if (!this.#owner.admits(bytes)) return void this.#unkept++;
    this.#tellUnkept(atMs);
    this.#insert({ seq: this.#next(1), atMs, json, bytes, lost: 0 }, null);
    if (this.#bytes > this.limits.maxBytes) this.#shedBytes(atMs);
  }

  /** Takes note of events that never got here. */
  skip(count: number, atMs: number, reason: GapReason = "overload"): void {
    const first = this.#lastSeq + 1;
    this.#insertGap({ seq: this.#next(count), first, lost: count, reason, atMs });
  }

  /** Tells of events for which there was no room, in one gap however many they were, as soon as there is some. */
  #tellUnkept(atMs: number): void {
    if (this.#unkept === 0) return;
    const count = this.#unkept;
    this.#unkept = 0;
    this.skip(count, atMs, "bytes");
  }

  /** The first events behind `after`, in their order; the first one however large it is. */
  read(after: number, max: { readonly events: number; readonly bytes: number }): Queued[] {
    const found = this.#isInMemory ? this.#readRecent(after, max.events) : this.#readRows(after, max.events);
    const events: Queued[] = [];
    let bytes = 0;
    for (const event of found) {
      bytes += event.bytes;
      if (events.length > 0 && bytes > max.bytes) break;
      events.push(event);
    }
    return events;
  }

  get #isInMemory(): boolean {
    return this.#recent.length === this.#events;
  }

  #readRecent(after: number, most: number): Queued[] {
    const from = after === 0 ? 0 : this.#recent.findIndex(({ seq }) => seq > after);
    return from < 0 ? [] : this.#recent.slice(from, from + most);
  }

  #readRows(after: number, most: number): Queued[] {
    return this.#db.all(
      "SELECT * FROM events WHERE hook = ? AND seq > ? ORDER BY seq LIMIT ?",
      ...[this.#hook, after, most],
    ).map(queued);
  }

  /** Events up to this one are on their way; 0 for none. */
  hold(seq: number): void {
    this.#heldSeq = seq;
  }

  /** The backend has these. */
  remove(events: readonly Queued[]): void {
    if (events.length === 0) return;
    if (this.#isInMemory && events.every((event, i) => event === this.#recent[i])) this.#removeFirst(events);
    else for (const { seq, lost } of events) this.#delete(seq, lost);
    this.#findOldest();
  }

  #removeFirst(events: readonly Queued[]): void {
    const bytes = events.reduce((sum, event) => sum + event.bytes, 0);
    this.#db.run(
      "DELETE FROM events WHERE hook = ? AND seq BETWEEN ? AND ?",
      ...[this.#hook, events[0]!.seq, events.at(-1)!.seq],
    );
    this.#recent.splice(0, events.length);
    this.#events -= events.length;
    this.#bytes -= bytes;
    this.#owner.kept(-bytes);
  }

  /** The backend refuses this one: it becomes a dead letter, with a gap in its place. */
  setAside(event: Queued, reason: string, atMs: number): void {
    this.#delete(event.seq, event.lost);
    // Who does not take the word that something is missing has been told.
    if (event.lost === 0) {
      this.#db.run(
        "INSERT OR REPLACE INTO dead_letters VALUES (?, ?, ?, ?, ?, ?)",
        ...[this.#hook, event.seq, event.atMs, event.bytes, reason, event.json],
      );
      this.#deadLetters++;
      this.#boundDeadLetters();
      this.#insertGap({ seq: event.seq, first: event.seq, lost: 1, reason: "dead_letter", atMs });
    }
    this.#findOldest();
  }

  /** How long an event has waited, in milliseconds. */
  waitedMs({ sinceMs }: Queued): number {
    return this.#owner.time() - sinceMs;
  }

  /** Gives up what has waited too long. @param nowMs Unix time in milliseconds, for the gap @returns whether there was any */
  shedOld(nowMs: number): boolean {
    const before = this.#owner.time() - this.limits.maxAgeMs;
    if (this.#oldestSince === null || this.#oldestSince >= before) return false;
    const last = this.#db.get(
      "SELECT max(seq) AS seq FROM events WHERE hook = ? AND seq > ? AND since_ms < ?",
      ...[this.#hook, this.#heldSeq, before],
    )!["seq"];
    if (last === null || last === undefined) return false;
    this.#shed(Number(last), "age", nowMs);
    return true;
  }

  /** The first dead letters behind `after`; the first one however large it is. */
  deadLetters(after: number, max: { readonly letters: number; readonly bytes: number }): DeadLetters {
    const behind = "FROM dead_letters WHERE hook = ? AND seq > ?";
    // Their sizes first: texts that are not wanted are not read.
    const sizes = this.#db.all(
      `SELECT seq, bytes ${behind} ORDER BY seq LIMIT ?`,
      ...[this.#hook, after, max.letters + 1],
    );
    let count = 0, bytes = 0;
    for (const size of sizes.slice(0, max.letters)) {
      bytes += Number(size["bytes"]);
      if (count > 0 && bytes > max.bytes) break;
      count++;
    }
    const rows = this.#db.all(`SELECT * ${behind} ORDER BY seq LIMIT ?`, ...[this.#hook, after, count]);
    const letters = rows.map(({ seq, at_ms, reason, body }) => ({
      seq: Number(seq),
      atMs: Number(at_ms),
      reason: String(reason),
      json: withSeq(String(body), Number(seq)),
    }));
    return { letters, more: sizes.length > count };
  }

  /**
   * Puts dead letters back into the queue, where they were.
   * @param seqs which; null for all
   * @returns how many
   */
  retry(seqs: readonly number[] | null, nowMs: number): number {
    let count = 0;
    for (const seq of seqs ?? this.#deadSeqs()) {
      const row = this.#db.get("SELECT * FROM dead_letters WHERE hook = ? AND seq = ?", this.#hook, seq);
      if (row === undefined) continue;
      // Its gap may not have been told yet; then it need not be.
      const gap = this.#db.get("SELECT lost FROM events WHERE hook = ? AND seq = ?", this.#hook, seq);
      if (gap !== undefined) this.#delete(seq, Number(gap["lost"]));
      const { bytes, body } = row;
      // Its age counts from now, for it has waited for this.
      this.#insert({ seq, atMs: nowMs, json: String(body), bytes: Number(bytes), lost: 0 }, null);
      this.#dropDead(seq);
      count++;
    }
    this.#findOldest();
    return count;
  }

  /** Forgets dead letters. @param seqs which; null for all @returns how many */
  drop(seqs: readonly number[] | null): number {
    let count = 0;
    for (const seq of seqs ?? this.#deadSeqs()) count += this.#dropDead(seq);
    return count;
  }

  #next(count: number): number {
    this.#lastSeq += count;
    this.#isAhead = true;
    return this.#lastSeq;
  }

  #insert(fresh: Omit<Queued, "sinceMs">, firstSeq: number | null): void {
    const { seq, atMs, json, bytes, lost } = fresh;
    const sinceMs = Math.round(this.#owner.time());
    this.#db.run(
      "INSERT INTO events (hook, seq, at_ms, bytes, first_seq, lost, body, since_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
      ...[this.#hook, seq, atMs, bytes, firstSeq, lost, json, sinceMs],
    );
    const isNext = this.#isInMemory && seq === this.#lastSeq && seq > (this.#recent.at(-1)?.seq ?? 0);
    if (isNext && this.#events < RECENT_MAX.events && this.#bytes < RECENT_MAX.bytes) {
      this.#recent.push({ ...fresh, sinceMs });
    } else this.#recent = [];
    this.#events++;
    this.#bytes += bytes;
    this.#owner.kept(bytes);
    this.#oldestSince ??= sinceMs;
    if (this.#oldestMs === null || atMs < this.#oldestMs) this.#oldestMs = atMs;
  }

  #insertGap(gap: { seq: number; first: number; lost: number; reason: GapReason; atMs: number }): void {
    const { seq, first, lost, reason, atMs } = gap;
    const json = JSON.stringify({
      id: `gap.${this.#hook}.${first}.${seq}`,
      type: "gap",
      time_ms: atMs,
      tenant: this.#owner.tenant,
      data: { first_seq: first, last_seq: seq, events: lost, reason },
    });
    this.#insert({ seq, atMs, json, bytes: Buffer.byteLength(json), lost }, first);
    this.#lost[reason] += lost;
  }

  /** @param lost of the event that is meant: a dead letter may have been put where its gap was, which was on its way */
  #delete(seq: number, lost: number): void {
    const row = this.#db.get("SELECT bytes, lost FROM events WHERE hook = ? AND seq = ?", this.#hook, seq);
    if (row === undefined || Number(row["lost"]) !== lost) return;
    this.#db.run("DELETE FROM events WHERE hook = ? AND seq = ?", this.#hook, seq);
    this.#recent = [];
    this.#events--;
    this.#bytes -= Number(row["bytes"]);
    this.#owner.kept(-Number(row["bytes"]));
  }

  /** Gives up the oldest until enough is free; those on their way stay. */
  #shedBytes(nowMs: number): void {
    let over = this.#bytes - this.limits.maxBytes * SHED_TO;
    let last = 0;
    for (let after = this.#heldSeq; over > 0;) {
      const rows = this.read(after, { events: 1000, bytes: Number.POSITIVE_INFINITY });
      if (rows.length === 0) break;
      for (const { seq, bytes } of rows) {
        after = last = seq;
        if ((over -= bytes) <= 0) break;
      }
    }
    if (last > 0) this.#shed(last, "bytes", nowMs);
  }

  /** Puts one gap in the place of all events up to `last` that are not on their way. */
  #shed(last: number, reason: GapReason, nowMs: number): void {
    const range = [this.#hook, this.#heldSeq, last];
    const sum = this.#db.get(
      "SELECT min(coalesce(first_seq, seq)) AS first, max(seq) AS last, count(*) AS n, total(bytes) AS bytes, " +
        "total(lost) AS lost, total(lost > 0) AS gaps FROM events WHERE hook = ? AND seq > ? AND seq <= ?",
      ...range,
    )!;
    this.#db.run("DELETE FROM events WHERE hook = ? AND seq > ? AND seq <= ?", ...range);
    this.#recent = [];
    this.#events -= Number(sum["n"]);
    this.#bytes -= Number(sum["bytes"]);
    this.#owner.kept(-Number(sum["bytes"]));
    const events = Number(sum["n"]) - Number(sum["gaps"]);
    this.#insertGap({
      seq: Number(sum["last"]),
      first: Number(sum["first"]),
      lost: events + Number(sum["lost"]),
      reason,
      atMs: nowMs,
    });
    this.#lost[reason] -= Number(sum["lost"]);
    this.#findOldest();
  }

  #findOldest(): void {
    if (this.#isInMemory) {
      const [first] = this.#recent;
      this.#oldestMs = first?.atMs ?? null;
      this.#oldestSince = first?.sinceMs ?? null;
      return;
    }
    const row = this.#db.get(
      "SELECT at_ms AS at, since_ms AS since FROM events WHERE hook = ? ORDER BY seq LIMIT 1",
      this.#hook,
    );
    this.#oldestMs = row === undefined ? null : Number(row["at"]);
    this.#oldestSince = row === undefined ? null : Number(row["since"]);
  }

  #deadSeqs(): number[] {
    return this.#db.all("SELECT seq FROM dead_letters WHERE hook = ? ORDER BY seq", this.#hook)
      .map(({ seq }) => Number(seq));
  }

  #dropDead(seq: number): number {
    const dropped = this.#db.run("DELETE FROM dead_letters WHERE hook = ? AND seq = ?", this.#hook, seq);
    this.#deadLetters -= dropped;
    return dropped;
  }

  #boundDeadLetters(): void {
    while (this.#deadLetters > this.limits.maxDeadLetters) {
      const oldest =
        this.#db.get("SELECT min(seq) AS seq FROM dead_letters WHERE hook = ?", this.#hook)!["seq"];
      this.#dropDead(Number(oldest));
    }
  }
}

function queued({ seq, at_ms, since_ms, bytes, lost, body }: Row): Queued {
  return {
    seq: Number(seq),
    atMs: Number(at_ms),
    sinceMs: Number(since_ms),
    bytes: Number(bytes),
    lost: Number(lost),
    json: String(body),
  };
}

/** An event as the backend gets it. @param json the event without its `seq` */
export function withSeq(json: string, seq: number): string {
  return `{"seq":${seq},${json.slice(1)}`;
}
