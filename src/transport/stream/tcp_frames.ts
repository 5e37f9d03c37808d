// The framing of plain TCP: [length u32 LE, of what follows][kind u8][body]. What is announced is checked before anything is
// kept of it, and memory follows what has arrived.

import { Buffer, isUtf8 } from "node:buffer";
import type { WireFrame } from "../port.ts";

export const KIND = { ext: 1, hot: 2, close: 3, ping: 4, pong: 5, cbor: 6 } as const;
export type Kind = (typeof KIND)[keyof typeof KIND];

const HEADER_BYTES = 5;
/** Of a ping and a pong, whose body comes back. */
const CONTROL_MAX = 125;
const CLOSE_MAX = 125;
const NOTHING = new Uint8Array(0);

/** What is read, in order. MUST NOT throw. `violated` and a close are the last that is heard. */
export interface TcpEvents {
  /** Kinds 1, 2 and 6. The bytes are nobody else's. */
  message(kind: typeof KIND.ext | typeof KIND.hot | typeof KIND.cbor, body: Uint8Array): void;
  ping(body: Uint8Array): void;
  pong(): void;
  /** @param code 1005 where the peer named none */
  closed(code: number, reason: string): void;
  violated(code: 1002 | 1009, why: string): void;
}

export interface TcpReaderOptions {
  readonly events: TcpEvents;
  /** Asked anew for each frame; of the body. */
  readonly maxMessageBytes: () => number;
}

export class TcpReader {
  readonly #options: TcpReaderOptions;
  readonly #header = new Uint8Array(HEADER_BYTES);
  #headerBytes = 0;
  #kind = 0;
  /** Of the body, in all; negative while the header is read. */
  #length = -1;
  #body: Uint8Array = NOTHING;
  #bodyBytes = 0;
  #ended = false;
  /** Frames that are read yet. */
  #left = Number.POSITIVE_INFINITY;

  constructor(options: TcpReaderOptions) {
    this.#options = options;
  }

  /** Reads so many frames more, and then nothing. */
  leave(frames: number): void {
    this.#left = Math.min(this.#left, frames);
    if (this.#left <= 0) this.#ended = true;
  }

  /** Reads on. The chunk is not kept. */
  read(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length && !this.#ended) {
      if (this.#length < 0) {
        while (this.#headerBytes < HEADER_BYTES && at < chunk.length) {
          this.#header[this.#headerBytes++] = chunk[at++]!;
        }
        if (this.#headerBytes < HEADER_BYTES) return;
        this.#begin();
      } else at = this.#take(chunk, at);
      if (this.#bodyBytes === this.#length && !this.#ended) this.#whole();
    }
  }

  #begin(): void {
    const header = this.#header;
    // By hand, for a view costs more than all of this (see protocol/hot.ts).
    const announced = (header[0]! | header[1]! << 8 | header[2]! << 16 | header[3]! << 24) >>> 0;
    const kind = header[4]!;
    this.#headerBytes = 0;
    if (announced === 0) return this.#violate(1002, "a frame without a kind");
    if (kind < KIND.ext || kind > KIND.cbor) return this.#violate(1002, "a frame of an unknown kind");
    const length = announced - 1;
    const isMessage = kind === KIND.ext || kind === KIND.hot || kind === KIND.cbor;
    if (isMessage) {
      if (length > this.#options.maxMessageBytes()) return this.#violate(1009, "a message that is too long");
    } else if (length > (kind === KIND.close ? CLOSE_MAX : CONTROL_MAX)) {
      return this.#violate(1002, "a control frame of more than 125 bytes");
    }
    this.#kind = kind;
    this.#length = length;
    this.#body = NOTHING;
    this.#bodyBytes = 0;
  }

  /** @returns where in the chunk the body, or the chunk, ends */
  #take(chunk: Uint8Array, at: number): number {
    const count = Math.min(this.#length - this.#bodyBytes, chunk.length - at);
    const end = this.#bodyBytes + count;
    if (end > this.#body.length) {
      const room = new Uint8Array(Math.min(this.#length, Math.max(end, 2 * this.#body.length)));
      for (let i = 0; i < this.#bodyBytes; i++) room[i] = this.#body[i]!;
      this.#body = room;
    }
    // A loop, for a view of what came in costs more than copying what a game sends (see protocol/hot.ts).
    if (count > 512) this.#body.set(chunk.subarray(at, at + count), this.#bodyBytes);
    else for (let i = 0; i < count; i++) this.#body[this.#bodyBytes + i] = chunk[at + i]!;
    this.#bodyBytes = end;
    return at + count;
  }

  #whole(): void {
    const { events } = this.#options;
    const body = this.#body;
    if (--this.#left <= 0) this.#ended = true;
    this.#body = NOTHING;
    this.#bodyBytes = 0;
    this.#length = -1;
    switch (this.#kind) {
      case KIND.ext:
      case KIND.hot:
      case KIND.cbor:
        return events.message(this.#kind, body);
      case KIND.ping:
        return events.ping(body);
      case KIND.pong:
        return events.pong();
      default:
        return this.#closed(body);
    }
  }

  #closed(body: Uint8Array): void {
    if (body.length === 1) return this.#violate(1002, "a close frame of one byte");
    const reason = Buffer.from(
      body.buffer,
      body.byteOffset + Math.min(2, body.length),
      Math.max(0, body.length - 2),
    );
    if (!isUtf8(reason)) return this.#violate(1002, "a close reason that is no UTF-8");
    this.#ended = true;
    this.#options.events.closed(body.length === 0 ? 1005 : body[0]! | body[1]! << 8, reason.toString());
  }

  #violate(code: 1002 | 1009, why: string): void {
    this.#ended = true;
    this.#body = NOTHING;
    this.#options.events.violated(code, why);
  }
}

/** The bytes of a message with its header, built at the first call and kept on the frame. */
export function tcpFrame(frame: WireFrame, kind: Kind): Uint8Array {
  if (frame.tcpWire !== null) return frame.tcpWire;
  const { payload, bytes } = frame;
  const out = control(kind, bytes);
  if (typeof payload === "string") Buffer.from(out.buffer).write(payload, HEADER_BYTES);
  else out.set(payload, HEADER_BYTES);
  return frame.tcpWire = out;
}

/** A close frame; `reason` MUST be at most 123 bytes. */
export function tcpClose(code: number, reason: string): Uint8Array {
  const text = Buffer.from(reason);
  const out = control(KIND.close, 2 + text.length);
  out[HEADER_BYTES] = code;
  out[HEADER_BYTES + 1] = code >>> 8;
  out.set(text, HEADER_BYTES + 2);
  return out;
}

/** A ping, or the pong with the ping's body. */
export function tcpControl(kind: typeof KIND.ping | typeof KIND.pong, body: Uint8Array): Uint8Array {
  const out = control(kind, body.length);
  out.set(body, HEADER_BYTES);
  return out;
}

function control(kind: Kind, bytes: number): Uint8Array {
  const out = new Uint8Array(HEADER_BYTES + bytes);
  const length = bytes + 1;
  out[0] = length;
  out[1] = length >>> 8;
  out[2] = length >>> 16;
  out[3] = length >>> 24;
  out[4] = kind;
  return out;
}
