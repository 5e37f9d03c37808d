// A link on a stream of bytes, framed as tcp_frames.ts says: a TCP connection, or the first stream of a WebTransport session.

import type { FrameWay, Link, LinkHandler, TransportName, WireFrame } from "../port.ts";
import type { ByteEvents, ByteSocket } from "./byte_socket.ts";
import { KIND, type Kind, tcpClose, tcpControl, type TcpEvents, tcpFrame, TcpReader } from "./tcp_frames.ts";

/** Answers to pings that may wait for a peer that reads none of them. */
const PONGS_BYTES_MAX = 16_384;
/** Frames of a peer that were on their way when it was told to go, among which its answer is looked for. */
const LATE_MAX = 1000;
/** How long a peer may take to read a last word before its socket is dropped. */
const LINGER_MS = 8_000;
const NOTHING = new Uint8Array(0);
/** Of a frame's header. */
const HEADER_BYTES = 5;

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Bytes that begin as a CBOR map are an ext message; no hot frame does. */
function isCbor(bytes: Uint8Array): boolean {
  return bytes[0]! >> 5 === 5;
}

/** A frame's form on this wire. */
export function wireOf(frame: WireFrame): Uint8Array {
  if (frame.tcpWire !== null) return frame.tcpWire;
  const { payload } = frame;
  const kind: Kind = typeof payload === "string" ? KIND.ext : isCbor(payload) ? KIND.cbor : KIND.hot;
  return tcpFrame(frame, kind);
}

export interface TcpLinkOptions {
  readonly transport: TransportName;
  /** Beside the stream, where there are any. */
  readonly datagrams: FrameWay | null;
  readonly handler: LinkHandler;
  /** Brings a flush into one piece. */
  readonly join: (frames: readonly WireFrame[], count: number) => Uint8Array;
  readonly maxMessageBytes: () => number;
  /** It is gone. */
  readonly ended: () => void;
}

export class TcpLink implements Link, ByteEvents {
  readonly transport: TransportName;
  readonly canPing = true;
  readonly datagrams: FrameWay | null;
  readonly remoteAddress: string;
  readonly #socket: ByteSocket;
  readonly #options: TcpLinkOptions;
  readonly #reader: TcpReader;
  #isOver = false;
  // Why this side ended the link; 0 as long as it did not.
  #code = 0;
  #reason = "";
  #pongsWaiting = 0;
  #isGone = false;
  #lingering: ReturnType<typeof setTimeout> | null = null;

  constructor(socket: ByteSocket, options: TcpLinkOptions) {
    this.#socket = socket;
    this.#options = options;
    this.transport = options.transport;
    this.datagrams = options.datagrams;
    this.remoteAddress = socket.remoteAddress;
    this.#reader = new TcpReader({ events: new Inbound(this), maxMessageBytes: options.maxMessageBytes });
  }

  write(frames: readonly WireFrame[], count: number): number {
    if (count === 0 || this.#isOver || this.#code !== 0) return 0;
    return this.#socket.write(this.#options.join(frames, count));
  }

  bufferedBytes(): number {
    return this.#isOver ? 0 : this.#socket.waitingBytes();
  }

  ping(): void {
    if (!this.#isOver && this.#code === 0) this.#socket.write(tcpControl(KIND.ping, NOTHING));
  }

  pause(): void {
    // Nobody waits for the answer of a peer that is told to go and paused.
    if (this.#code !== 0) this.#reader.leave(0);
    if (!this.#isOver) this.#socket.pause();
  }

  resume(): void {
    if (!this.#isOver) this.#socket.resume();
  }

  close(code: number, reason: string): void {
    if (this.#isOver || this.#code !== 0) return;
    this.#code = code;
    this.#reason = reason;
    this.#reader.leave(LATE_MAX);
    this.#socket.resume(); // a paused socket would never read the peer's answer
    this.#socket.write(tcpClose(code, reason));
    this.#socket.end();
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

  /** The peer sends nothing more: it has answered our close, or has left without one. */
  ended(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    if (this.#lingering !== null) clearTimeout(this.#lingering);
    this.#lingering = null;
    if (!this.#isOver) this.#over(this.#code === 0 ? 1006 : this.#code, this.#reason);
    this.#socket.destroy();
  }

  // What comes beside the stream

  /** A hot frame that came by itself. */
  datagram(bytes: Uint8Array): void {
    if (bytes.length === 0) this.pinged(bytes); // nothing, which costs its sender what a ping does
    else this.message(KIND.hot, bytes);
  }

  datagramsDrained(): void {
    if (!this.#isOver && this.#code === 0) this.#options.handler.onDatagramsDrain();
  }

  // What the reader finds

  message(kind: typeof KIND.ext | typeof KIND.hot | typeof KIND.cbor, body: Uint8Array): void {
    if (this.#code !== 0 || this.#isOver) return;
    const { handler } = this.#options;
    if (kind === KIND.ext) {
      let text: string;
      try {
        text = decoder.decode(body);
      } catch {
        return this.violated(1007, "a text that is no UTF-8");
      }
      return handler.text(text);
    }
    // Above, the first byte tells one from the other; here the kind has to agree with it.
    if (body.length > 0 && isCbor(body) !== (kind === KIND.cbor)) {
      return this.violated(1002, "a body that is not what its kind says");
    }
    handler.binary(body);
  }

  pinged(body: Uint8Array): void {
    if (this.#code !== 0 || this.#isOver) return;
    this.#options.handler.control(body.length);
    if (this.#code !== 0 || this.#isOver) return;
    // A peer that reads none of the answers is dropped.
    if (
      this.#socket.waitingBytes() > 0 && (this.#pongsWaiting += body.length + HEADER_BYTES) > PONGS_BYTES_MAX
    ) {
      return this.terminate();
    }
    if (this.#socket.write(tcpControl(KIND.pong, body)) === 0) this.#pongsWaiting = 0;
  }

  ponged(): void {
    if (this.#code === 0 && !this.#isOver) this.#options.handler.pong();
  }

  /** The peer's close: the answer to ours, or answered here. */
  closed(code: number, reason: string): void {
    if (this.#isOver) return;
    if (this.#code !== 0) return this.#leave(this.#code, this.#reason);
    this.#socket.write(tcpClose(code === 1005 ? 1000 : code, ""));
    this.#leave(code, reason);
  }

  violated(code: number, why: string): void {
    if (this.#isOver) return;
    if (this.#code !== 0) return this.#leave(this.#code, this.#reason);
    this.#socket.write(tcpClose(code, why));
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
class Inbound implements TcpEvents {
  readonly #link: TcpLink;

  constructor(link: TcpLink) {
    this.#link = link;
  }

  message(kind: typeof KIND.ext | typeof KIND.hot | typeof KIND.cbor, body: Uint8Array): void {
    this.#link.message(kind, body);
  }

  ping(body: Uint8Array): void {
    this.#link.pinged(body);
  }

  pong(): void {
    this.#link.ponged();
  }

  closed(code: number, reason: string): void {
    this.#link.closed(code, reason);
  }

  violated(code: number, why: string): void {
    this.#link.violated(code, why);
  }
}
