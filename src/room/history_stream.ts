// The port behind rooms whose history is shared by all nodes: an ordered log for all rooms of one class, which tells every
// node of what was stored in it. Nobody hears a message that the log did not take, and everybody hears them in its order.

import { createHash } from "node:crypto";
import type { HistoryBounds } from "./history.ts";

/** Something in the log, at its place in a room. */
export interface StreamRecord {
  /** Its number in the log, above all earlier ones of all rooms. */
  readonly sequence: number;
  /** The number of the room's record before this one, when this one was stored; 0 when none was left; null when not known. */
  readonly before: number | null;
  /** What it was stored under: no two records of a log within five minutes have the same. */
  readonly id: string;
  readonly kind: "message" | "clear" | "mark" | "unknown";
  /** A message's envelope without an offset, in JSON; empty for other kinds. */
  readonly text: string;
  /** The session that is left out; null for none. */
  readonly except: string | null;
  /** Which life of the room it belongs to; empty for the first. */
  readonly life: string;
  /** Of a mark: the room's newest message, and that none came between that and the mark. */
  readonly last: number | null;
  /** When it was stored, Unix time by the log's clock. */
  readonly storedMs: number;
}

/** Some of a room's records, in order. */
export interface StreamRead {
  readonly records: readonly StreamRecord[];
  /** How many there are behind them. */
  readonly pending: number;
}

/** The state of a log. */
export interface StreamState {
  /** The oldest record that is still there, of whichever room; above `last` for none. */
  readonly first: number;
  readonly last: number;
}

/** A room's newest record. */
export interface StreamHead {
  readonly sequence: number;
  readonly id: string;
}

/** A record that is to be stored. */
export interface StreamDraft {
  readonly kind: "message" | "clear" | "mark";
  readonly text: string;
  readonly id: string;
  readonly except: string | null;
  readonly life: string;
  /** What is said, in short; null where its id alone says that it is the same. */
  readonly digest: string | null;
  readonly last?: number;
  /** It is stored only if this is still the room's newest record. */
  readonly behind?: number;
}

/** Where a record was stored; `duplicate` when one with its id had been before, which is the one meant. */
export interface StreamPlace {
  /** The log's epoch when it was stored: it can be another before anybody is told. */
  readonly epoch: string;
  readonly sequence: number;
  readonly duplicate: boolean;
}

/** A room, as the log sees it. Nothing of it MAY throw. */
export interface StreamListener {
  /** A record of the room, as soon as it is stored; some may be missing, or come late. */
  receive(record: StreamRecord): void;
  /** Records may have been missed: the room has to look. Resolves when it has. */
  check(): Promise<void>;
  /** The log is another: its `epoch` has changed. */
  renew(): void;
}

/** One class's log. */
export interface HistoryStream {
  /** Changes whenever sequences begin anew, or are given a second time. Empty as long as it is not known. */
  readonly epoch: string;
  /** Whether it can be reached, as far as is known. */
  readonly isUp: boolean;
  /** Whether `read` may lag behind what is stored. */
  readonly lags: boolean;
  /** How long a record is kept, in milliseconds. */
  readonly maxAgeMs: number;
  /** How many records of a room the log keeps; of more, it has let go of the oldest. */
  readonly roomMax: number;
  /** The highest sequence that is known here. */
  readonly last: number;
  /** Of records before this sequence more may have gone than `roomMax` says: it was smaller then. */
  readonly countsFrom: number;
  /** Tells of a room from now on. Resolves when nothing that is stored later can be missed unseen. */
  listen(room: string, listener: StreamListener): Promise<void>;
  forget(room: string, listener: StreamListener): void;
  /** Stores in the order of these calls. Resolves when it is stored; null when it was not, or nobody knows. Never rejects. */
  append(room: string, draft: StreamDraft): Promise<StreamPlace | null> | "full";
  /** The oldest records of a room from a sequence on. It MAY lag behind. */
  read(room: string, from: number, limit: number): Promise<StreamRead>;
  /** A room's newest record, which does not lag behind; null for none. */
  newest(room: string): Promise<StreamHead | null>;
  /** The digest that a record was stored with; null for none. Rejects when it cannot be read. */
  digestOf(sequence: number): Promise<string | null>;
  state(): Promise<StreamState>;
  /** Lets go of all records of a room before this sequence. */
  purge(room: string, before: number): Promise<void>;
  /** Sequences are not what they were: the log has to look, and to change its epoch if so. */
  suspect(): void;
}

/** The logs of a tenant. */
export interface HistoryStreams {
  /** That of a class, which is known by its pattern. Made where it is not there yet. */
  of(match: string, bounds: HistoryBounds): HistoryStream;
  /** Only these are wanted any more. */
  keepOnly(matches: ReadonlySet<string>): void;
  stop(): void;
}

/** An id made of what it stands for. */
export function recordId(text: string): string {
  return createHash("sha256").update(text).digest("base64url").slice(0, 22);
}

/** Offsets say where a record stands, and something of which record it is. */
const CHECKS = 1024;

/**
 * The offset of a record: it grows with the sequence, and the rest is made of the record's id. So a cursor is not taken for
 * good when a log that has lost its end gives the same sequence to another message.
 */
export function offsetOf(sequence: number, id: string): number {
  let check = 0;
  for (let i = 0; i < id.length; i++) check = (check * 31 + id.charCodeAt(i)) % (CHECKS - 1);
  return sequence * CHECKS + 1 + check;
}

/** The offset of a place where no message has to stand: all of these up to the sequence lie before it or at it. */
export function placeOf(sequence: number): number {
  return sequence * CHECKS;
}

export function sequenceOf(offset: number): number {
  return Math.floor(offset / CHECKS);
}

/** Whether an offset is that of a message, and not of a place. */
export function isOfMessage(offset: number): boolean {
  return offset % CHECKS !== 0;
}
