// The ext lane's envelope: one strict shape, read from JSON here and from CBOR in cbor.ts.
// Decoding never throws, and costs no more than the message is long. `data` is walked over, not read: it goes on as it came.

import { Buffer } from "node:buffer";
import { CLOSE, type Refusal, refusal } from "./codes.ts";
import { Json, MISREADS_KEYS } from "./json.ts";
import { isHeld } from "./json_number.ts";
import { JSON_DEPTH, JSON_DEPTH_MAX, JsonScan } from "./json_scan.ts";
import {
  KEY_PATTERN,
  NAME_PATTERN,
  NAME_RULE,
  PROTOCOL_VERSION,
  ROOM_BYTES_MAX,
  SEQ_MAX,
  TRACE_PATTERN,
} from "./limits.ts";

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
  /** By which it is known when its sender says it again. */
  readonly key: string | null;
  /** The W3C `traceparent` of what the client does; what its form is, whoever goes by it looks. */
  readonly trace: string | null;
  /** Any JSON value, as it came; undefined when the field is absent. */
  readonly data: Json | undefined;
}

/** Why a message could not be read, with its `seq` where that much was readable. */
export interface Unreadable {
  readonly ok: false;
  readonly refusal: Refusal;
  readonly seq: number | null;
}

const bad = (msg: string): Refusal => refusal("BAD_REQUEST", msg, CLOSE.badMessage);

/** A client that sends such JSON is no danger and may well be right; one whose CBOR is so deep goes, as it always did. */
const JSON_TOO_DEEP = refusal("BAD_REQUEST", "message is nested deeper than limits.max_json_depth");
export const TOO_DEEP: Refusal = { ...JSON_TOO_DEEP, close: CLOSE.badMessage };
const LONG_NUMBER = refusal("BAD_REQUEST", "message has a number of more than 1000 characters");
const NOT_JSON = bad("message is not valid JSON");
const NOT_A_MAP = bad("message must be an object");
const UNKNOWN_FIELD = bad("message has a field other than v, svc, type, flags, seq, room, key, trace, data");
const BAD_VERSION_TYPE = bad("v is required and must be the integer 1");
const BAD_SVC = bad(`svc is required and must be ${NAME_RULE}`);
const BAD_TYPE = bad(`type is required and must be ${NAME_RULE}`);
const BAD_FLAGS = bad("flags must be an integer 0..4294967295");
const BAD_SEQ = bad("seq must be an integer 0..9007199254740991");
const BAD_ROOM = bad(`room must be 1..${ROOM_BYTES_MAX} bytes of printable UTF-8`);
const BAD_TRACE = bad("trace must be a W3C traceparent, such as 00-<32 hex digits>-<16 hex digits>-01");
const BAD_KEY = bad("key must be 1–64 of A–Z a–z 0–9 . _ : -");
const WRONG_VERSION = refusal("UNSUPPORTED_VERSION", "v must be 1", CLOSE.unsupportedVersion);

/** Fields of an envelope as they were read; undefined where they are absent, null too where v1 takes that for absent. */
interface Fields {
  v: unknown;
  svc: unknown;
  type: unknown;
  flags: unknown;
  seq: unknown;
  room: unknown;
  key: unknown;
  trace: unknown;
  data: Json | undefined;
  /** There is another one. */
  unknown: boolean;
}

/**
 * Reads a text message of the ext lane. `data` stays the text that it is.
 * @param depthMax levels of values within each other, the message itself the first
 */
export function decodeJson(text: string, depthMax: number = JSON_DEPTH): Envelope | Unreadable {
  if (text.length < SHORT_CHARS && isShallow(text, depthMax) && !(MISREADS_KEYS && text.includes("\\"))) {
    return decodeShort(text, depthMax);
  }
  return decodeWalking(text, depthMax);
}

/** Of short messages the engine reads more in a moment than a walk does, and `data` can be looked at when somebody asks. */
const SHORT_CHARS = 1024;

/** Whether brackets are too few to be too deep. */
function isShallow(text: string, depthMax: number): boolean {
  if (text.length < 2 * depthMax) return true;
  let left = depthMax;
  for (let at = text.indexOf("{"); at >= 0; at = text.indexOf("{", at + 1)) if (--left < 2) return false;
  for (let at = text.indexOf("["); at >= 0; at = text.indexOf("[", at + 1)) if (--left < 2) return false;
  return true;
}

