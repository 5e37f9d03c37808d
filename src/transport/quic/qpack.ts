// Field sections of HTTP/3, as far as a server reads them that offers no dynamic table: indexes into the static one, and
// literals with Huffman's code or without. https://www.rfc-editor.org/rfc/rfc9204#section-4.5

import { Buffer } from "node:buffer";

/** Of the static table's entries, those whose name or value a request for a session has (RFC 9204, appendix A). */
const STATIC: ReadonlyMap<number, readonly [name: string, value: string]> = new Map([
  [0, [":authority", ""]],
  [1, [":path", "/"]],
  [15, [":method", "CONNECT"]],
  [16, [":method", "DELETE"]],
  [17, [":method", "GET"]],
  [18, [":method", "HEAD"]],
  [19, [":method", "OPTIONS"]],
  [20, [":method", "POST"]],
  [21, [":method", "PUT"]],
  [22, [":scheme", "http"]],
  [23, [":scheme", "https"]],
  [84, ["authorization", ""]],
  [90, ["origin", ""]],
]);
const STATIC_MAX = 98;

/** The length of each byte's code, in base 36; the codes are the canonical ones (RFC 7541, appendix B). */
const CODE_LENGTHS = "dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6ca" +
  "d67777777777777777777777878djde6f56565666577666567655677777fbeds" +
  "kmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmmn" +
  "qqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrq";
const CODE_BITS_MAX = 30;

interface Codes {
  /** Bytes in the order of their codes. */
  readonly bytes: readonly number[];
  /** By length: the first code, where its byte stands in `bytes`, and how many there are. */
  readonly first: readonly number[];
  readonly at: readonly number[];
  readonly count: readonly number[];
}

function canonical(): Codes {
  const bytes: number[] = [], first: number[] = [], at: number[] = [], count: number[] = [];
  let code = 0;
  for (let bits = 0; bits <= CODE_BITS_MAX; bits++) {
    code *= 2;
    first.push(code);
    at.push(bytes.length);
    for (let byte = 0; byte < 256; byte++) if (parseInt(CODE_LENGTHS[byte]!, 36) === bits) bytes.push(byte);
    count.push(bytes.length - at[bits]!);
    code += count[bits]!;
  }
  return { bytes, first, at, count };
}

const CODES: Codes = canonical();

/** What cannot be read; it ends the connection. */
class Unreadable extends Error {}

/** @throws when it cannot be read, or names an entry of a dynamic table; names come in lower case, repeated ones joined */
export function readFields(section: Uint8Array): Map<string, string> {
  const reader = new Reader(section);
  // Required insert count and base: with no dynamic table both are nothing.
  if (reader.integer(8) !== 0) throw new Unreadable("a dynamic table");
  reader.integer(7);
  const fields = new Map<string, string>();
  while (!reader.isOver) {
    const [name, value] = reader.field();
    const before = fields.get(name);
    fields.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  return fields;
}

class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isOver(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** The bits above the prefix are the caller's. RFC 7541, section 5.1 */
  integer(prefixBits: number): number {
    const mask = (1 << prefixBits) - 1;
    let value = this.#byte() & mask;
    if (value < mask) return value;
    for (let shift = 0; shift <= 21; shift += 7) {
      const byte = this.#byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw new Unreadable("a number that is too large");
  }

  field(): readonly [string, string] {
    const kind = this.#bytes[this.#at]!;
    if (kind >= 0xc0) return entry(this.integer(6));
    if ((kind & 0xd0) === 0x50) return [entry(this.integer(4))[0], this.#string(7)];
    if ((kind & 0xe0) === 0x20) return [this.#string(3).toLowerCase(), this.#string(7)];
    throw new Unreadable("a dynamic table");
  }

  #string(prefixBits: number): string {
    if (this.isOver) throw new Unreadable("an end in the middle");
    const isCoded = (this.#bytes[this.#at]! >> prefixBits & 1) === 1;
    const length = this.integer(prefixBits);
    const from = this.#at;
    if (from + length > this.#bytes.length) throw new Unreadable("an end in the middle");
    this.#at += length;
    const bytes = this.#bytes.subarray(from, this.#at);
    return Buffer.from(isCoded ? decode(bytes) : bytes).toString("latin1");
  }

  #byte(): number {
    if (this.isOver) throw new Unreadable("an end in the middle");
    return this.#bytes[this.#at++]!;
  }
}

/** Entries that mean nothing here have no name. */
function entry(index: number): readonly [string, string] {
  if (index > STATIC_MAX) throw new Unreadable("an entry that the static table does not have");
  return STATIC.get(index) ?? ["", ""];
}

/** What is left at the end is padding. */
function decode(bytes: Uint8Array): number[] {
  const { first, at, count, bytes: symbols } = CODES;
  const out: number[] = [];
  let code = 0, length = 0;
  for (const byte of bytes) {
    for (let bit = 7; bit >= 0; bit--) {
      code = code * 2 + (byte >> bit & 1);
      if (++length > CODE_BITS_MAX) throw new Unreadable("a code that is none");
      const index = code - first[length]!;
      if (index < 0 || index >= count[length]!) continue;
      out.push(symbols[at[length]! + index]!);
      code = length = 0;
    }
  }
  return out;
}
