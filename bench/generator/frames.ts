// WebSocket frames as a load generator wants them (RFC 6455, section 5.2): what is sent is built in advance and
// only stamped, with mask key 0 so that the payload travels as it is; what comes is walked by its headers.
// A stamp is the time in microseconds and the sender's number: two u32 in binary, `~` and 10 + 8 digits in text.

import type { MessageShape } from "./load_spec.ts";

/** WebSocket opcodes that occur here. */
export const OPCODE = { text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

const TILDE = 0x7e;
const ZERO = 0x30;
const TIME_DIGITS = 10;
const SENDER_DIGITS = 8;

/** A whole client frame around `payload`. */
export function clientFrame(opcode: number, payload: Uint8Array): Uint8Array {
  const size = payload.length;
  if (size > 0xffff) throw new Error(`Cannot build a frame of ${size} bytes: at most 65535`);
  const head = size < 126 ? [0x80 | opcode, 0x80 | size] : [0x80 | opcode, 0x80 | 126, size >> 8, size & 255];
  const frame = new Uint8Array(head.length + 4 + size);
  frame.set(head);
  frame.set(payload, head.length + 4);
  return frame;
}

/** `copies` equal messages of one sender in one buffer, ready to be stamped and written as often as wanted. */
export class Burst {
  readonly frameBytes: number;
  readonly #bytes: Uint8Array;
  readonly #stampAt: number;
  readonly #text: boolean;

  constructor(shape: MessageShape, options: { readonly sender: number; readonly copies: number }) {
    const frame = shape.kind === "text" ? textFrame(shape) : binaryFrame(shape);
    this.#text = shape.kind === "text";
    this.frameBytes = frame.length;
    this.#stampAt = this.#text ? frame.indexOf(TILDE) : frame.length - shape.payloadBytes;
    this.#bytes = new Uint8Array(frame.length * options.copies);
    for (let copy = 0; copy < options.copies; copy++) this.#bytes.set(frame, copy * frame.length);
    for (let at = this.#stampAt; at < this.#bytes.length; at += frame.length) {
      if (this.#text) writeDigits(this.#bytes, at + 1 + TIME_DIGITS, options.sender, SENDER_DIGITS);
      else writeU32(this.#bytes, at + 4, options.sender);
    }
  }

  /** The first `count` copies, stamped with `micros`; valid until the next call. */
  stamped(count: number, micros: number): Uint8Array {
    const end = count * this.frameBytes;
    for (let at = this.#stampAt; at < end; at += this.frameBytes) {
      if (this.#text) writeDigits(this.#bytes, at + 1, micros, TIME_DIGITS);
      else writeU32(this.#bytes, at, micros);
    }
    return this.#bytes.subarray(0, end);
  }
}

/** What a stamp says: when a message left, and whose it is. */
export interface Stamp {
  micros: number;
  sender: number;
}

/** Reads the stamp of the message at `at..end` into `into`; false when there is none. */
export function readStamp(
  bytes: Uint8Array,
  at: number,
  end: number,
  shape: MessageShape,
  into: Stamp,
): boolean {
  if (shape.kind === "binary") {
    const stampAt = at + shape.answerStampAt;
    if (stampAt + 8 > end) return false;
    into.micros = readU32(bytes, stampAt);
    into.sender = readU32(bytes, stampAt + 4);
    return true;
  }
  const tilde = bytes.indexOf(TILDE, at);
  if (tilde < 0 || tilde + 1 + TIME_DIGITS + SENDER_DIGITS > end) return false;
  into.micros = readDigits(bytes, tilde + 1, TIME_DIGITS);
  into.sender = readDigits(bytes, tilde + 1 + TIME_DIGITS, SENDER_DIGITS);
  return true;
}

function binaryFrame(shape: MessageShape & { kind: "binary" }): Uint8Array {
  const payload = new Uint8Array(shape.prefix.length + shape.payloadBytes).fill(0x2e);
  payload.set(shape.prefix);
  return clientFrame(OPCODE.binary, payload);
}

function textFrame(shape: MessageShape & { kind: "text" }): Uint8Array {
  const filler = "~" + "0".repeat(TIME_DIGITS + SENDER_DIGITS);
  const payload = shape.template.replace("@", filler.padEnd(shape.payloadBytes, "."));
  return clientFrame(OPCODE.text, new TextEncoder().encode(payload));
}

function readU32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | bytes[at + 1]! << 8 | bytes[at + 2]! << 16 | bytes[at + 3]! << 24) >>> 0;
}

function writeU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}

function readDigits(bytes: Uint8Array, at: number, digits: number): number {
  let value = 0;
  for (let index = at; index < at + digits; index++) value = value * 10 + (bytes[index]! - ZERO);
  return value;
}

function writeDigits(bytes: Uint8Array, at: number, value: number, digits: number): void {
  for (let index = at + digits - 1, rest = value; index >= at; index--, rest = Math.floor(rest / 10)) {
    bytes[index] = ZERO + rest % 10;
  }
}
