// The ext lane's envelope: one strict shape, read from JSON here and from CBOR in cbor.ts.
// Decoding never throws, and costs no more than the message is long.

import { Buffer } from "node:buffer";
import { CLOSE, type Refusal, refusal } from "./codes.ts";
import { NAME_PATTERN, NAME_RULE, PROTOCOL_VERSION, ROOM_BYTES_MAX, SEQ_MAX } from "./limits.ts";

/** Bits of an envelope's `flags`. The first two are informative: the fields themselves decide. */
export const EXT_FLAG = { seqPresent: 0x01, roomPresent: 0x02, ackRequested: 0x04 } as const;

/** A message of a client, checked. */
export interface Envelope {
  readonly ok: true;
  readonly svc: string;
  readonly type: string;
  /** u32, see `EXT_FLAG`. */
  readonly flags: number;
  /** The client's number of this message, 0..2^53-1. */
  readonly seq: number | null;
  readonly room: string | null;
  /** Any JSON value; undefined when the field is absent. */
  readonly data: unknown;
}

/** Why a message could not be read, with its `seq` where that much was readable. */
export interface Unreadable {
  readonly ok: false;
  readonly refusal: Refusal;
  readonly seq: number | null;
}

const bad = (msg: string): Refusal => refusal("BAD_REQUEST", msg, CLOSE.badMessage);

const NOT_JSON = bad("message is not valid JSON");
const NOT_A_MAP = bad("message must be an object");
const UNKNOWN_FIELD = bad("message has a field other than v, svc, type, flags, seq, room, data");
const BAD_VERSION_TYPE = bad("v is required and must be the integer 1");
const BAD_SVC = bad(`svc is required and must be ${NAME_RULE}`);
const BAD_TYPE = bad(`type is required and must be ${NAME_RULE}`);
const BAD_FLAGS = bad("flags must be an integer 0..4294967295");
const BAD_SEQ = bad("seq must be an integer 0..9007199254740991");
const BAD_ROOM = bad(`room must be 1..${ROOM_BYTES_MAX} bytes of printable UTF-8`);
const WRONG_VERSION = refusal("UNSUPPORTED_VERSION", "v must be 1", CLOSE.unsupportedVersion);

/** Reads a text message of the ext lane. */
export function decodeJson(text: string): Envelope | Unreadable {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { ok: false, refusal: NOT_JSON, seq: null };
  }
  return checkEnvelope(value);
}

/** Turns a decoded value of unknown shape into an envelope. */
export function checkEnvelope(value: unknown): Envelope | Unreadable {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return { ok: false, refusal: NOT_A_MAP, seq: null };
  }
  let v: unknown, svc: unknown, type: unknown, flags: unknown = 0, seq: unknown = null, room: unknown = null;
  let data: unknown, unknownField = false;
  const fields = value as Record<string, unknown>;
  for (const key of Object.keys(fields)) {
    const field = fields[key];
    switch (key) {
      case "v":
        v = field;
        break;
      case "svc":
        svc = field;
        break;
      case "type":
        type = field;
        break;
      case "flags":
        flags = field;
        break;
      case "seq":
        // v1 takes null for an absent seq or room, so both do.
        seq = field;
        break;
      case "room":
        room = field;
        break;
      case "data":
        data = field;
        break;
      default:
        unknownField = true;
    }
  }
  const number = seq === null || isInteger(seq, SEQ_MAX) ? seq : undefined;
  const refuse = (refusal: Refusal): Unreadable => ({ ok: false, refusal, seq: number ?? null });
  if (!Number.isInteger(v)) return refuse(BAD_VERSION_TYPE);
  if (v !== PROTOCOL_VERSION) return refuse(WRONG_VERSION);
  if (unknownField) return refuse(UNKNOWN_FIELD);
  if (typeof svc !== "string" || !NAME_PATTERN.test(svc)) return refuse(BAD_SVC);
  if (typeof type !== "string" || !NAME_PATTERN.test(type)) return refuse(BAD_TYPE);
  if (!isInteger(flags, 0xffff_ffff)) return refuse(BAD_FLAGS);
  if (number === undefined) return refuse(BAD_SEQ);
  if (room !== null && !isRoomName(room)) return refuse(BAD_ROOM);
  return { ok: true, svc, type, flags, seq: number, room, data };
}

function isInteger(value: unknown, max: number): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= max;
}

const PLAIN_ROOM = /^[\x20-\x7e]+$/;
// Control characters, lone surrogates and line separators. Format characters stay: emoji are joined by them.
const UNPRINTABLE = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/u;

/** Whether a value can name a room: 1–128 bytes of printable UTF-8. */
export function isRoomName(value: unknown): value is string {
  if (typeof value !== "string" || value.length === 0 || value.length > ROOM_BYTES_MAX) return false;
  if (PLAIN_ROOM.test(value)) return true;
  return Buffer.byteLength(value) <= ROOM_BYTES_MAX && !UNPRINTABLE.test(value);
}
