// Walks over CBOR (RFC 8949) before anybody decodes it, once: is it well-formed, is it what JSON could say too, how deep
// does it go. What cbor-x would misread in bytes that are fine is written for it in another way.

import { Buffer, isUtf8 } from "node:buffer";

/** What is against a message; cbor.ts has the words. */
export type CborFault =
  | "broken"
  | "depth"
  | "undefined"
  | "tag"
  | "bytes"
  | "key"
  | "proto"
  | "integer"
  | "float"
  | "simple"
  | "utf8";

/** An item to be written in another way. */
interface Patch {
  readonly from: number;
  readonly to: number;
  /** Of its text; -1 for a negative integer, which becomes a float. */
  readonly textBytes: number;
  /** A second byte order mark, where one will be dropped. */
  readonly marked: boolean;
}

/** The additional information of a head that says "until a break", and that break. */
const INDEFINITE = 31, BREAK = 0xff;
/** Texts longer than this cbor-x decodes by way of the runtime, which drops one byte order mark (its readStringJS). */
const OWN_TEXT_BYTES_MAX = 64;
const BYTE_ORDER_MARK = Uint8Array.of(0xef, 0xbb, 0xbf);
const PROTO = "__proto__", PROTO_BYTES = Buffer.from(PROTO);
/** What a patch becomes: a float; the head of a text. */
const FLOAT_BYTES = 9, TEXT_HEAD_BYTES = 5;
/** Bytes of a text that are looked at one by one, as a view costs more. */
const SHORT_PART = 32;

export class CborWalk {
  at = 0;
  fault: CborFault | null = null;
  /** Levels seen; keys seen below the outermost map; whether there is a float of -0. */
  depth = 0;
  members = 0;
  negativeZero = false;
  readonly #bytes: Uint8Array;
  readonly #depthMax: number;
  readonly #view: DataView;
  #patches: Patch[] | null = null;

