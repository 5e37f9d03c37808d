// A message on its way out, encoded once however many sessions it goes to. Every outbox in a room
// holds the same frame; a transport keeps its own form of it in `wire`.

import { Buffer } from "node:buffer";
import { Json } from "./json.ts";

/** How a frame is treated when a session cannot keep up, in the order in which a flush serves them. */
export const LANE = {
  /** What the gateway itself says: `sys` messages, acks. Overtakes everything. */
  control: 0,
  /** Ext lane: delivered, or the session is closed. */
  reliable: 1,
  /** Hot lane: of the frames with one key, the newest replaces the one that waits. */
  latest: 2,
  /** Hot lane: dropped when the session has no room for it. */
  lossy: 3,
} as const;

export type Lane = (typeof LANE)[keyof typeof LANE];
/** Lanes whose frames may be lost. */
export type LossLane = typeof LANE.latest | typeof LANE.lossy;

/** Lane names as metrics and `sys.gap` spell them, by number. */
export const LANE_NAMES = ["control", "reliable", "latest", "lossy"] as const;

/** An ext envelope as the gateway sends it; keys are written in the order in which they stand. */
export interface OutEnvelope {
  readonly v: 1;
  readonly svc: string;
  readonly type: string;
  readonly seq?: number;
  readonly room?: string;
  /** Foreign JSON goes out as it came. */
  readonly data?: unknown;
  readonly trace_id?: string;
}

/** Says that nothing is known of the frame before (see `Frame.stamp`). */
export const UNNUMBERED = -1;

/** One message, never empty: text on the ext lane, bytes on the hot lane. */
export class Frame {
  readonly payload: string | Uint8Array;
  /** Payload size in bytes (UTF-8 for text). */
  readonly bytes: number;
  readonly lane: Lane;
  /** An envelope, as JSON or as CBOR: what both sides count where a session can be resumed. */
  readonly isExt: boolean;
  /** On the latest lane: what this frame is the newest state of. */
  readonly key: number;
  /**
   * On the latest lane, where its service numbers its frames: this one's number, above 0, and that of the frame with
   * the same key before it, 0 for none. Both are `UNNUMBERED` elsewhere.
   */
  stamp = UNNUMBERED;
  stampBefore = UNNUMBERED;
  /** Scratches of the transports, one for each form on the wire, built once; see `WireFrame`. */
  wire: Uint8Array | null = null;
  tcpWire: Uint8Array | null = null;
  datagram: Uint8Array | null = null;
  sseWire: Uint8Array | null = null;
  deflatedWire: Uint8Array | null = null;
  /** What it is kept in, where a member may be given it from there instead of live. */
  origin: object | null = null;
  /**
   * Where there are several nodes: what names it on all of them, in two parts. That is the node that has published it and
   * its number there, or what a presence event tells and of which member. Null for one that only this node knows.
   */
  source: string | null = null;
  sourceNumber = 0;
  /** The CBOR form of an ext frame, built when the first session wants it (see cbor.ts). */
  cbor: Frame | null = null;

  constructor(payload: string | Uint8Array, lane: Lane, key: number, isExt = typeof payload === "string") {
    this.key = key;
    this.isExt = isExt;
    this.payload = payload;
    this.bytes = typeof payload === "string" ? Buffer.byteLength(payload) : payload.length;
    this.lane = lane;
  }
}

/** One name for the same message on all nodes; null where it has none. */
export function nameOf({ source, sourceNumber }: Frame): string | null {
  return source === null ? null : `${source} ${sourceNumber}`;
}

/**
 * An ext envelope as a JSON text frame.
 * @throws RangeError when `data` is nested too deep to be written.
 */
export function extFrame(envelope: OutEnvelope, lane: Lane): Frame {
  return new Frame(
    envelope.data instanceof Json ? withJson(envelope, envelope.data) : JSON.stringify(envelope),
    lane,
    0,
  );
}

/** Names need no escapes, but for a room's. */
function withJson({ svc, type, seq, room, trace_id }: OutEnvelope, { text }: Json): string {
  const numbered = seq === undefined ? "" : `,"seq":${seq}`;
  const placed = room === undefined ? "" : `,"room":${JSON.stringify(room)}`;
  const traced = trace_id === undefined ? "" : `,"trace_id":${JSON.stringify(trace_id)}`;
  return `{"v":1,"svc":"${svc}","type":"${type}"${numbered}${placed},"data":${text}${traced}}`;
}

/** The same message with its offset in its room: what a room with a history gives to all its members. */
export function withOffset(frame: Frame, offset: number): Frame {
  const { payload, lane } = frame;
  return new Frame(`${(payload as string).slice(0, -1)},"offset":${offset}}`, lane, 0);
}

/**
 * Bytes as a binary frame of the hot lane. `bytes` MUST NOT be empty or change afterwards.
 * @param key on the latest lane, what this frame is the newest state of; elsewhere it means nothing
 */
export function hotFrame(bytes: Uint8Array, lane: Lane, key = 0): Frame {
  return new Frame(bytes, lane, key);
}
