// A link of node.ts. `ws` does the reading, pings and closing; what the gateway sends goes around it, straight into the
// socket: a frame's WebSocket header and payload are joined once and kept in `frame.wire`, and a flush is one
// `socket.write`. Without permessage-deflate `ws` writes synchronously too, so the order holds.

import type { Socket } from "node:net";
import { WebSocket } from "ws";
import type { Link, LinkHandler, WireFrame } from "./port.ts";

const NOTHING = new Uint8Array(0);

// `ws` has an error for each rule of the protocol, and closes with one of these codes; all others are 1002.
const CLOSE_CODE: Readonly<Record<string, number>> = {
  WS_ERR_INVALID_UTF8: 1007,
  WS_ERR_TOO_MANY_BUFFERED_PARTS: 1008,
  WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH: 1009,
  WS_ERR_UNSUPPORTED_MESSAGE_LENGTH: 1009,
};

/** Lets listeners be shared functions: `this` leads to the link. */
export class LinkSocket extends WebSocket {
  link: NodeLink | null = null;
}

function wireOf(frame: WireFrame): Uint8Array {
  const { payload, bytes } = frame;
  const text = typeof payload === "string";
  const start = bytes < 126 ? 2 : bytes < 65_536 ? 4 : 10;
  const wire = Buffer.allocUnsafe(start + bytes);
  wire[0] = text ? 0x81 : 0x82;
  if (start === 2) {
    wire[1] = bytes;
  } else if (start === 4) {
    wire[1] = 126;
    wire.writeUInt16BE(bytes, 2);
  } else {
    wire[1] = 127;
    wire.writeUInt32BE(Math.floor(bytes / 2 ** 32), 2);
    wire.writeUInt32BE(bytes >>> 0, 6);
  }
  if (text) wire.write(payload, start);
  else wire.set(payload, start);
  frame.wire = wire;
  return wire;
}

/** Frames of a flush up to this size are joined in a buffer that is used again and again. */
const SCRATCH_BYTES = 16_384;

interface Flush {
  readonly count: number;
  readonly written: Written | undefined;
}

type Written = (error?: Error | null) => void;

/** How long until the next look at a TLS socket in which something waits that is not ours, such as a pong. */
const LOOK_MS = 5;

/** Writes a flush as one buffer: two thirds of the cost of cork and writev (Deno 2.9, 200 frames of 70 bytes). */
export class Joiner {
  #scratch: Buffer = Buffer.allocUnsafeSlow(SCRATCH_BYTES);

  /** @param written is called when the kernel has everything; with TLS only */
  write(socket: Socket, frames: readonly WireFrame[], { count, written }: Flush): void {
    const first = frames[0]!;
    if (count === 1) {
      socket.write(first.wire ?? wireOf(first), written);
      return;
    }
    let length = 0;
    for (let i = 0; i < count; i++) length += (frames[i]!.wire ?? wireOf(frames[i]!)).length;
    // TLS encrypts after `write` has returned, from the very bytes it was given.
    const reusable = written === undefined && length <= SCRATCH_BYTES && socket.writableLength === 0;
    const all = reusable ? this.#scratch : Buffer.allocUnsafe(length);
    for (let i = 0, at = 0; i < count; i++) {
      const wire = frames[i]!.wire!;
      all.set(wire, at);
      at += wire.length;
    }
    socket.write(reusable ? all.subarray(0, length) : all, written);
    // Nothing waits: the kernel has its copy. Otherwise the stream holds on to these bytes, and they are its own now.
    if (reusable && socket.writableLength > 0) this.#scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  }
}

/** A link on a socket that `ws` has upgraded. */
export class NodeLink implements Link {
  readonly transport = "websocket";
  readonly canPing = true;
  readonly datagrams = null;
  readonly remoteAddress: string;
  readonly #ws: LinkSocket;
  readonly #socket: Socket;
  readonly #handler: LinkHandler;
  readonly #joiner: Joiner;
  /** With TLS: told of every write. */
  readonly #written: Written | undefined;
  /** With TLS: writes that were not told of yet. */
  #unwritten = 0;
  #drainAwaited = false;
  #closed = false;
  // Why this side ended the link; 0 as long as it did not.
  #code = 0;
  #reason = "";

  constructor(
    ws: LinkSocket,
    socket: Socket,
    gateway: { remoteAddress: string; handler: LinkHandler; joiner: Joiner },
  ) {
    this.#ws = ws;
    this.#socket = socket;
    this.remoteAddress = gateway.remoteAddress;
    this.#handler = gateway.handler;
    this.#joiner = gateway.joiner;
    this.#written = "encrypted" in socket ? (error) => this.#wrote(error) : undefined;
  }

