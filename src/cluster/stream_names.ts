// What a class's log is called in NATS, what it is made of, and how its records are written.

import { createHash } from "node:crypto";
import { headers, type MsgHdrs } from "@nats-io/transport-node";
import {
  DiscardPolicy,
  JetStreamApiError,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from "@nats-io/jetstream";
import type { HistoryBounds } from "../room/history.ts";
import type { StreamDraft, StreamRecord } from "../room/history_stream.ts";
import { token } from "./subjects.ts";

/** How long an id is known, in milliseconds; no record may go before. */
const IDS_MS = 300_000;
/** A record is kept for longer than it is given out, so that a cursor that points to it can be proven. */
const AGE_FACTOR = 2;
const AGE_MIN_MS = 2 * IDS_MS;
/** Records of a room besides its messages. */
const FURTHER = 2;
const NS_PER_MS = 1_000_000;

export const HEADER = {
  id: "Nats-Msg-Id",
  sequence: "Nats-Sequence",
  before: "Nats-Last-Sequence",
  storedAt: "Nats-Time-Stamp",
  behind: "Nats-Expected-Last-Subject-Sequence",
  kind: "W-Kind",
  except: "W-Except",
  life: "W-Life",
  last: "W-Last",
  digest: "W-Digest",
} as const;

/** What is written into a stream's metadata: which epoch it is in, and from where on `roomMax` holds. */
export const META = { epoch: "wsprism.epoch", countsFrom: "wsprism.counts_from" } as const;

export interface StreamNames {
  readonly stream: string;
  /** Where records are published, and where they are told of once they are stored. */
  readonly in: (room: string) => string;
  readonly out: (room: string) => string;
}

export function streamNames(prefix: string, tenant: string, match: string): StreamNames {
  const name = createHash("sha256").update(match).digest("hex").slice(0, 12);
  const path = `${token(tenant)}.${name}`;
  return {
    stream: `${prefix}_${token(tenant)}_${name}`,
    in: (room) => `${prefix}.s.${path}.${token(room)}`,
    out: (room) => `${prefix}.r.${path}.${token(room)}`,
  };
}

export function roomMaxOf({ maxMessages }: HistoryBounds): number {
  return maxMessages + FURTHER;
}

export function maxAgeMsOf({ maxAgeMs }: HistoryBounds): number {
  return Math.max(AGE_FACTOR * maxAgeMs, AGE_MIN_MS);
}

/** What a stream has to be; only its oldest records ever go, or no cursor could be proven. */
export function streamConfig(
  names: StreamNames,
  { bounds, replicas, maxBytes }: {
    readonly bounds: HistoryBounds;
    readonly replicas: number;
    /** Of all its rooms; 0 for as much as NATS has room for. */
    readonly maxBytes: number;
  },
) {
  return {
    name: names.stream,
    subjects: [names.in("*").replace(/[^.]*$/, "*")],
    retention: RetentionPolicy.Limits,
    storage: StorageType.File,
    discard: DiscardPolicy.Old,
    num_replicas: replicas,
    max_msgs_per_subject: roomMaxOf(bounds),
    max_age: maxAgeMsOf(bounds) * NS_PER_MS,
    max_bytes: maxBytes === 0 ? -1 : maxBytes,
    duplicate_window: IDS_MS * NS_PER_MS,
    allow_direct: true,
    deny_delete: true,
    republish: {
      src: names.in("*").replace(/[^.]*$/, "*"),
      dest: names.out("*").replace(/[^.]*$/, "{{wildcard(1)}}"),
    },
  } as const satisfies Partial<StreamConfig>;
}

/** Keys of a configuration that can differ from what is wanted. */
export const COMPARED = [
  "num_replicas",
  "max_msgs_per_subject",
  "max_age",
  "max_bytes",
  "duplicate_window",
  "allow_direct",
] as const;

export function headersOf({ id, kind, except, life, digest, last, behind }: StreamDraft): MsgHdrs {
  const made = headers();
  made.set(HEADER.id, id);
  if (kind !== "message") made.set(HEADER.kind, kind);
  if (except !== null) made.set(HEADER.except, except);
  if (life !== "") made.set(HEADER.life, life);
  if (digest !== null) made.set(HEADER.digest, digest);
  if (last !== undefined) made.set(HEADER.last, String(last));
  if (behind !== undefined) made.set(HEADER.behind, String(behind));
  return made;
}

/** Null for what is no record. */
export function recordOf(head: MsgHdrs | undefined, data: Uint8Array): StreamRecord | null {
  if (head === undefined) return null;
  const sequence = Number(head.get(HEADER.sequence));
  if (!Number.isSafeInteger(sequence) || sequence < 1) return null;
  const kind = head.get(HEADER.kind), last = head.get(HEADER.last), before = head.get(HEADER.before);
  const isMessage = kind === "";
  return {
    sequence,
    before: before === "" ? null : Number(before),
    id: head.get(HEADER.id),
    kind: isMessage ? "message" : kind === "clear" || kind === "mark" ? kind : "unknown",
    text: isMessage ? TEXT.decode(data) : "",
    except: head.get(HEADER.except) || null,
    life: head.get(HEADER.life),
    last: last === "" ? null : Number(last),
    storedMs: Date.parse(head.get(HEADER.storedAt)),
  };
}

const TEXT = new TextDecoder();

/** "stream name already in use with a different configuration", and "message not found". */
export const NAME_IN_USE = 10058;
export const STREAM_NOT_FOUND = 10059;
export const NOT_FOUND = 404;

export function codeOf(error: unknown): number {
  return error instanceof JetStreamApiError ? error.code : 0;
}

/** What gateways note of a stream; the server notes things of its own there. */
export function ownMetadata({ metadata = {} }: Pick<StreamConfig, "metadata">): Record<string, string> {
  return Object.fromEntries(Object.entries(metadata).filter(([name]) => !name.startsWith("_nats.")));
}

/** The epoch of rooms in a stream, which is another one once it was made anew, or has lost its end. */
export function epochOf(created: string, metadata: Readonly<Record<string, string>>): string {
  return hash(`${created} ${metadata[META.epoch]}`).slice(0, 12);
}

/** The same on whichever node notes that it has lost its end. */
export function renewedMetadata(metadata: Readonly<Record<string, string>>): Record<string, string> {
  return { ...metadata, [META.epoch]: hash(`after ${metadata[META.epoch]}`).slice(0, 16) };
}

function hash(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
