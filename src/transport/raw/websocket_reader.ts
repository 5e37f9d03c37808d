// RFC 6455, the way in: a server's reader of WebSocket frames, fed with whatever a socket brings. What breaks the protocol
// ends the reading with the close code that the RFC has for it (section 7.4.1). Memory follows what has arrived and never
// what was announced, and a message that is too long is known from its announcement.

import { isUtf8 } from "node:buffer";
import { inflate } from "./deflate.ts";
import { unmask } from "./mask.ts";

/** What is read, in order. MUST NOT throw. `violated` and `closed` are the last that is heard. */
export interface WebSocketEvents {
  text(message: string): void;
  /** The bytes are nobody else's. */
  binary(message: Uint8Array): void;
  ping(payload: Uint8Array): void;
  pong(): void;
  /** A frame that is no message by itself: a ping, a pong, or a fragment with more to come. */
  control(bytes: number): void;
  /** @param code 1005 where the peer named none */
  closed(code: number, reason: string): void;
  violated(code: 1002 | 1007 | 1009, why: string): void;
}

export interface WebSocketReaderOptions {
  readonly events: WebSocketEvents;
  /** Asked anew for each frame. */
  readonly maxMessageBytes: () => number;
  /** What a deflated message may inflate to; null where none was agreed to. */
  readonly maxInflatedBytes: number | null;
}

const OP = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;
const FIN = 0x80;
const RESERVED = 0x70;
/** Of the first frame of a message: it is deflated. */
const RSV1 = 0x40;
const MASKED = 0x80;
const CONTROL_MAX = 125;
/** Longest payload whose length stands in the second byte. */
const SHORT_MAX = 125;
/** Two bytes, eight of length, four of mask. */
const HEADER_MAX = 14;

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const NOTHING = new Uint8Array(0);

export class WebSocketReader {
  readonly #options: WebSocketReaderOptions;
  /** A header of which a part has arrived. */
  readonly #header = new Uint8Array(HEADER_MAX);
  #headerBytes = 0;
  // The frame whose payload is being read.
  #opcode = 0;
  #isLast = false;
  /** Of its payload, what has not arrived yet; negative while its header is read. */
  #left = -1;
  #mask = 0;
  /** Where in the mask the next byte of its payload stands. */
  #phase = 0;
  /** Payload of a control frame. */
  #control: Uint8Array = NOTHING;
  #controlBytes = 0;
  // The message that is being read: its opcode, 0 between messages.
  #messageOpcode = 0;
  #isDeflated = false;
  /** Its bytes so far, and room for more. */
  #message: Uint8Array = NOTHING;
  #messageBytes = 0;
  #ended = false;

  constructor(options: WebSocketReaderOptions) {
    this.#options = options;
  }

  /** Reads on. The chunk is not kept. */
  read(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length && !this.#ended) {
      const after = this.#left < 0 && this.#headerBytes === 0 ? this.#readWhole(chunk, at) : at;
      if (after > at) at = after;
      else at = this.#left < 0 ? this.#readHeader(chunk, at) : this.#readPayload(chunk, at);
      if (this.#left === 0 && !this.#ended) this.#frameEnded();
    }
  }

