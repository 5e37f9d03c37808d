// Slow and simple second opinions on the codecs: written from the RFC and docs/protocol.md alone, byte by byte,
// with exceptions for everything that is refused.

/** Bytes from hexadecimal. */
export function unhex(text: string): Uint8Array {
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

/** Hexadecimal of bytes. */
export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The same bytes as a view in the middle of a buffer that is full of something else. */
export function within(bytes: Uint8Array, other: number): Uint8Array {
  const buffer = new Uint8Array(bytes.length + 64).fill(other);
  buffer.set(bytes, 32);
  return buffer.subarray(32, 32 + bytes.length);
}

/** What may stand in JSON. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** Reads the CBOR that the protocol allows a client; the gateway may write larger integers, for which `safe` is another. @throws Error for any other */
export function readCbor(bytes: Uint8Array, levels = 64, safe = safeNumber): Json {
  const rest = [...bytes];
  const take = (count: bigint): number[] => {
    if (count > BigInt(rest.length)) throw new Error("cut off");
    return rest.splice(0, Number(count));
  };
  const big = (digits: number[]) => digits.reduce((sum, digit) => sum * 256n + BigInt(digit), 0n);
  const item = (levels: number): Json => {
    if (levels === 0) throw new Error("too deep");
    const first = take(1n)[0]!;
    const major = Math.floor(first / 32), info = first % 32;
    if (info === 31 && major >= 3 && major <= 5) return endless(major, levels - 1);
    if (info > 27) throw new Error("indefinite or reserved");
    const more = info < 24 ? [] : take(2n ** BigInt(info - 24));
    const value = info < 24 ? BigInt(info) : big(more);
    if (major === 7) return info < 24 ? simple(info) : float(more);
    if (major === 0) return safe(value);
    if (major === 1) return safe(-1n - value);
    if (major === 3) {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(take(value)));
    }
    if (major === 4) {
      const array: Json[] = [];
      for (let i = 0n; i < value; i++) array.push(item(levels - 1));
      return array;
    }
    if (major !== 5) throw new Error("byte string or tag");
    const map: { [key: string]: Json } = {};
    for (let i = 0n; i < value; i++) {
      const key = item(levels - 1);
      put(map, key, item(levels - 1));
    }
    return map;
  };
  const put = (map: { [key: string]: Json }, key: Json, value: Json) => {
    if (typeof key !== "string" || key === "__proto__" || Object.hasOwn(map, key)) throw new Error("bad key");
    map[key] = value;
  };
  const endless = (major: number, levels: number): Json => {
    const map: { [key: string]: Json } = {};
    const items: Json[] = [];
    while (rest[0] !== 0xff) {
      if (major === 3 && (Math.floor((rest[0] ?? 0) / 32) !== 3 || rest[0] === 0x7f)) {
        throw new Error("bad part");
      }
      const next = item(major === 3 ? 1 : levels);
      if (major === 5) put(map, next, item(levels));
      else items.push(next);
    }
    rest.shift();
    return major === 3 ? items.join("") : major === 4 ? items : map;
  };
  const value = item(levels);
  if (rest.length > 0) throw new Error("something behind it");
  return value;
}

function simple(info: number): Json {
  if (info === 20 || info === 21) return info === 21;
  if (info === 22) return null;
  throw new Error("undefined or a simple value");
}

function float(digits: number[]): number {
  const view = new DataView(Uint8Array.from(digits).buffer);
  if (digits.length === 1) throw new Error("a simple value");
  const number = digits.length === 8
    ? view.getFloat64(0)
    : digits.length === 4
    ? view.getFloat32(0)
    : half(view);
  if (!Number.isFinite(number)) throw new Error("not a finite number");
  return number;
}

function half(view: DataView): number {
  const bits = view.getUint16(0);
  const sign = bits >= 0x8000 ? -1 : 1;
  const exponent = bits >> 10 & 31, fraction = bits & 1023;
  if (exponent === 31) return Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
}

function safeNumber(value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER) || value < -BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new Error("unsafe");
  }
  return Number(value);
}

/** Writes JSON as CBOR; each head is as wide as `wider` says, 0 for the shortest. */
export function writeCbor(value: Json, wider: () => number = () => 0): number[] {
  const head = (major: number, count: number): number[] => {
    const least = count < 24 ? 0 : count < 2 ** 8 ? 1 : count < 2 ** 16 ? 2 : count < 2 ** 32 ? 3 : 4;
    const width = Math.min(4, least + wider());
    if (width === 0) return [major * 32 + count];
    const digits: number[] = [];
    for (let i = 0, left = count; i < 2 ** (width - 1); i++, left = Math.floor(left / 256)) {
      digits.unshift(left % 256);
    }
    return [major * 32 + 23 + width, ...digits];
  };
  if (value === null) return [0xf6];
  if (typeof value === "boolean") return [value ? 0xf5 : 0xf4];
  if (typeof value === "string") {
    const bytes = new TextEncoder().encode(value);
    return [...head(3, bytes.length), ...bytes];
  }
  if (typeof value === "number") {
    if (Number.isSafeInteger(value) && !Object.is(value, -0)) {
      return value < 0 ? head(1, -1 - value) : head(0, value);
    }
    const view = new DataView(new ArrayBuffer(8));
    view.setFloat64(0, value);
    return [0xfb, ...new Uint8Array(view.buffer)];
  }
  if (Array.isArray(value)) {
    return [
      ...head(4, value.length),
      ...value.flatMap((each) => writeCbor(each, wider)),
    ];
  }
  const entries = Object.entries(value);
  return [...head(5, entries.length), ...entries.flat().flatMap((each) => writeCbor(each, wider))];
}
