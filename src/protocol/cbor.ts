// CBOR envelopes (`wsprism.v1.cbor`). They are read here, and only what JSON could say too: no tags, no byte
// strings, no lengths that the message does not have, no endless nesting, so that `data` means the same to a
// JSON client in the same room. No library does that: cbor-x, which writes, reads 64-bit integers as BigInt,
// drops a byte order mark from a text and renames a key "__proto__".

import { isUtf8 } from "node:buffer";
import { Encoder } from "cbor-x/encode";
import { CLOSE, refusal } from "./codes.ts";
import { checkEnvelope, type Envelope, type Unreadable } from "./envelope.ts";
import { Frame } from "./frame.ts";

/** Nesting allowed in a CBOR message; deeper is refused. */
export const CBOR_DEPTH_MAX = 64;

const encoder = new Encoder({ useRecords: false, mapsAsObjects: true, variableMapSize: true });

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
  const value = readPlainCbor(message);
  return value === undefined ? UNREADABLE : checkEnvelope(value);
}

/**
 * The form of a frame for a CBOR session: an ext frame's envelope as CBOR, anything else as it is.
 * Encoded once per frame.
 */
export function cborForm(frame: Frame): Frame {
  if (frame.envelope === null) return frame;
  if (frame.cbor !== null) return frame.cbor;
  // The encoder hands out pieces of a larger buffer, which a frame that waits would hold: a copy holds itself only.
  const bytes = new Uint8Array(encoder.encode(wellFormed(frame)));
  return frame.cbor = new Frame(bytes, frame.lane, frame.key, null);
}

/**
 * The envelope with U+FFFD for each lone surrogate: JSON can carry those, as escapes, CBOR's text is UTF-8, and cbor-x
 * writes them as three bytes on which a reader fails.
 */
function wellFormed(frame: Frame): unknown {
  const json = frame.payload as string;
  // JSON.stringify writes paired surrogates as they are, so such an escape is a lone one, or an escaped backslash.
  if (!json.includes("\\ud")) return frame.envelope;
  return JSON.parse(
    json.replace(/\\(ud[89a-f]..|.)/g, (escape, what) => what.length > 1 ? "\\ufffd" : escape),
  );
}

/**
 * One data item and nothing behind it, made of: integers up to 2^53-1, finite floats, text, arrays, maps with text
 * keys, booleans, null. @returns undefined for anything else
 */
export function readPlainCbor(bytes: Uint8Array): unknown {
  const reader = new PlainReader(bytes);
  const value = reader.item(CBOR_DEPTH_MAX);
  return reader.at === bytes.length ? value : undefined;
}

const BROKEN = -1;
const text = new TextDecoder("utf-8", { ignoreBOM: true });

class PlainReader {
  /** Where the next item begins; `BROKEN` for good once the bytes turned out to be anything else. */
  at = 0;
  readonly #bytes: Uint8Array;
  #view: DataView | null = null;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Reads the item at `at`. Visits each byte at most once, but for text. */
  item(depth: number): unknown {
    const bytes = this.#bytes;
    if (depth === 0 || this.at >= bytes.length) return this.#refuse();
    const major = bytes[this.at]! >> 5, info = bytes[this.at]! & 31;
    if (info > 27) return this.#refuse();
    const from = this.at + 1 + (info < 24 ? 0 : 1 << (info - 24));
    if (from > bytes.length) return this.#refuse();
    if (major === 7) return this.#simple(info, from);
    const value = info < 24 ? info : readUint(bytes, this.at + 1, from);
    if (value > Number.MAX_SAFE_INTEGER) return this.#refuse();
    this.at = from;
    switch (major) {
      case 0:
        return value;
      case 1:
        return value < Number.MAX_SAFE_INTEGER ? -1 - value : this.#refuse();
      case 3:
        return this.#text(value);
      case 4:
        return this.#array(value, depth - 1);
      case 5:
        return this.#map(value, depth - 1);
      default: // byte strings, tags
        return this.#refuse();
    }
  }

  #text(length: number): string | undefined {
    const from = this.at, end = from + length;
    if (end > this.#bytes.length) return this.#refuse();
    const part = this.#bytes.subarray(from, end);
    if (!isUtf8(part)) return this.#refuse();
    this.at = end;
    return text.decode(part);
  }

  #array(length: number, depth: number): unknown {
    const array: unknown[] = [];
    for (let i = 0; i < length; i++) {
      array.push(this.item(depth));
      if (this.at === BROKEN) return;
    }
    return array;
  }

  #map(length: number, depth: number): unknown {
    const map: Record<string, unknown> = {};
    for (let i = 0; i < length; i++) {
      const key = this.item(depth);
      // An assignment to "__proto__" would not make a key of it, and nobody needs such a key.
      if (typeof key !== "string" || key === "__proto__") return this.#refuse();
      map[key] = this.item(depth);
      if (this.at === BROKEN) return;
    }
    return map;
  }

  #simple(info: number, end: number): unknown {
    const at = this.at + 1;
    this.at = end;
    if (info === 20) return false;
    if (info === 21) return true;
    if (info === 22) return null;
    if (info < 25) return this.#refuse();
    const { buffer, byteOffset, byteLength } = this.#bytes;
    const view = this.#view ??= new DataView(buffer, byteOffset, byteLength);
    const value = info === 25
      ? half(view.getUint16(at))
      : info === 26
      ? view.getFloat32(at)
      : view.getFloat64(at);
    return Number.isFinite(value) ? value : this.#refuse();
  }

  #refuse(): undefined {
    this.at = BROKEN;
  }
}

/** A half-precision float (IEEE 754 binary16) from its bits. */
function half(bits: number): number {
  const exponent = bits >> 10 & 0x1f, fraction = bits & 0x3ff;
  const magnitude = exponent === 0x1f
    ? Number.NaN // or infinite: refused alike
    : exponent === 0
    ? fraction * 2 ** -24
    : (0x400 + fraction) * 2 ** (exponent - 25);
  return (bits & 0x8000) === 0 ? magnitude : -magnitude;
}

function readUint(bytes: Uint8Array, from: number, to: number): number {
  let value = 0;
  for (let i = from; i < to; i++) value = value * 256 + bytes[i]!;
  return value;
}
