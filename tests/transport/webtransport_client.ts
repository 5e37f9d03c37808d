// A client for WebTransport, written from docs/protocol.md and not from src/, on Deno's own WebTransport.

import { Buffer } from "node:buffer";
import { createHash, X509Certificate } from "node:crypto";
import { within } from "../raw_client.ts";
import { tcpBytes, type TcpFrame } from "./tcp_client.ts";

/** Whether this runtime has WebTransport at all. */
export const HAS_WEBTRANSPORT: boolean =
  typeof (globalThis as { WebTransport?: unknown }).WebTransport === "function" &&
  typeof (globalThis as { Deno?: { QuicEndpoint?: unknown } }).Deno?.QuicEndpoint === "function";

/** The hash by which a client knows a certificate that nobody has signed. */
export function certificateHash(pem: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(createHash("sha256").update(new X509Certificate(pem).raw).digest());
}

/** A queue that can be awaited. */
class Inbox<T> {
  readonly #items: T[] = [];
  #wake: (() => void) | null = null;
  #isOver = false;

  push(item: T): void {
    this.#items.push(item);
    this.#wake?.();
  }

  end(): void {
    this.#isOver = true;
    this.#wake?.();
  }

  /** @param what waits no longer than tests do; null waits as long as it takes */
  async next(what: string | null): Promise<T | null> {
    while (this.#items.length === 0 && !this.#isOver) {
      const more = new Promise<void>((resolve) => this.#wake = resolve);
      await (what === null ? more : within(more, what));
    }
    return this.#items.shift() ?? null;
  }

  take(): T[] {
    return this.#items.splice(0);
  }
}

export class WebTransportClient {
  readonly session: WebTransport;
  /** Resolves when the connection is gone. */
  readonly closed: Promise<void>;
  /** Hot frames that came by themselves. */
  readonly hot = new Inbox<Uint8Array>();
  /** Those of them that came on streams of their own. */
  large = 0;
  readonly #frames = new Inbox<TcpFrame>();
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #datagrams: WritableStreamDefaultWriter<Uint8Array>;
  #reading = true;
  #resumed: (() => void) | null = null;

  private constructor(session: WebTransport, stream: WebTransportBidirectionalStream) {
    this.session = session;
    this.closed = session.closed.then(() => {}, () => {});
    this.#writer = stream.writable.getWriter();
    this.#datagrams = session.datagrams.writable.getWriter();
    this.#writer.closed.catch(() => {});
    this.#datagrams.closed.catch(() => {});
    void this.closed.then(() => {
      this.#frames.end();
      this.hot.end();
    });
    void this.#read(stream.readable, (frame) => this.#frames.push(frame));
    void this.#readDatagrams();
    void this.#readStreams();
  }

  static async open(port: number, cert: string, target = "/v1/wt"): Promise<WebTransportClient> {
    const session = new WebTransport(`https://127.0.0.1:${port}${target}`, {
      serverCertificateHashes: [{ algorithm: "sha-256", value: certificateHash(cert) }],
    });
    session.closed.catch(() => {});
    await within(session.ready, "a WebTransport session");
    return new WebTransportClient(session, await session.createBidirectionalStream());
  }

  /** Bytes on the stream. */
  write(bytes: Uint8Array): void {
    this.#writer.write(bytes).catch(() => {});
  }

  send(kind: number, body: string | Uint8Array = ""): void {
    this.write(tcpBytes(kind, body));
  }

  ext(svc: string, type: string, more: Record<string, unknown> = {}): void {
    this.send(1, JSON.stringify({ v: 1, svc, type, ...more }));
  }

  datagram(...bytes: number[]): void {
    this.#datagrams.write(Uint8Array.from(bytes)).catch(() => {});
  }

  /** A stream with these bytes. */
  async stream(bytes: Uint8Array): Promise<void> {
    const writer = (await this.session.createUnidirectionalStream()).getWriter();
    await writer.write(bytes);
    await writer.close();
  }

  async next(): Promise<TcpFrame | null> {
    return await this.#frames.next("a frame");
  }

  /** The same, however long it takes. */
  async waits(): Promise<TcpFrame | null> {
    return await this.#frames.next(null);
  }

  /** The next frame as an ext message. */
  async message(): Promise<Record<string, unknown>> {
    const frame = await this.next();
    if (frame?.kind !== 1) throw new Error(`no ext message: ${JSON.stringify(frame)}`);
    return JSON.parse(frame.body.toString());
  }

  /** The next ext message of this type; others are passed over. */
  async until(type: string): Promise<Record<string, unknown>> {
    for (;;) {
      const frame = await this.next();
      if (frame === null) throw new Error(`it ended without ${type}`);
      if (frame.kind !== 1) continue;
      const message = JSON.parse(frame.body.toString());
      if (message.type === type) return message;
    }
  }

  /** Code and reason of the next frame, a close. */
  async close(): Promise<readonly [number, string]> {
    const frame = await this.next();
    if (frame?.kind !== 3) throw new Error(`no close: ${JSON.stringify(frame)} ${frame?.body}`);
    return [frame.body.readUInt16LE(0), frame.body.subarray(2).toString()];
  }

  /** Frames that came on the stream and were not asked for. */
  taken(): TcpFrame[] {
    return this.#frames.take();
  }

  pause(): void {
    this.#reading = false;
  }

  resume(): void {
    this.#reading = true;
    this.#resumed?.();
  }

  leave(): void {
    try {
      this.session.close();
    } catch {
      // It is gone.
    }
  }

  async #read(readable: ReadableStream<Uint8Array>, tell: (frame: TcpFrame) => void): Promise<void> {
    let all: Buffer = Buffer.alloc(0);
    try {
      for await (const chunk of readable) {
        while (!this.#reading) await new Promise<void>((resolve) => this.#resumed = resolve);
        all = all.length === 0 ? Buffer.from(chunk) : Buffer.concat([all, chunk]);
        while (all.length >= 5 && all.length >= 4 + all.readUInt32LE(0)) {
          const length = all.readUInt32LE(0);
          tell({ kind: all[4]!, body: all.subarray(5, 4 + length) });
          all = all.subarray(4 + length);
        }
      }
    } catch {
      // The connection is gone.
    }
  }

  async #readDatagrams(): Promise<void> {
    const reader = this.session.datagrams.readable.getReader();
    try {
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        this.hot.push(value);
      }
    } catch {
      // The connection is gone.
    }
  }

  async #readStreams(): Promise<void> {
    try {
      for await (const stream of this.session.incomingUnidirectionalStreams) {
        void this.#read(stream, ({ body }) => {
          this.large++;
          this.hot.push(body);
        });
      }
    } catch {
      // The connection is gone.
    }
  }
}
