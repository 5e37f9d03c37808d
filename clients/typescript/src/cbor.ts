// CBOR on the ext lane (`wsprism.v1.cbor`), limited to what JSON can say, as docs/protocol.md has it. A part of its own,
// for who needs it: `new Client(url, { …, codec: cbor })`.

import type { Codec } from "./transport.ts";

const text = new TextDecoder("utf-8", { ignoreBOM: true });
const utf8 = new TextEncoder();

/** Levels of values within each other: more is refused, by the gateway as well. */
const DEPTH_MAX = 512;

export const cbor: Codec = {
  protocol: "wsprism.v1.cbor",
  encode: (message) => new Writer().whole(message),
  decode(data) {
    if (typeof data === "string") return JSON.parse(data) as unknown;
    const first = data[0]!;
    // A hot frame begins with its version.
    return first >= 0xa0 && first <= 0xbf ? new Reader(data).item(DEPTH_MAX) : undefined;
  },
};

const strange = () => new RangeError("CBOR that JSON could not say");

class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  item(depth: number): unknown {
    const value = this.#any(depth);
    // As JSON.parse has it: the nearest number.
    return typeof value === "bigint" ? Number(value) : value;
  }

  /** As `item`, but for whole numbers beyond 2^53, which are exact. */
  #any(depth: number): unknown {
    const view = this.#view;
    const head = view.getUint8(this.#at++);
    const major = head >> 5, info = head & 31;
    const at = this.#at;
    if (depth === 0 || info > 27) throw strange();
    this.#at += info < 24 ? 0 : 1 << (info - 24);
    if (major === 7) {
      if (info === 20 || info === 21) return info === 21;
      if (info === 22) return null;
      if (info === 25) return half(view.getUint16(at));
      if (info === 26) return view.getFloat32(at);
      if (info === 27) return view.getFloat64(at);
      throw strange();
    }
    const value = info < 24
      ? info
      : info === 24
      ? view.getUint8(at)
      : info === 25
      ? view.getUint16(at)
      : info === 26
      ? view.getUint32(at)
      : exact(view.getBigUint64(at));
    if (major === 0) return value;
    if (major === 1) return exact(-1n - BigInt(value));
    const count = Number(value);
    if (major === 3) return text.decode(this.#take(count));
    if (major === 4) {
      const list: unknown[] = [];
      for (let i = 0; i < count; i++) list.push(this.item(depth - 1));
      return list;
    }
    if (major === 6) return this.#number(count, depth);
    if (major !== 5) throw strange();
    const map: Record<string, unknown> = {};
    for (let i = 0; i < count; i++) {
      const key = String(this.item(depth - 1));
      const inner = this.item(depth - 1);
      // An assignment would set the map's prototype.
      if (key !== "__proto__") map[key] = inner;
      else {Object.defineProperty(map, key, {
          value: inner,
          enumerable: true,
          writable: true,
          configurable: true,
        });}
    }
    return map;
  }

  /** What a tag makes of a number that no double holds: a bignum (2, 3), or a decimal fraction (4, 264). */
  #number(tag: number, depth: number): bigint | number {
    if (tag === 2 || tag === 3) {
      const head = this.#view.getUint8(this.#at++);
      // Shorter ones would be integers; longer ones than 255 bytes no double comes near to.
      const length = head === 0x58 ? this.#view.getUint8(this.#at++) : head - 0x40;
      if (length < 0 || (length > 23 && head !== 0x58)) throw strange();
      let value = 0n;
      for (const byte of this.#take(length)) value = value << 8n | BigInt(byte);
      return tag === 2 ? value : -1n - value;
    }
    if ((tag !== 4 && tag !== 264) || this.#view.getUint8(this.#at++) !== 0x82) throw strange();
    const exponent = this.#any(depth - 1), mantissa = this.#any(depth - 1);
    return Number(`${mantissa}e${exponent}`);
  }

  #take(length: number): Uint8Array {
    const from = this.#at;
    this.#at += length;
    if (this.#at > this.#bytes.length) throw new RangeError("CBOR that ends too early");
    return this.#bytes.subarray(from, this.#at);
  }
}

/** A number where one holds it. */
function exact(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** A half-precision float from its bits. */
function half(bits: number): number {
  const exponent = bits >> 10 & 31, fraction = bits & 1023;
  const magnitude = exponent === 0
    ? fraction * 2 ** -24
    : exponent === 31
    ? (fraction === 0 ? Number.POSITIVE_INFINITY : Number.NaN)
    : (1024 + fraction) * 2 ** (exponent - 25);
  return (bits & 0x8000) === 0 ? magnitude : -magnitude;
}

class Writer {
  #bytes = new Uint8Array(256);
  #view = new DataView(this.#bytes.buffer);
  #at = 0;

  whole(value: unknown): Uint8Array {
    this.#item(value, DEPTH_MAX);
    return this.#bytes.slice(0, this.#at);
  }

  /** As JSON.stringify would have it. */
  #item(given: unknown, depth: number): void {
    const value = typeof (given as { toJSON?: unknown } | null)?.toJSON === "function"
      ? (given as { toJSON(): unknown }).toJSON()
      : given;
    if (depth === 0) throw new RangeError(`data is nested deeper than ${DEPTH_MAX}`);
    if (typeof value === "string") this.#text(value);
    else if (typeof value === "boolean") this.#head(7, value ? 21 : 20);
    else if (typeof value === "number") this.#number(value);
    else if (Array.isArray(value)) {
      this.#head(4, value.length);
      for (const item of value as unknown[]) this.#item(item, depth - 1);
    } else if (typeof value === "object" && value !== null) {
      const entries = Object.entries(value).filter(([, inner]) => isSaid(inner));
      this.#head(5, entries.length);
      for (const [key, inner] of entries) {
        this.#text(key);
        this.#item(inner, depth - 1);
      }
    } else if (typeof value === "bigint") throw new TypeError("JSON has no bigint");
    else this.#head(7, 22);
  }

  #text(value: string): void {
    const bytes = utf8.encode(value);
    this.#head(3, bytes.length);
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  #number(value: number): void {
    if (Number.isSafeInteger(value)) return value < 0 ? this.#head(1, -1 - value) : this.#head(0, value);
    if (!Number.isFinite(value)) return this.#head(7, 22);
    this.#reserve(9);
    this.#bytes[this.#at] = 0xfb;
    this.#view.setFloat64(this.#at + 1, value);
    this.#at += 9;
  }

  #head(major: number, value: number): void {
    this.#reserve(9);
    const view = this.#view, at = this.#at + 1;
    const info = value < 24
      ? value
      : value < 0x100
      ? 24
      : value < 0x1_0000
      ? 25
      : value < 0x1_0000_0000
      ? 26
      : 27;
    view.setUint8(at - 1, major << 5 | info);
    if (info === 24) view.setUint8(at, value);
    else if (info === 25) view.setUint16(at, value);
    else if (info === 26) view.setUint32(at, value);
    else if (info === 27) {
      view.setUint32(at, value / 0x1_0000_0000);
      view.setUint32(at + 4, value);
    }
    this.#at = at + (info < 24 ? 0 : 1 << (info - 24));
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#bytes.length) return;
    const larger = new Uint8Array((this.#at + bytes) * 2);
    larger.set(this.#bytes);
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }
}

/** Whether JSON would have it. */
function isSaid(value: unknown): boolean {
  return value !== undefined && typeof value !== "function" && typeof value !== "symbol";
}
