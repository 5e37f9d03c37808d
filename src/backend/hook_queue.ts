// The durable queue of one webhook: events in a sequence of their own, taken out from the front once the backend has
// them. What has to be given up, for size or age or because the backend refuses it, leaves a gap event in its place,
// so that the sequence itself has no holes. Runs in the state's thread.

import { Buffer } from "node:buffer";
import type { Row, StateDb } from "./state_db.ts";

/** Why events were given up. */
export type GapReason = "bytes" | "age" | "overload" | "dead_letter";

export interface QueueLimits {
  /** Bytes of events that may wait. */
  readonly maxBytes: number;
  /** Events wait this long at most, in milliseconds. */
  readonly maxAgeMs: number;
  /** Dead letters that are kept; the oldest leave first. */
  readonly maxDeadLetters: number;
}

/** An event that waits. */
export interface Queued {
  readonly seq: number;
  /** Unix time in milliseconds. */
  readonly atMs: number;
  /** As the backend gets it. */
  readonly json: string;
  readonly bytes: number;
  /** A gap event: how many events it stands for; 0 for all others. */
  readonly lost: number;
}

/** An event that the backend refuses. */
export interface DeadLetter {
  readonly seq: number;
  readonly atMs: number;
  readonly reason: string;
  readonly json: string;
}

/** Some of the dead letters, oldest first. */
export interface DeadLetters {
  readonly letters: readonly DeadLetter[];
  /** Whether there are more behind these. */
  readonly more: boolean;
}

/** What a queue holds, and has given up since it was opened. */
export interface QueueStats {
  readonly events: number;
  readonly bytes: number;
  /** Unix time in milliseconds of the first one, null for an empty queue. */
  readonly oldestMs: number | null;
  readonly deadLetters: number;
  readonly lost: Readonly<Record<GapReason, number>>;
}

/** Shed down to this share of the bound, so that not each event sheds one. */
const SHED_TO = 0.9;

export class HookQueue {
  readonly #db: StateDb;
  readonly #hook: number;
  readonly #tenant: string;
  limits: QueueLimits;
  #lastSeq = 0;
  #events = 0;
  #bytes = 0;
  #oldestMs: number | null = null;
  #deadLetters = 0;
  /** Up to here events are on their way, and stay in the queue until that has ended. */
  #heldSeq = 0;
  readonly #lost: Record<GapReason, number> = { bytes: 0, age: 0, overload: 0, dead_letter: 0 };

  constructor(db: StateDb, hook: { id: number; tenant: string }, limits: QueueLimits) {
    this.#db = db;
    this.#hook = hook.id;
    this.#tenant = hook.tenant;
    this.limits = limits;
    this.load();
  }

  /** Reads from the database what is known by heart otherwise; needed after a rollback. */
  load(): void {
    const count = (sql: string) => this.#db.get(sql, this.#hook)!;
    this.#lastSeq = Number(count("SELECT last_seq AS n FROM hooks WHERE id = ?")["n"]);
    const held = count(
      "SELECT count(*) AS n, total(bytes) AS bytes, min(at_ms) AS oldest FROM events WHERE hook = ?",
    );
    this.#events = Number(held["n"]);
    this.#bytes = Number(held["bytes"]);
    this.#oldestMs = held["oldest"] === null ? null : Number(held["oldest"]);
    this.#deadLetters = Number(count("SELECT count(*) AS n FROM dead_letters WHERE hook = ?")["n"]);
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
    this.#insert({ seq: this.#next(1), atMs, json, bytes, lost: 0 }, null);
    if (this.#bytes > this.limits.maxBytes) this.#shedBytes(atMs);
  }

  /** Takes note of events that never got here. */
  skip(count: number, atMs: number): void {
    const first = this.#lastSeq + 1;
    this.#insertGap({ seq: this.#next(count), first, lost: count, reason: "overload", atMs });
  }

  /** The first events behind `after`, in their order; the first one however large it is. */
  read(after: number, max: { readonly events: number; readonly bytes: number }): Queued[] {
    const rows = this.#db.all(
      "SELECT * FROM events WHERE hook = ? AND seq > ? ORDER BY seq LIMIT ?",
      this.#hook,
      after,
      max.events,
    );
    const events: Queued[] = [];
    let bytes = 0;
    for (const event of rows.map(queued)) {
      bytes += event.bytes;
      if (events.length > 0 && bytes > max.bytes) break;
      events.push(event);
    }
    return events;
  }

  /** Events up to this one are on their way; 0 for none. */
  hold(seq: number): void {
    this.#heldSeq = seq;
  }

  /** The backend has these. */
  remove(events: readonly Queued[]): void {
    for (const { seq, lost } of events) this.#delete(seq, lost);
    this.#findOldest();
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

  /** Gives up what has waited too long. @returns whether there was any */
  shedOld(nowMs: number): boolean {
    const before = nowMs - this.limits.maxAgeMs;
    if (this.#oldestMs === null || this.#oldestMs >= before) return false;
    const last = this.#db.get(
      "SELECT max(seq) AS seq FROM events WHERE hook = ? AND seq > ? AND at_ms < ?",
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
    this.#db.run("UPDATE hooks SET last_seq = ? WHERE id = ?", this.#lastSeq, this.#hook);
    return this.#lastSeq;
  }

  #insert({ seq, atMs, json, bytes, lost }: Queued, firstSeq: number | null): void {
    this.#db.run(
      "INSERT INTO events (hook, seq, at_ms, bytes, first_seq, lost, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
      ...[this.#hook, seq, atMs, bytes, firstSeq, lost, json],
    );
    this.#events++;
    this.#bytes += bytes;
    if (this.#oldestMs === null || atMs < this.#oldestMs) this.#oldestMs = atMs;
  }

  #insertGap(gap: { seq: number; first: number; lost: number; reason: GapReason; atMs: number }): void {
    const { seq, first, lost, reason, atMs } = gap;
    const json = JSON.stringify({
      id: `gap.${this.#hook}.${first}.${seq}`,
      type: "gap",
      time_ms: atMs,
      tenant: this.#tenant,
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
    this.#events--;
    this.#bytes -= Number(row["bytes"]);
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
    this.#events -= Number(sum["n"]);
    this.#bytes -= Number(sum["bytes"]);
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
    const row = this.#db.get(
      "SELECT at_ms AS at FROM events WHERE hook = ? ORDER BY seq LIMIT 1",
      this.#hook,
    );
    this.#oldestMs = row === undefined ? null : Number(row["at"]);
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

function queued({ seq, at_ms, bytes, lost, body }: Row): Queued {
  return {
    seq: Number(seq),
    atMs: Number(at_ms),
    bytes: Number(bytes),
    lost: Number(lost),
    json: String(body),
  };
}

/** An event as the backend gets it. @param json the event without its `seq` */
export function withSeq(json: string, seq: number): string {
  return `{"seq":${seq},${json.slice(1)}`;
}