  constructor(bytes: Uint8Array, depthMax: number) {
    this.#bytes = bytes;
    this.#depthMax = depthMax;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** The whole of the bytes is one item. */
  whole(): boolean {
    return this.#item(1) && (this.at === this.#bytes.length || this.#fail("broken"));
  }

  /** The bytes as cbor-x reads them right; the very same in nearly all cases. */
  readable(): Uint8Array {
    if (this.#patches === null) return this.#bytes;
    let size = this.#bytes.length;
    for (const { from, to, textBytes, marked } of this.#patches) {
      size += from - to + (textBytes < 0 ? FLOAT_BYTES : TEXT_HEAD_BYTES + (marked ? 3 : 0) + textBytes);
    }
    const out = Buffer.allocUnsafe(size);
    let at = 0, read = 0;
    for (const patch of this.#patches) {
      out.set(this.#bytes.subarray(read, patch.from), at);
      at = this.#rewrite(patch, out, at + patch.from - read);
      read = patch.to;
    }
    out.set(this.#bytes.subarray(read), at);
    return out;
  }

  /** @returns where the item ends */
  #rewrite({ from, to, textBytes, marked }: Patch, out: Buffer, start: number): number {
    if (textBytes < 0) {
      out[start] = 0xfb;
      this.at = from;
      return out.writeDoubleBE(-1 - this.#head(this.#bytes[from]! & 31), start + 1);
    }
    out[start] = 0x7a;
    let at = out.writeUInt32BE(textBytes + (marked ? 3 : 0), start + 1);
    if (marked) { for (const byte of BYTE_ORDER_MARK) out[at++] = byte; }
    const chunked = (this.#bytes[from]! & 31) === INDEFINITE;
    this.at = chunked ? from + 1 : from;
    do {
      if (this.#bytes[this.at] === BREAK) break;
      const length = this.#head(this.#bytes[this.at]! & 31);
      for (let i = 0; i < length; i++) out[at++] = this.#bytes[this.at++]!;
    } while (this.at < to);
    return at;
  }

  #item(level: number): boolean {
    if (level > this.depth) {
      if (level > this.#depthMax) return this.#fail("depth");
      this.depth = level;
    }
    const from = this.at;
    const first = this.#bytes[from];
    if (first === undefined) return this.#fail("broken");
    const info = first & 31;
    switch (first >> 5) {
      case 0:
        return this.#integer(info, false);
      case 1:
        return this.#integer(info, true);
      case 2:
        return this.#fail("bytes");
      case 3:
        return this.#text(info, from, false);
      case 4:
        return this.#list(info, level + 1);
      case 5:
        return this.#map(info, level + 1);
      case 6:
        return this.#fail("tag");
      default:
        return this.#simple(info);
    }
  }

  /** The number in a head, -1 where there is none; `at` is behind the head then. */
  #head(info: number): number {
    const from = this.at + 1;
    if (info < 24) {
      this.at = from;
      return info;
    }
    const size = 1 << (info - 24);
    if (info > 27 || from + size > this.#bytes.length) {
      this.#fail("broken");
      return -1;
    }
    this.at = from + size;
    const view = this.#view;
    if (info === 24) return view.getUint8(from);
    if (info === 25) return view.getUint16(from);
    if (info === 26) return view.getUint32(from);
    return view.getUint32(from) * 2 ** 32 + view.getUint32(from + 4);
  }

  #integer(info: number, negative: boolean): boolean {
    const from = this.at;
    const value = this.#head(info);
    if (value < 0) return false;
    const largest = negative ? Number.MAX_SAFE_INTEGER - 1 : Number.MAX_SAFE_INTEGER;
    if (value > largest) return this.#fail("integer");
    // cbor-x takes `~` of 64 bits, which JavaScript takes of the lowest 32: as a float it is the same number.
    if (negative && info === 27) this.#patch(from, -1, false);
    return true;
  }

  #text(info: number, from: number, isKey: boolean): boolean {
    if (info === INDEFINITE) return this.#chunks(from, isKey);
    const length = this.#head(info);
    if (length < 0) return false;
    const start = this.at, end = start + length;
    if (end > this.#bytes.length) return this.#fail("broken");
    this.at = end;
    if (!this.#isText(start, end)) return this.#fail("utf8");
    if (isKey && length === PROTO.length && PROTO_BYTES.equals(this.#bytes.subarray(start, end))) {
      return this.#fail("proto");
    }
    if (length > OWN_TEXT_BYTES_MAX && this.#isMarked(start)) this.#patch(from, length, true);
    return true;
  }

  /** A text in parts, each a text of its own, which cbor-x does not read. */
  #chunks(from: number, isKey: boolean): boolean {
    let textBytes = 0, beginning = "";
    this.at++;
    for (;;) {
      const first = this.#bytes[this.at];
      if (first === BREAK) break;
      if (first === undefined || first >> 5 !== 3 || (first & 31) === INDEFINITE) return this.#fail("broken");
      const length = this.#head(first & 31);
      if (length < 0) return false;
      const start = this.at, end = start + length;
      if (end > this.#bytes.length) return this.#fail("broken");
      if (!this.#isText(start, end)) return this.#fail("utf8");
      for (let i = start; i < end && beginning.length <= PROTO.length; i++) {
        beginning += String.fromCharCode(this.#bytes[i]!);
      }
      textBytes += length;
      this.at = end;
    }
    this.at++;
    if (isKey && beginning === PROTO) return this.#fail("proto");
    this.#patch(from, textBytes, textBytes > OWN_TEXT_BYTES_MAX && beginning.startsWith("\xef\xbb\xbf"));
    return true;
  }

  #isMarked(start: number): boolean {
    return BYTE_ORDER_MARK.every((byte, i) => this.#bytes[start + i] === byte);
  }

  /** Most texts are short and ASCII. */
  #isText(start: number, end: number): boolean {
    if (end - start > SHORT_PART) return isUtf8(this.#bytes.subarray(start, end));
    for (let i = start; i < end; i++) {
      if (this.#bytes[i]! >= 0x80) return isUtf8(this.#bytes.subarray(start, end));
    }
    return true;
  }

  #list(info: number, level: number): boolean {
    if (info === INDEFINITE) {
      this.at++;
      while (this.#bytes[this.at] !== BREAK) if (!this.#item(level)) return false;
      this.at++;
      return true;
    }
    const length = this.#head(info);
    if (length < 0) return false;
    for (let i = 0; i < length; i++) if (!this.#item(level)) return false;
    return true;
  }

  #map(info: number, level: number): boolean {
    if (info === INDEFINITE) {
      this.at++;
      while (this.#bytes[this.at] !== BREAK) if (!this.#member(level)) return false;
      this.at++;
      return true;
    }
    const length = this.#head(info);
    if (length < 0) return false;
    for (let i = 0; i < length; i++) if (!this.#member(level)) return false;
    return true;
  }

  #member(level: number): boolean {
    const first = this.#bytes[this.at];
    if (first === undefined) return this.#fail("broken");
    if (first >> 5 !== 3) return this.#fail("key");
    if (!this.#text(first & 31, this.at, true)) return false;
    if (level > 2) this.members++;
    return this.#item(level);
  }

  #simple(info: number): boolean {
    const from = this.at + 1;
    if (info >= 20 && info <= 22) {
      this.at = from;
      return true;
    }
    if (info === 23) return this.#fail("undefined");
    if (info < 25) return this.#fail("simple");
    const size = 1 << (info - 24);
    if (info > 27 || from + size > this.#bytes.length) return this.#fail("broken");
    const view = this.#view;
    // Of 16 bits it matters only whether all bits of the exponent are set, and whether it is -0.
    const bits = info === 25 ? view.getUint16(from) : 0;
    const value = info === 25
      ? (bits & 0x7c00) === 0x7c00 ? NaN : bits === 0x8000 ? -0 : 1
      : info === 26
      ? view.getFloat32(from)
      : view.getFloat64(from);
    if (!Number.isFinite(value)) return this.#fail("float");
    if (Object.is(value, -0)) this.negativeZero = true;
    this.at = from + size;
    return true;
  }

  #patch(from: number, textBytes: number, marked: boolean): void {
    (this.#patches ??= []).push({ from, to: this.at, textBytes, marked });
  }

  #fail(fault: CborFault): false {
    this.fault ??= fault;
    return false;
  }
}
