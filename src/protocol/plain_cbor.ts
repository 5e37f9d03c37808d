// CBOR (RFC 8949) limited to what JSON could say too: no tags, no byte strings, definite lengths, text keys. So
// `data` means the same to a JSON client in the same room, and reading costs no more than the message is long.
// No library does that: cbor-x reads 64-bit integers as BigInt, drops a byte order mark from a text, renames a key
// "__proto__", writes integers from 2^32 on as floats and lone surrogates as broken UTF-8.

import { Buffer, isUtf8 } from "node:buffer";

/** Nesting allowed in a CBOR message; deeper is refused. */
export const CBOR_DEPTH_MAX = 64;

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

/** A JSON value as CBOR: integers as such up to 2^53-1, other numbers as 64-bit floats, lone surrogates as U+FFFD. */
export function writePlainCbor(value: unknown): Uint8Array {
  const writer = new PlainWriter();
  writer.item(value);
  return writer.bytes();
}

class PlainWriter {
  #buffer = Buffer.allocUnsafe(256);
  #at = 0;

  /** What was written, in memory of its own. */
  bytes(): Uint8Array {
    return new Uint8Array(this.#buffer.subarray(0, this.#at));
  }

  item(value: unknown): void {
    switch (typeof value) {
      case "string":
        return this.#text(value);
      case "number":
        return this.#number(value);
      case "boolean":
        return this.#byte(value ? 0xf5 : 0xf4);
      case "object":
        if (value === null) return this.#byte(0xf6);
        if (Array.isArray(value)) return this.#array(value);
        return this.#map(value as Record<string, unknown>);
      default:
        throw new TypeError(`JSON has no ${typeof value}`);
    }
  }

  #array(items: readonly unknown[]): void {
    this.#head(4, items.length);
    for (const item of items) this.item(item);
  }

  #map(entries: Record<string, unknown>): void {
    const keys = Object.keys(entries);
    this.#head(5, keys.length);
    for (const key of keys) {
      this.#text(key);
      this.item(entries[key]);
    }
  }

  #text(value: string): void {
    const length = Buffer.byteLength(value);
    this.#head(3, length);
    this.#reserve(length);
    this.#at += this.#buffer.write(value, this.#at);
  }

  #number(value: number): void {
    if (Number.isSafeInteger(value)) {
      if (value < 0) this.#head(1, -1 - value);
      else this.#head(0, value);
      return;
    }
    this.#byte(0xfb);
    this.#reserve(8);
    this.#at = this.#buffer.writeDoubleBE(value, this.#at);
  }

  #head(major: number, value: number): void {
    const type = major << 5;
    if (value < 24) return this.#byte(type | value);
    const info = value < 0x100 ? 24 : value < 0x1_0000 ? 25 : value < 0x1_0000_0000 ? 26 : 27;
    this.#byte(type | info);
    this.#reserve(8);
    if (info === 24) this.#at = this.#buffer.writeUInt8(value, this.#at);
    else if (info === 25) this.#at = this.#buffer.writeUInt16BE(value, this.#at);
    else if (info === 26) this.#at = this.#buffer.writeUInt32BE(value, this.#at);
    else this.#at = this.#buffer.writeBigUInt64BE(BigInt(value), this.#at);
  }

  #byte(value: number): void {
    this.#reserve(1);
    this.#buffer[this.#at++] = value;
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#at + bytes));
    larger.set(this.#buffer);
    this.#buffer = larger;
  }
}
