// CBOR envelopes (`wsprism.v1.cbor`). What a client sends is first walked by `isPlainCbor`, which lets
// through only what JSON could say too; then cbor-x decodes it. So neither tags, nor lengths that the
// message does not have, nor endless nesting ever reach the library, and `data` means the same to a
// JSON client in the same room.

import { isUtf8 } from "node:buffer";
import { Encoder } from "cbor-x/encode";
import { Decoder } from "cbor-x/decode";
import { CLOSE, refusal } from "./codes.ts";
import { checkEnvelope, type Envelope, type Unreadable } from "./envelope.ts";
import { Frame } from "./frame.ts";

/** Nesting allowed in a CBOR message; deeper is refused. */
export const CBOR_DEPTH_MAX = 64;

const OPTIONS = { useRecords: false, mapsAsObjects: true, tagUint8Array: false, variableMapSize: true };
const encoder = new Encoder(OPTIONS);
const decoder = new Decoder(OPTIONS);

const NOT_CBOR = refusal(
  "BAD_REQUEST",
  "message is not CBOR limited to JSON's types, with definite lengths and text keys",
  CLOSE.badMessage,
);
const UNREADABLE: Unreadable = { ok: false, refusal: NOT_CBOR, seq: null };

/** Whether a binary message of a CBOR session is an envelope: its first byte opens a map. */
export function looksLikeCborMap(message: Uint8Array): boolean {
  const first = message[0]!;
  return first >= 0xa0 && first <= 0xbf;
}

/** Reads a binary message as an ext envelope. */
export function decodeCbor(message: Uint8Array): Envelope | Unreadable {
  if (!isPlainCbor(message)) return UNREADABLE;
  try {
    return checkEnvelope(decoder.decode(message));
  } catch {
    return UNREADABLE;
  }
}

/**
 * The form of a frame for a CBOR session: an ext frame's envelope as CBOR, anything else as it is.
 * Encoded once per frame.
 */
export function cborForm(frame: Frame): Frame {
  if (frame.envelope === null) return frame;
  // The encoder's buffer is reused: slice makes the bytes ours.
  return frame.cbor ??= new Frame(encoder.encode(frame.envelope).slice(), frame.lane, frame.key, null);
}

/** One data item and nothing behind it, made of: integers up to 2^53-1, finite floats, text, arrays, maps with text keys, booleans, null. */
export function isPlainCbor(bytes: Uint8Array): boolean {
  return plainItem(bytes, 0, CBOR_DEPTH_MAX) === bytes.length;
}

/** Where the item at `at` ends, or -1. Visits each byte at most once, but for text. */
function plainItem(bytes: Uint8Array, at: number, depth: number): number {
  if (depth === 0 || at >= bytes.length) return -1;
  const major = bytes[at]! >> 5, info = bytes[at]! & 31;
  if (major === 7) return plainSimple(bytes, at, info);
  if (info > 27) return -1;
  const from = at + 1 + (info < 24 ? 0 : 1 << (info - 24));
  if (from > bytes.length) return -1;
  const value = info < 24 ? info : readUint(bytes, at + 1, from);
  if (value > Number.MAX_SAFE_INTEGER) return -1;
  switch (major) {
    case 0:
      return from;
    case 1: // -1 - value
      return value < Number.MAX_SAFE_INTEGER ? from : -1;
    case 3: {
      const end = from + value;
      return end <= bytes.length && isUtf8(bytes.subarray(from, end)) ? end : -1;
    }
    case 4:
    case 5: {
      // Each element takes a byte at least, so a false length is refused before anything is read.
      const each = major === 5 ? 2 : 1;
      if (value * each > bytes.length - from) return -1;
      let next = from;
      for (let i = 0; i < value; i++) {
        if (major === 5) {
          if (bytes[next]! >> 5 !== 3 || isProtoKey(bytes, next)) return -1;
          next = plainItem(bytes, next, depth - 1);
          if (next < 0) return -1;
        }
        next = plainItem(bytes, next, depth - 1);
        if (next < 0) return -1;
      }
      return next;
    }
    default: // byte strings, tags
      return -1;
  }
}

function plainSimple(bytes: Uint8Array, at: number, info: number): number {
  if (info >= 20 && info <= 22) return at + 1; // false, true, null
  if (info < 25 || info > 27) return -1;
  const end = at + 1 + (1 << (info - 24));
  if (end > bytes.length) return -1;
  // All exponent bits set means infinite or not a number, in each of the three sizes.
  const high = bytes[at + 1]! << 8 | bytes[at + 2]!;
  const exponent = info === 25 ? 0x7c00 : info === 26 ? 0x7f80 : 0x7ff0;
  return (high & exponent) === exponent ? -1 : end;
}

function readUint(bytes: Uint8Array, from: number, to: number): number {
  let value = 0;
  for (let i = from; i < to; i++) value = value * 256 + bytes[i]!;
  return value;
}

// cbor-x renames a key "__proto__"; refusing it is more honest than handing on a changed value.
const PROTO = [0x69, 0x5f, 0x5f, 0x70, 0x72, 0x6f, 0x74, 0x6f, 0x5f, 0x5f];
function isProtoKey(bytes: Uint8Array, at: number): boolean {
  return PROTO.every((byte, i) => bytes[at + i] === byte);
}