function decodeShort(text: string, depthMax: number): Envelope | Unreadable {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return unreadable(NOT_JSON);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return unreadable(NOT_A_MAP);
  const fields = noFields();
  for (const key of Object.keys(value)) {
    const field = (value as Record<string, unknown>)[key];
    switch (key) {
      case "v":
        fields.v = field;
        break;
      case "flags":
        fields.flags = field;
        break;
      case "seq":
        fields.seq = field;
        break;
      case "svc":
        fields.svc = field;
        break;
      case "type":
        fields.type = field;
        break;
      case "room":
        fields.room = field;
        break;
      case "key":
        fields.key = field;
        break;
      case "trace":
        fields.trace = field;
        break;
      case "data":
        fields.data = Json.last(text, field, dataOf);
        break;
      default:
        fields.unknown = true;
    }
  }
  // A seq that the engine has rounded is none; the walk knows.
  if (typeof fields.seq === "number" && LONG_NUMBER_IN.test(text)) return decodeWalking(text, depthMax);
  return checkFields(fields);
}

const LONG_NUMBER_IN = /[\d.]{16}|\d[eE]/;

/** Of an envelope in which nothing stands; all of one shape, which engines read fastest. */
function noFields(): Fields {
  return {
    v: undefined,
    svc: undefined,
    type: undefined,
    flags: undefined,
    seq: undefined,
    room: undefined,
    key: undefined,
    trace: undefined,
    data: undefined,
    unknown: false,
  };
}

/** The data of a message that was read already. */
function dataOf(text: string): Json {
  return (decodeWalking(text, JSON_DEPTH_MAX) as Envelope).data!;
}

function decodeWalking(text: string, depthMax: number): Envelope | Unreadable {
  const scan = new JsonScan(text, depthMax);
  if (scan.space() !== 0x7b) return unreadable(scan.value(1) && scan.end() ? NOT_A_MAP : faultOf(scan));
  const fields = noFields();
  if (!readFields(scan, fields) || !scan.end()) {
    const refusal = faultOf(scan), { seq } = fields;
    return { ok: false, refusal, seq: refusal !== NOT_JSON && isInteger(seq, SEQ_MAX) ? seq : null };
  }
  return checkFields(fields);
}

function unreadable(refusal: Refusal): Unreadable {
  return { ok: false, refusal, seq: null };
}

function faultOf({ fault }: JsonScan): Refusal {
  return fault === "depth" ? JSON_TOO_DEEP : fault === "number" ? LONG_NUMBER : NOT_JSON;
}

/** Walks over an object, and takes down what an envelope has; of a key twice, the last. @returns whether it is JSON */
function readFields(scan: JsonScan, fields: Fields): boolean {
  const { text } = scan;
  scan.at++;
  if (scan.space() === 0x7d) {
    scan.at++;
    return true;
  }
  do {
    const key = keyAt(text, scan.at);
    if (!scan.key()) return false;
    switch (key) {
      case "data": {
        const from = scan.at;
        scan.depth = scan.members = 0;
        scan.wide = scan.escapedKeys = false;
        if (!scan.value(2)) return false;
        scan.depth--;
        fields.data = new Json(text.slice(from, scan.at), scan);
        break;
      }
      case "v":
        fields.v = simple(scan);
        break;
      case "svc":
        fields.svc = simple(scan);
        break;
      case "type":
        fields.type = simple(scan);
        break;
      case "flags":
        fields.flags = simple(scan);
        break;
      case "seq":
        fields.seq = simple(scan);
        break;
      case "room":
        fields.room = simple(scan);
        break;
      case "key":
        fields.key = simple(scan);
        break;
      case "trace":
        fields.trace = simple(scan);
        break;
      default:
        fields.unknown = true;
        scan.value(2);
    }
    if (scan.fault !== null) return false;
  } while (scan.more(0x7d));
  return scan.fault === null;
}