  /** The usual frame, a short message that the chunk holds whole. @returns where it ends; `at` where there is none */
  #readWhole(chunk: Uint8Array, at: number): number {
    const first = chunk[at]!, second = chunk[at + 1]!;
    const bytes = second & 0x7f;
    const from = at + 6, end = from + bytes;
    const isText = first === (FIN | OP.text);
    if (
      !isText && first !== (FIN | OP.binary) || second < MASKED || bytes > SHORT_MAX || end > chunk.length ||
      this.#messageOpcode !== 0 || bytes > this.#options.maxMessageBytes()
    ) return at;
    const mask = chunk[at + 2]! | chunk[at + 3]! << 8 | chunk[at + 4]! << 16 | chunk[at + 5]! << 24;
    const message = new Uint8Array(bytes);
    unmask(chunk, from, bytes, message, 0, mask, 0);
    this.#deliver(message, isText);
    return end;
  }

  /** @returns where in the chunk the header, or the chunk, ends */
  #readHeader(chunk: Uint8Array, at: number): number {
    const header = this.#header;
    let have = this.#headerBytes;
    while (at < chunk.length) {
      header[have++] = chunk[at++]!;
      if (have < 2) continue;
      if (have === 2 && !this.#checkStart(header[0]!, header[1]!)) return chunk.length;
      if (have < headerLength(header[1]!)) continue;
      this.#headerBytes = 0;
      this.#begin(header, have);
      return at;
    }
    this.#headerBytes = have;
    return at;
  }

  #checkStart(first: number, second: number): boolean {
    const opcode = first & 0x0f;
    const isControl = opcode >= OP.close;
    if (opcode > OP.pong || opcode > OP.binary && opcode < OP.close) {
      return this.#violate(1002, "an unknown opcode");
    }
    const mayBeDeflated = this.#options.maxInflatedBytes !== null &&
      (opcode === OP.text || opcode === OP.binary);
    if ((first & RESERVED & (mayBeDeflated ? ~RSV1 : 0xff)) !== 0) {
      return this.#violate(1002, "a reserved bit is set");
    }
    if ((second & MASKED) === 0) return this.#violate(1002, "an unmasked frame");
    if (isControl) {
      if ((first & FIN) === 0) return this.#violate(1002, "a fragmented control frame");
      if ((second & 0x7f) > CONTROL_MAX) return this.#violate(1002, "a control frame of more than 125 bytes");
    } else if (opcode === OP.continuation) {
      if (this.#messageOpcode === 0) return this.#violate(1002, "a continuation of nothing");
    } else if (this.#messageOpcode !== 0) return this.#violate(1002, "a new message amid fragments");
    return true;
  }

  #begin(header: Uint8Array, length: number): void {
    const first = header[0]!;
    const bytes = payloadLength(header);
    this.#opcode = first & 0x0f;
    this.#isLast = (first & FIN) !== 0;
    const mask = length - 4;
    this.#mask =
      (header[mask]! | header[mask + 1]! << 8 | header[mask + 2]! << 16 | header[mask + 3]! << 24) | 0;
    this.#phase = 0;
    if (this.#opcode >= OP.close) {
      this.#control = bytes === 0 ? NOTHING : new Uint8Array(bytes);
      this.#controlBytes = 0;
    } else {
      if (bytes < 0 || this.#messageBytes + bytes > this.#options.maxMessageBytes()) {
        return void this.#violate(1009, "a message that is too long");
      }
      if (this.#opcode !== OP.continuation) {
        this.#messageOpcode = this.#opcode;
        this.#isDeflated = (first & RSV1) !== 0;
      }
    }
    this.#left = bytes;
  }

  /** @returns where in the chunk the payload, or the chunk, ends */
  #readPayload(chunk: Uint8Array, at: number): number {
    const take = Math.min(this.#left, chunk.length - at);
    if (this.#opcode >= OP.close) {
      unmask(chunk, at, take, this.#control, this.#controlBytes, this.#mask, this.#phase);
      this.#controlBytes += take;
    } else if (take > 0) {
      const end = this.#messageBytes + take;
      if (end > this.#message.length) this.#makeRoom(end);
      unmask(chunk, at, take, this.#message, this.#messageBytes, this.#mask, this.#phase);
      this.#messageBytes = end;
    }
    this.#phase = (this.#phase + take) & 3;
    this.#left -= take;
    return at + take;
  }

  #frameEnded(): void {
    const { events } = this.#options;
    this.#left = -1;
    if (this.#opcode >= OP.close) return this.#controlEnded();
    if (this.#isLast) this.#messageEnded();
    else events.control(this.#messageBytes);
  }

  /** Room for what has arrived, and as much again where more is announced, so that bytes are moved a few times only. */
  #makeRoom(bytes: number): void {
    const announced = this.#messageBytes + this.#left;
    const twice = Math.max(bytes, 2 * this.#message.length);
    // Of fragments nobody knows how many follow: what grew by each of 65,000 would be moved as often.
    const room = new Uint8Array(this.#isLast ? Math.min(announced, twice) : twice);
    if (this.#messageBytes > 0) room.set(this.#message.subarray(0, this.#messageBytes));
    this.#message = room;
  }

  #controlEnded(): void {
    const { events } = this.#options;
    const payload = this.#control;
    this.#control = NOTHING;
    switch (this.#opcode) {
      case OP.ping:
        events.control(payload.length);
        return events.ping(payload);
      case OP.pong:
        events.control(payload.length);
        return events.pong();
      default:
        this.#readClose(payload);
    }
  }

  #readClose(payload: Uint8Array): void {
    if (payload.length === 1) return void this.#violate(1002, "a close frame of one byte");
    const code = payload.length === 0 ? 1005 : payload[0]! << 8 | payload[1]!;
    if (payload.length > 0 && !mayBeSent(code)) {
      return void this.#violate(1002, "a close code that is never sent");
    }
    const reason = payload.subarray(2);
    if (!isUtf8(reason)) return void this.#violate(1007, "a close reason that is no UTF-8");
    this.#ended = true;
    this.#options.events.closed(code, decoder.decode(reason));
  }

  #messageEnded(): void {
    const isText = this.#messageOpcode === OP.text;
    let message = this.#message;
    if (message.length > this.#messageBytes) message = message.slice(0, this.#messageBytes);
    this.#messageOpcode = this.#messageBytes = 0;
    this.#message = NOTHING;
    if (!this.#isDeflated) return this.#deliver(message, isText);
    const inflated = inflate(message, this.#options.maxInflatedBytes!);
    if (typeof inflated !== "number") return this.#deliver(inflated, isText);
    this.#violate(
      inflated,
      inflated === 1009 ? "a message that inflates to too much" : "a message that does not inflate",
    );
  }

  #deliver(message: Uint8Array, isText: boolean): void {
    const { events } = this.#options;
    if (!isText) return events.binary(message);
    let text: string;
    try {
      text = decoder.decode(message);
    } catch {
      return void this.#violate(1007, "a text that is no UTF-8");
    }
    events.text(text);
  }

  #violate(code: 1002 | 1007 | 1009, why: string): false {
    this.#ended = true;
    this.#message = NOTHING;
    this.#options.events.violated(code, why);
    return false;
  }
}

function headerLength(second: number): number {
  const length = second & 0x7f;
  return length < 126 ? 6 : length === 126 ? 8 : HEADER_MAX;
}

/** -1 for what is above 2^53 − 1: far too long, however it is written. */
function payloadLength(header: Uint8Array): number {
  const length = header[1]! & 0x7f;
  if (length < 126) return length;
  if (length === 126) return header[2]! << 8 | header[3]!;
  let bytes = 0;
  for (let i = 2; i < 10; i++) bytes = bytes * 256 + header[i]!;
  return Number.isSafeInteger(bytes) ? bytes : -1;
}

/** Codes that a peer may name; see https://www.iana.org/assignments/websocket/websocket.xhtml. */
function mayBeSent(code: number): boolean {
  return code >= 1000 && code <= 1014 && code !== 1004 && code !== 1005 && code !== 1006 ||
    code >= 3000 && code <= 4999;
}
