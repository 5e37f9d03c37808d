// A WebSocket on a byte socket, with framing of this house: what is written to many is joined once and the same bytes go to
// all of them.

import type { Compression } from "../port.ts";
import type { ByteSocket } from "../stream/byte_socket.ts";
import { FramedLink, type FramedLinkOptions, type Words } from "../stream/framed_link.ts";
import { type WebSocketEvents, WebSocketReader } from "./websocket_reader.ts";
import { closeFrame, pingFrame, pongFrame } from "./websocket_writer.ts";

const WORDS: Words = {
  ping: pingFrame,
  pong: pongFrame,
  close: closeFrame,
  answer: (code) => closeFrame(code, ""),
};

export class WebSocketLink extends FramedLink {
  readonly transport = "websocket";
  readonly datagrams = null;
  readonly #reader: WebSocketReader;

  constructor(socket: ByteSocket, options: FramedLinkOptions, compression: Compression | null) {
    super(socket, options, WORDS);
    const { maxMessageBytes } = options;
    this.#reader = new WebSocketReader({
      events: new Inbound(this),
      maxMessageBytes,
      maxInflatedBytes: compression?.maxInflatedBytes ?? null,
    });
  }

  protected read(chunk: Uint8Array): void {
    this.#reader.read(chunk);
  }

  // What the reader finds

  text(message: string): void {
    if (this.isOpen) this.handler.text(message);
  }

  binary(message: Uint8Array): void {
    if (this.isOpen) this.handler.binary(message);
  }

  control(bytes: number): void {
    if (this.isOpen) this.handler.control(bytes);
  }
}

/** What the reader tells; names of its own, for a link has a `ping` too. */
class Inbound implements WebSocketEvents {
  readonly #link: WebSocketLink;

  constructor(link: WebSocketLink) {
    this.#link = link;
  }

  text(message: string): void {
    this.#link.text(message);
  }

  binary(message: Uint8Array): void {
    this.#link.binary(message);
  }

  ping(payload: Uint8Array): void {
    this.#link.pinged(payload);
  }

  pong(): void {
    this.#link.ponged();
  }

  control(bytes: number): void {
    this.#link.control(bytes);
  }

  closed(code: number, reason: string): void {
    this.#link.closed(code, reason);
  }

  violated(code: number, why: string): void {
    this.#link.violated(code, why);
  }
}