  open(): void {
    const ws = this.#ws;
    ws.link = this;
    ws.on("message", onMessage);
    ws.on("ping", onPing);
    ws.on("pong", onPong);
    countFragments(ws);
    ws.on("error", onError);
    ws.on("close", onClose);
    // Before the listener of `ws`, which would wait for the peer to read what it will never read.
    this.#socket.prependListener("end", () => {
      if (ws.readyState === WebSocket.OPEN) this.#socket.destroy();
    });
    this.#handler.open(this);
  }

  message(data: Buffer, isBinary: boolean): void {
    if (this.#code !== 0) return;
    if (isBinary) this.#handler.binary(data);
    else this.#handler.text(data.toString());
  }

  pong(): void {
    if (this.#code === 0) this.#handler.pong();
  }

  control(bytes: number): void {
    if (this.#code === 0) this.#handler.control(bytes);
  }

  /** `ws` found a broken frame and has sent the close frame; the peer need not be waited for. */
  failed(error: Error & { code?: string }): void {
    if (this.#code === 0) {
      this.#code = CLOSE_CODE[error.code ?? ""] ?? 1002;
      this.#reason = error.message;
    }
    this.closed(this.#code, this.#reason);
  }

  closed(code: number, reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#code === 0) this.#handler.onClose(code, reason);
    else this.#handler.onClose(this.#code, this.#reason);
  }

  write(frames: readonly WireFrame[], count: number): number {
    const socket = this.#socket;
    if (count === 0 || this.#ws.readyState !== WebSocket.OPEN || !socket.writable) return 0;
    const written = this.#written;
    if (written !== undefined) this.#unwritten++;
    this.#joiner.write(socket, frames, { count, written });
    const waiting = socket.writableLength;
    if (waiting > 0 && !this.#drainAwaited) {
      this.#drainAwaited = true;
      if (written === undefined) this.#awaitDrain();
    }
    return waiting;
  }

  // With TLS every write waits for a moment, and a second empty write would end the socket with EPERM (Deno 2.9.6).
  #wrote(error: Error | null | undefined): void {
    this.#unwritten--;
    if (!error) this.#lookForDrain();
  }

  #lookForDrain(): void {
    if (this.#unwritten > 0 || this.#closed || !this.#drainAwaited) return;
    if (this.#socket.writableLength > 0) {
      setTimeout(() => this.#lookForDrain(), LOOK_MS);
      return;
    }
    this.#drainAwaited = false;
    if (this.#code === 0) this.#handler.onDrain();
  }

  // The stream's own "drain" comes only above its high-water mark; an empty write's callback comes always.
  #awaitDrain(): void {
    this.#socket.write(NOTHING, (error) => {
      if (error || this.#closed) return;
      if (this.#socket.writableLength > 0) return this.#awaitDrain();
      this.#drainAwaited = false;
      if (this.#code === 0) this.#handler.onDrain();
    });
  }

  // `ws` has no option for an open socket; its receiver compares with this number at each frame (8.23).
  boundMessages(maxBytes: number): void {
    const { _receiver: receiver } = this.#ws as unknown as { _receiver: Receiver | null };
    if (receiver !== null) receiver._maxPayload = maxBytes;
  }

  bufferedBytes(): number {
    return this.#closed ? 0 : this.#socket.writableLength;
  }

  ping(): void {
    if (this.#ws.readyState === WebSocket.OPEN) this.#ws.ping();
  }

  pause(): void {
    this.#ws.pause();
  }

  resume(): void {
    this.#ws.resume();
  }

  close(code: number, reason: string): void {
    if (this.#code !== 0 || this.#ws.readyState !== WebSocket.OPEN) return;
    this.#code = code;
    this.#reason = reason;
    this.#ws.resume(); // a paused socket would never read the peer's answer
    this.#ws.close(code, reason);
  }

  terminate(): void {
    if (this.#closed) return;
    this.#code = 1006;
    this.#reason = "";
    this.#ws.terminate();
  }
}

function onMessage(this: WebSocket, data: unknown, isBinary: boolean): void {
  (this as LinkSocket).link!.message(data as Buffer, isBinary); // a Buffer, for binaryType is "nodebuffer"
}

function onPing(this: WebSocket, data: Buffer): void {
  (this as LinkSocket).link!.control(data.length);
}

/** The part of `ws`'s reader of frames (8.23) that no option reaches. */
interface Receiver {
  _fin: boolean;
  _maxPayload: number;
  link: NodeLink;
  dataMessage(done: unknown): void;
}

/** Has a link told of fragments, of which `ws` says nothing before the message is whole. */
function countFragments(ws: LinkSocket): void {
  const receiver = (ws as unknown as { _receiver: Receiver })._receiver;
  receiver.link = ws.link!;
  receiver.dataMessage = dataMessage;
}

function dataMessage(this: Receiver, done: unknown): void {
  const { dataMessage } = Object.getPrototypeOf(this) as Receiver;
  const whole = this._fin;
  dataMessage.call(this, done);
  if (!whole) this.link.control(0);
}

function onPong(this: WebSocket): void {
  (this as LinkSocket).link!.pong();
}

function onError(this: WebSocket, error: Error): void {
  (this as LinkSocket).link!.failed(error);
}

function onClose(this: WebSocket, code: number, reason: Buffer): void {
  (this as LinkSocket).link!.closed(code, reason.toString());
}
