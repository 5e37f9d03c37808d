// A link on a stream of bytes, framed as tcp_frames.ts says: a TCP connection, or the first stream of a WebTransport session.

import type { FrameWay, TransportName, WireFrame } from "../port.ts";
import type { ByteSocket } from "./byte_socket.ts";
import { FramedLink, type FramedLinkOptions, type Words } from "./framed_link.ts";
import { KIND, type Kind, tcpClose, tcpControl, type TcpEvents, tcpFrame, TcpReader } from "./tcp_frames.ts";

/** Frames of a peer that were on their way when it was told to go, among which its answer is looked for. */
const LATE_MAX = 1000;
const NOTHING = new Uint8Array(0);

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

const WORDS: Words = {
  ping: () => tcpControl(KIND.ping, NOTHING),
  pong: (payload) => tcpControl(KIND.pong, payload),
  close: tcpClose,
  answer: (code) => tcpClose(code === 1005 ? 1000 : code, ""),
};

export interface TcpLinkOptions extends FramedLinkOptions {
  readonly transport: TransportName;
  /** Beside the stream, where there are any. */
  readonly datagrams: FrameWay | null;
}

export class TcpLink extends FramedLink {
  readonly transport: TransportName;
  readonly datagrams: FrameWay | null;
  readonly #reader: TcpReader;

  constructor(socket: ByteSocket, options: TcpLinkOptions) {
    super(socket, options, WORDS);
    const { transport, datagrams, maxMessageBytes } = options;
    this.transport = transport;
    this.datagrams = datagrams;
    this.#reader = new TcpReader({ events: new Inbound(this), maxMessageBytes });
  }

  override pause(): void {
    // Nobody waits for the answer of a peer that is told to go and paused.
    if (this.code !== 0) this.#reader.leave(0);
    super.pause();
  }

  override close(code: number, reason: string): void {
    if (this.isOpen) this.#reader.leave(LATE_MAX);
    super.close(code, reason);
  }

  protected read(chunk: Uint8Array): void {
    this.#reader.read(chunk);
  }

  protected override saidClose(): void {
    this.socket.end();
  }

  /** The peer sends nothing more: it has answered our close, or has left without one. */
  protected override codeOfEnd(): number {
    return this.code === 0 ? 1006 : this.code;
  }

  // What comes beside the stream

  /** A hot frame that came by itself. */
  datagram(bytes: Uint8Array): void {
    if (bytes.length === 0) this.pinged(bytes); // nothing, which costs its sender what a ping does
    else this.message(KIND.hot, bytes);
  }

  /** Something came that says nothing, not even a ping; it costs as much. */
  noise(): void {
    if (this.isOpen) this.handler.control(0);
  }

  datagramsDrained(): void {
    if (this.isOpen) this.handler.onDatagramsDrain();
  }

  // What the reader finds

  message(kind: typeof KIND.ext | typeof KIND.hot | typeof KIND.cbor, body: Uint8Array): void {
    if (!this.isOpen) return;
    const { handler } = this;
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

  override pinged(body: Uint8Array): void {
    if (this.isOpen) this.handler.control(body.length);
    super.pinged(body);
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
