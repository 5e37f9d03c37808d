// CBOR envelopes (`wsprism.v1.cbor`): the same messages as on the JSON ext lane. cbor-x decodes and encodes; what it may
// be given is decided here, as it believes tags, drops keys and throws at what is broken (tests/protocol/cbor_x_test.ts).

import { Buffer } from "node:buffer";
import { Decoder } from "cbor-x/decode";
import { Encoder, Tag } from "cbor-x/encode";
import { type CborFault, CborWalk } from "./cbor_walk.ts";
import { CLOSE, type Refusal, refusal } from "./codes.ts";
import { checkEnvelope, type Envelope, TOO_DEEP, type Unreadable } from "./envelope.ts";
import { Frame } from "./frame.ts";
import { countKeys, readTree } from "./json.ts";
import { integerOf, isHeld, scaled } from "./json_number.ts";
import { JSON_DEPTH } from "./json_scan.ts";

const bad = (msg: string): Refusal => refusal("BAD_REQUEST", `CBOR message ${msg}`, CLOSE.badMessage);

const KEY_TWICE = bad("has a key twice in one map");
const FAULTS: Readonly<Record<CborFault, Refusal>> = {
  broken: bad("is cut off, has bytes behind it, or is not well-formed"),
  depth: TOO_DEEP,
  undefined: bad("has undefined, which JSON cannot say: send null, or leave the key out"),
  tag: bad("has a tag, as of a date, a bignum or a record, which JSON cannot say"),
  bytes: bad("has a byte string, which JSON cannot say: send text, such as base64"),
  key: bad("has a map key that is not text"),
  proto: bad("has a map key __proto__"),
  integer: bad("has an integer beyond 2^53-1: send text"),
  float: bad("has a number that is not finite, which JSON cannot say"),
  simple: bad("has a simple value other than true, false and null"),
  utf8: bad("has a text that is not UTF-8"),
};

const OPTIONS = { useRecords: false, bundleStrings: false, structuredClone: false } as const;
const decoder = new Decoder({ ...OPTIONS, mapsAsObjects: true, int64AsNumber: true } as object);
const encoder = new Encoder({ ...OPTIONS, variableMapSize: true } as object);
/** For objects that are Maps. */
const treeEncoder = new Encoder({ ...OPTIONS, mapsAsObjects: false } as object);

/**
 * What a text has at least where cbor-x would write JSON.parse's value wrong: long numbers, exponents, -0, escapes (of a lone
 * surrogate, or in a key that V8 misreads), and keys that objects answer to.
 */
const TRICKY = /[\d.]{10}|\d[eE]|-0|\\|"(?:__proto__|constructor|toJSON)"/;

/** Whether a binary message of a CBOR session is an envelope: its first byte opens a map. */
export function looksLikeCborMap(message: Uint8Array): boolean {
  const first = message[0]!;
  return first >= 0xa0 && first <= 0xbf;
}

/**
 * Reads a binary message as an ext envelope.
 * @param depthMax levels of values within each other, the message itself the first
 */
export function decodeCbor(message: Uint8Array, depthMax: number = JSON_DEPTH): Envelope | Unreadable {
  const walk = new CborWalk(message, depthMax);
  if (!walk.whole()) return { ok: false, refusal: FAULTS[walk.fault!], seq: null };
  const value: unknown = decoder.decode(walk.readable());
  const inner = typeof value === "object" && value !== null ? Object.values(value) : [];
  if (countKeys(inner) !== walk.members) return { ok: false, refusal: KEY_TWICE, seq: null };
  return checkEnvelope(value, walk);
}

/**
 * The form of a frame for a CBOR session: an ext frame as CBOR, anything else as it is. Made once per frame, from
 * the JSON, so that both say the same whatever a service has put into its data.
 */
export function cborForm(frame: Frame): Frame {
  if (typeof frame.payload !== "string") return frame;
  return frame.cbor ??= new Frame(writeCbor(frame.payload), frame.lane, frame.key, true);
}

/**
 * JSON as CBOR. Whole numbers are integers up to 64 bits, and bignums where no double holds them; another number
 * that no double holds is a decimal fraction
 * (tag 4). Of a key that stands twice in an object the last counts, as CBOR has no such maps; a lone surrogate is U+FFFD.
 */
export function writeCbor(json: string): Uint8Array {
  if (!TRICKY.test(json) && json.isWellFormed()) return new Uint8Array(encoder.encode(JSON.parse(json)));
  const numbers = new Numbers(NaN);
  // A copy, for the encoder's buffer is its own.
  const bytes = new Uint8Array(treeEncoder.encode(readTree(json, (text) => numbers.read(text))));
  if (numbers.negativeZeros === 0 || putNegativeZeros(bytes, numbers.negativeZeros)) return bytes;
  const others = new Numbers(0);
  return new Uint8Array(treeEncoder.encode(readTree(json, (text) => others.read(text))));
}

/** Reads numbers from JSON as cbor-x writes them right: integers from 2^32 on it would make floats, and of -0 a 0. */
class Numbers {
  negativeZeros = 0;
  readonly #negativeZero: number;

  /** @param negativeZero stands for -0 until that is put in its place: NaN, which JSON does not have */
  constructor(negativeZero: number) {
    this.#negativeZero = negativeZero;
  }

  read(text: string): unknown {
    const value = Number(text);
    const held = text.length < 16 && Number.isFinite(value) && value !== 0 || isHeld(text);
    if (held && Object.is(value, -0)) {
      this.negativeZeros++;
      return this.#negativeZero;
    }
    if (held && Number.isSafeInteger(value)) return Math.abs(value) < 2 ** 32 ? value : BigInt(value);
    const integer = integerOf(text);
    if (integer !== null && (!held || BigInt.asIntN(65, integer) === integer)) return integer;
    if (held) return value;
    const { mantissa, exponent } = scaled(text);
    // Tag 264 is the same with an exponent of any size.
    return new Tag([small(exponent), small(mantissa)], BigInt.asIntN(64, exponent) === exponent ? 4 : 264);
  }
}

const NAN = Buffer.from("fb7ff8000000000000", "hex");
const NEGATIVE_ZERO = Buffer.from("fb8000000000000000", "hex");

/**
 * Puts -0 where NaN was written. No text has such bytes, and numbers only if somebody means it.
 * @returns whether it was clear where
 */
function putNegativeZeros(bytes: Uint8Array, count: number): boolean {
  const buffer = Buffer.from(bytes.buffer);
  const places: number[] = [];
  for (let at = buffer.indexOf(NAN); at >= 0; at = buffer.indexOf(NAN, at + NAN.length)) places.push(at);
  if (places.length !== count) return false;
  for (const at of places) buffer.set(NEGATIVE_ZERO, at);
  return true;
}

function small(value: bigint): number | bigint {
  return value > -(2n ** 32n) && value < 2n ** 32n ? Number(value) : value;
}
