// A WebSocket on a byte socket, with framing of this house: what is written to many is joined once and the same bytes go to
// all of them.

import type { Link, LinkHandler, WireFrame } from "../port.ts";
import type { ByteEvents, ByteSocket } from "../stream/byte_socket.ts";
import { type WebSocketEvents, WebSocketReader } from "./websocket_reader.ts";
import { closeFrame, pingFrame, pongFrame } from "./websocket_writer.ts";

/** Answers to pings that may wait for a peer that reads none of them. */
const PONGS_BYTES_MAX = 16_384;
/** How long a peer may take to read a last word before its socket is dropped. */
const LINGER_MS = 8_000;

export interface WebSocketLinkOptions {
  readonly handler: LinkHandler;
  /** Brings a flush into one piece. */
  readonly join: (frames: readonly WireFrame[], count: number) => Uint8Array;
  readonly maxMessageBytes: () => number;
  /** It is gone. */
  readonly ended: () => void;
}

export class WebSocketLink implements Link, ByteEvents {
  readonly transport = "websocket";
  readonly canPing = true;
  readonly datagrams = null;
  readonly remoteAddress: string;
  readonly #socket: ByteSocket;
  readonly #options: WebSocketLinkOptions;
  readonly #reader: WebSocketReader;
  #isOver = false;
  // Why this side ended the link; 0 as long as it did not.
  #code = 0;
  #reason = "";
  #pongsWaiting = 0;
  #isGone = false;
  #lingering: ReturnType<typeof setTimeout> | null = null;

  constructor(socket: ByteSocket, options: WebSocketLinkOptions) {
    this.#socket = socket;
    this.#options = options;
    this.remoteAddress = socket.remoteAddress;
    this.#reader = new WebSocketReader({
      events: new Inbound(this),
      maxMessageBytes: options.maxMessageBytes,
      inflater: null,
    });
  }

  write(frames: readonly WireFrame[], count: number): number {
    if (count === 0 || this.#isOver || this.#code !== 0) return 0;
    return this.#socket.write(this.#options.join(frames, count));
  }

  bufferedBytes(): number {
    return this.#isOver ? 0 : this.#socket.waitingBytes();
  }

  ping(): void {
    if (!this.#isOver && this.#code === 0) this.#socket.write(pingFrame());
  }

  pause(): void {
    if (!this.#isOver) this.#socket.pause();
  }

  resume(): void {
    if (!this.#isOver) this.#socket.resume();
  }

  close(code: number, reason: string): void {
    if (this.#isOver || this.#code !== 0) return;
    this.#code = code;
    this.#reason = reason;
    this.#socket.resume(); // a paused socket would never read the peer's answer
    this.#socket.write(closeFrame(code, reason));
  }

  terminate(): void {
    if (!this.#isOver) this.#over(1006, "");
    this.#socket.destroy();
  }

  // What the socket brings

  data(chunk: Uint8Array): void {
    if (!this.#isOver) this.#reader.read(chunk);
  }

  drained(): void {
    if (!this.#isOver && this.#code === 0) this.#options.handler.onDrain();
  }

  ended(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    if (this.#lingering !== null) clearTimeout(this.#lingering);
    this.#lingering = null;
    if (!this.#isOver) this.#over(1006, "");
    this.#socket.destroy();
  }

  // What the reader finds

  text(message: string): void {
    if (this.#code === 0 && !this.#isOver) this.#options.handler.text(message);
  }

  binary(message: Uint8Array): void {
    if (this.#code === 0 && !this.#isOver) this.#options.handler.binary(message);
  }

  control(bytes: number): void {
    if (this.#code === 0 && !this.#isOver) this.#options.handler.control(bytes);
  }

  pinged(payload: Uint8Array): void {
    if (this.#code !== 0 || this.#isOver) return;
    const pong = pongFrame(payload);
    // A peer that reads none of the answers is dropped.
    if (this.#socket.waitingBytes() > 0 && (this.#pongsWaiting += pong.length) > PONGS_BYTES_MAX) {
      return this.terminate();
    }
    if (this.#socket.write(pong) === 0) this.#pongsWaiting = 0;
  }

  ponged(): void {
    if (this.#code === 0 && !this.#isOver) this.#options.handler.pong();
  }

  /** The peer's close: the answer to ours, or answered here. */
  closed(code: number, reason: string): void {
    if (this.#isOver) return;
    if (this.#code !== 0) return this.#leave(this.#code, this.#reason);
    this.#socket.write(closeFrame(code, ""));
    this.#leave(code, reason);
  }

  violated(code: number, why: string): void {
    if (this.#isOver) return;
    if (this.#code !== 0) return this.#leave(this.#code, this.#reason);
    this.#socket.write(closeFrame(code, why));
    this.#leave(code, why);
  }

  /** The last word was said: the socket is given a moment to bring it to the peer. */
  #leave(code: number, reason: string): void {
    this.#socket.resume();
    this.#socket.end();
    this.#over(code, reason);
    if (!this.#isGone) this.#lingering = setTimeout(() => this.#socket.destroy(), LINGER_MS);
  }

  #over(code: number, reason: string): void {
    this.#isOver = true;
    this.#options.ended();
    this.#options.handler.onClose(code, reason);
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
