// `wt://`: WebTransport, with the runtime's own client. Messages go on one stream, framed as on plain TCP, hot ones too: they arrive
// in the order in which they were typed, which datagrams would not. Those of the gateway are datagrams.

import { Buffer } from "node:buffer";
import { KIND, tcpClose, tcpControl, TcpReader } from "../../transport/stream/tcp_frames.ts";
import { framed, MESSAGE_BYTES_MAX } from "./tcp_wire.ts";
import { authorityOf, queryOf, type Target, type Wire, type WireEvents } from "./wire.ts";

const WT_PATH = "/v1/wt";

/** Why this runtime cannot come in by this door; null where it can. */
export function noWebTransport(): string | null {
  return typeof WebTransport === "function"
    ? null
    : "Cannot connect by WebTransport: this runtime has no client for it; run wsPrism on Deno, with --unstable-net, for wt://";
}

export class WebTransportWire implements Wire {
  readonly #events: WireEvents;
  readonly #session: WebTransport;
  #stream: WritableStreamDefaultWriter<Uint8Array> | null = null;
  #isOver = false;

  constructor(target: Target, events: WireEvents) {
    this.#events = events;
    const query = queryOf(target);
    // Its handshake has no headers to say a ticket in.
    if (target.ticket !== null) query.set("ticket", target.ticket);
    const value = target.certificateHash;
    this.#session = new WebTransport(
      `https://${authorityOf(target)}${target.prefix}${WT_PATH}?${query}`,
      value === null ? {} : { serverCertificateHashes: [{ algorithm: "sha-256", value }] },
    );
    this.#session.closed.then(() => this.#end(1006), () => this.#end(1006));
    this.#open().catch((error) => this.#fail(error instanceof Error ? error.message : String(error)));
  }

  text(message: string): void {
    this.#write(framed(message, KIND.ext));
  }

  bytes(message: Uint8Array): void {
    this.#write(framed(message, KIND.hot));
  }

  close(): void {
    if (this.#stream === null) return this.#end(1006);
    this.#write(tcpClose(1000, ""));
  }

  async #open(): Promise<void> {
    const session = this.#session;
    await session.ready;
    const { readable, writable } = await session.createBidirectionalStream();
    this.#stream = writable.getWriter();
    this.#stream.closed.catch(() => {});
    this.#readDatagrams().catch(() => {});
    this.#readStreams().catch(() => {});
    this.#events.opened();
    await this.#read(readable);
  }

  async #read(stream: ReadableStream<Uint8Array>): Promise<void> {
    const frames = new TcpReader({
      maxMessageBytes: () => MESSAGE_BYTES_MAX,
      events: {
        message: (kind, body) => {
          if (kind === KIND.ext) this.#events.text(new TextDecoder().decode(body));
          else this.#events.bytes(body);
        },
        ping: (body) => this.#write(tcpControl(KIND.pong, body)),
        pong: () => {},
        closed: (code, reason) => this.#end(code, reason),
        violated: (_code, why) => this.#fail(`the other end does not speak this framing: ${why}`),
      },
    });
    for await (const chunk of stream) frames.read(chunk);
  }

  async #readDatagrams(): Promise<void> {
    for await (const datagram of this.#session.datagrams.readable) this.#events.bytes(Buffer.from(datagram));
  }

  /** Hot messages that no datagram holds: each is a stream. */
  async #readStreams(): Promise<void> {
    for await (const stream of this.#session.incomingUnidirectionalStreams) {
      this.#read(stream).catch(() => {});
    }
  }

  #write(bytes: Uint8Array): void {
    this.#stream?.write(bytes).catch(() => {}); // it is gone, and the session's end tells
  }

  #fail(why: string): void {
    if (this.#isOver) return;
    this.#events.failed(why);
    this.#end(1006);
  }

  #end(code: number, reason = ""): void {
    if (this.#isOver) return;
    this.#isOver = true;
    try {
      this.#session.close();
    } catch {
      // There never was one.
    }
    this.#events.closed(code, reason);
  }
}