/** The key of an envelope that stands there in quotes, "" for any other; no text is cut out for it. */
function keyAt(text: string, at: number): string {
  switch (text.charCodeAt(at + 1)) {
    case 0x76:
      return text.charCodeAt(at + 2) === 0x22 ? "v" : otherKey(text, at);
    case 0x73:
      return text.startsWith('svc"', at + 1)
        ? "svc"
        : text.startsWith('seq"', at + 1)
        ? "seq"
        : otherKey(text, at);
    case 0x74:
      return text.startsWith('type"', at + 1)
        ? "type"
        : text.startsWith('trace"', at + 1)
        ? "trace"
        : otherKey(text, at);
    case 0x66:
      return text.startsWith('flags"', at + 1) ? "flags" : otherKey(text, at);
    case 0x72:
      return text.startsWith('room"', at + 1) ? "room" : otherKey(text, at);
    case 0x6b:
      return text.startsWith('key"', at + 1) ? "key" : otherKey(text, at);
    case 0x64:
      return text.startsWith('data"', at + 1) ? "data" : otherKey(text, at);
    default:
      return otherKey(text, at);
  }
}

/** A key that has escapes, or is none of an envelope. */
function otherKey(text: string, at: number): string {
  const scan = new JsonScan(text, 1);
  scan.at = at;
  return scan.string() && scan.escaped ? JSON.parse(text.slice(at, scan.at)) as string : "";
}

/** Longest message of which a name may keep a part in memory, as engines cut texts out without copying them. */
const KEPT_CHARS_MAX = 1024;
const DIGITS_MAX = 15;

/** A field that is no list or object, which are NaN. A number counts as one only where a double holds it. */
function simple(scan: JsonScan): unknown {
  const { text, at: from } = scan;
  let c = text.charCodeAt(from);
  if (c === 0x22) {
    if (!scan.string()) return NaN;
    return scan.escaped || text.length > KEPT_CHARS_MAX
      ? JSON.parse(text.slice(from, scan.at))
      : text.slice(from + 1, scan.at - 1);
  }
  if (c > 0x30 && c <= 0x39) {
    let value = 0, at = from;
    for (; c >= 0x30 && c <= 0x39 && at - from < DIGITS_MAX; c = text.charCodeAt(++at)) {
      value = value * 10 + c - 0x30;
    }
    if (c === 0x2c || c === 0x7d) {
      scan.at = at;
      return value;
    }
  }
  if (!scan.value(2) || c === 0x7b || c === 0x5b) return NaN;
  const word = text.slice(from, scan.at);
  if (c === 0x74 || c === 0x66 || c === 0x6e) return JSON.parse(word);
  return word.length < 16 || isHeld(word) ? Number(word) : NaN;
}

/**
 * Turns a decoded value of unknown shape into an envelope.
 * @param walk what is known of it: its levels, its keys below its own, and whether it has a -0
 */
export function checkEnvelope(
  value: unknown,
  walk: { readonly depth: number; readonly members: number; readonly negativeZero: boolean },
): Envelope | Unreadable {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return unreadable(NOT_A_MAP);
  const { v, svc, type, flags, seq, room, key, trace, data, ...others } = value as Record<string, unknown>;
  const unknown = Object.keys(others).length > 0;
  const json = data === undefined ? undefined : Json.decoded(data, walk);
  return checkFields({ v, svc, type, flags, seq, room, key, trace, data: json, unknown });
}

function checkFields(
  { v, svc, type, flags = 0, seq = null, room = null, key = null, trace = null, data, unknown }: Fields,
): Envelope | Unreadable {
  const number = seq === null || isInteger(seq, SEQ_MAX) ? seq : undefined;
  const refuse = (refusal: Refusal): Unreadable => ({ ok: false, refusal, seq: number ?? null });
  if (!Number.isInteger(v)) return refuse(BAD_VERSION_TYPE);
  if (v !== PROTOCOL_VERSION) return refuse(WRONG_VERSION);
  if (unknown) return refuse(UNKNOWN_FIELD);
  if (typeof svc !== "string" || !NAME_PATTERN.test(svc)) return refuse(BAD_SVC);
  if (typeof type !== "string" || !NAME_PATTERN.test(type)) return refuse(BAD_TYPE);
  if (!isInteger(flags, 0xffff_ffff)) return refuse(BAD_FLAGS);
  if (number === undefined) return refuse(BAD_SEQ);
  if (room !== null && !isRoomName(room)) return refuse(BAD_ROOM);
  if (key !== null && !(typeof key === "string" && KEY_PATTERN.test(key))) return refuse(BAD_KEY);
  if (trace !== null && !(typeof trace === "string" && TRACE_PATTERN.test(trace))) return refuse(BAD_TRACE);
  return { ok: true, svc, type, flags, seq: number, room, key, trace, data };
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
