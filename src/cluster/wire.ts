// What nodes tell each other: CBOR lists `[version, kind, …]`. A later release may put more behind what a kind has, and
// add kinds; a receiver ignores both, so that releases can be mixed while one is rolled out. Whatever else cannot be read is
// counted and ignored.

import { Decoder } from "cbor-x/decode";
import { Encoder } from "cbor-x/encode";
import { Frame, LANE, type Lane } from "../protocol/frame.ts";

/** Changes only when an older node would misread a newer one's messages. */
export const WIRE_VERSION = 1;

/** Kinds, of which none is ever given another meaning. */
export const KIND = {
  /** `[room, frame…, traceparent | "", node, number]`: a message of the ext lane to a room, and what names it. */
  ext: 1,
  /** The same of the hot lane. */
  hot: 2,
  /** A node says that it is there, and how far its journal is. */
  beat: 3,
  /** A node goes, and says so. */
  bye: 4,
  /** Entries of a node's journal. */
  journal: 5,
  /** A node asks another for what its journal comes to. */
  ask: 6,
  /** Some of what it comes to. */
  snapshot: 7,
  /** Something for sessions of the receiving node. */
  order: 8,
  /** A question to a node, and its answer. */
  question: 9,
  answer: 10,
  /** What was decided about users, tickets or a tenant. */
  decision: 11,
  /** Are you there? */
  probe: 12,
  /** A question about a session whose client has come to the asking node, and its answer. */
  handover: 13,
  handedOver: 14,
} as const;

export type Kind = (typeof KIND)[keyof typeof KIND];

/** What sessions of another node are to get, or are to do; the first field behind the tenant. Frames are named at the end. */
export const ORDER = {
  /** `[session, why]`: it gives way to another one of its user. */
  end: 1,
  /** `[frame, except, sessions]`, `[frame, except, users]`, `[frame, except]`: something for some of them, or all. */
  sessions: 2,
  users: 3,
  everybody: 4,
  /** `[session, action]`: an action that a service asked for (service/action.ts). */
  act: 5,
} as const;

const OPTIONS = { useRecords: false, bundleStrings: false, structuredClone: false } as const;
const decoder = new Decoder(
  { ...OPTIONS, mapsAsObjects: true, int64AsNumber: true, copyBuffers: true } as object,
);
const encoder = new Encoder({ ...OPTIONS, variableMapSize: true, tagUint8Array: false } as object);

/** A frame on its way to sessions of other nodes: its content, its lane, and on the hot lane what its key is made of. */
export type WireFrame = readonly [
  payload: string | Uint8Array,
  lane: number,
  ...key: readonly (string | number)[],
];

/** @param sender names this node among all, for conflation keys */
export function wireFrame({ payload, lane, key, isExt }: Frame, sender: string): WireFrame {
  return isExt ? [payload, lane] : [payload, lane, sender, Math.floor(key / KINDS), key % KINDS];
}

/**
 * Reads what `wireFrame` has made.
 * @param numberOf a small number for a node, the same as long as it lives
 * @returns null for what is no frame
 */
export function frameOf(wired: readonly unknown[], numberOf: (node: string) => number): Frame | null {
  const [payload, lane, node, sender, what] = wired;
  if (!isLane(lane)) return null;
  if (typeof payload === "string") return payload === "" ? null : new Frame(payload, lane, 0);
  if (!(payload instanceof Uint8Array) || payload.length === 0 || typeof node !== "string") return null;
  if (!isCount(sender) || !isCount(what) || what >= KINDS) return null;
  // Below 0, so that keys of this node and of others never meet.
  const place = (sender % SENDERS_MAX) * NODES_MAX + numberOf(node) % NODES_MAX;
  return new Frame(payload, lane, -(place * KINDS + what) - 1);
}

/** What cannot be read, counted. */
export interface WireCounts {
  /** Not CBOR, or not what its kind has. */
  broken: number;
  /** Of a version or a kind that this release does not know. */
  unknown: number;
}

/** A message to other nodes. */
export function encode(kind: Kind, ...fields: readonly unknown[]): Uint8Array {
  return encoder.encode([WIRE_VERSION, kind, ...fields]) as Uint8Array;
}

/** A message's kind and what it has, null for what cannot be read. */
export function decode(
  payload: Uint8Array,
  counts: WireCounts,
): { readonly kind: number; readonly fields: readonly unknown[] } | null {
  let list: unknown;
  try {
    list = decoder.decode(payload);
  } catch {
    list = null;
  }
  if (!Array.isArray(list) || typeof list[0] !== "number" || typeof list[1] !== "number") {
    counts.broken++;
    return null;
  }
  if (list[0] !== WIRE_VERSION) {
    counts.unknown++;
    return null;
  }
  return { kind: list[1], fields: list.slice(2) };
}

/** A frame for a room's members on other nodes. @param traceparent of the span that it is sent in, on the ext lane */
export function encodeFrame(
  room: string,
  frame: Frame,
  sender: string,
  traceparent: string | null = null,
): Uint8Array {
  const wired = wireFrame(frame, sender);
  if (!frame.isExt) return encode(KIND.hot, room, ...wired);
  return encode(KIND.ext, room, ...wired, traceparent ?? "", frame.source, frame.sourceNumber);
}

/** Has a frame be named as the node did that published it; one of an earlier release did not. */
export function name(frame: Frame, source: unknown, number: unknown): void {
  if (!isText(source) || !isCount(number)) return;
  frame.source = source;
  frame.sourceNumber = number;
}

/** What frames of one sender differ by in their keys (service/service.ts). */
const KINDS = 65_536;
/** Receivers of frames tell so many senders' nodes apart. */
const NODES_MAX = 256;
const SENDERS_MAX = 536_870_912;

function isLane(value: unknown): value is Lane {
  return value === LANE.reliable || value === LANE.latest || value === LANE.lossy || value === LANE.control;
}

/** Whether a field is a number that counts something. */
export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** Whether a field is a text. */
export function isText(value: unknown): value is string {
  return typeof value === "string";
}
