// A client of the TCP framing, written from docs/protocol.md and not from src/: one that can be trusted to disagree.

import { Buffer } from "node:buffer";
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { within } from "../raw_client.ts";

export interface TcpFrame {
  readonly kind: number;
  readonly body: Buffer;
}

/** Length, kind, body. */
export function tcpBytes(kind: number, body: string | Uint8Array): Buffer {
  const content = Buffer.from(body as string);
  const head = Buffer.alloc(5);
  head.writeUInt32LE(content.length + 1, 0);
  head[4] = kind;
  return Buffer.concat([head, content]);
}

export class TcpClient {
  readonly socket: Socket;
  readonly frames: TcpFrame[] = [];
  readonly closed: Promise<void>;
  received = 0;
  #left: Buffer = Buffer.alloc(0);
  #wake: (() => void) | null = null;
  #over = false;

  constructor(socket: Socket) {
    this.socket = socket;
    this.closed = new Promise((resolve) => {
      socket.on("end", () => this.#end(resolve));
      socket.on("close", () => this.#end(resolve));
    });
    socket.on("error", () => socket.destroy());
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
  }

  static async open(port: number, ca?: string): Promise<TcpClient> {
    const socket = ca === undefined
      ? connect({ port, host: "127.0.0.1" })
      : connectTls({ port, host: "127.0.0.1", ca, servername: "localhost" });
    const client = new TcpClient(socket);
    const ready = ca === undefined ? "connect" : "secureConnect";
    await within(new Promise((resolve) => socket.once(ready, resolve)), "a connection");
    return client;
  }

  send(kind: number, body: string | Uint8Array = ""): void {
    this.socket.write(tcpBytes(kind, body));
  }

  ext(svc: string, type: string, more: Record<string, unknown> = {}): void {
    this.send(1, JSON.stringify({ v: 1, svc, type, ...more }));
  }

  /** The next frame; null where nothing comes any more. */
  async next(): Promise<TcpFrame | null> {
    while (this.frames.length === 0 && !this.#over) {
      await within(new Promise<void>((resolve) => this.#wake = resolve), "a frame");
    }
    return this.frames.shift() ?? null;
  }

  /** The next frame as an ext message. */
  async message(): Promise<Record<string, unknown>> {
    const frame = await this.next();
    if (frame?.kind !== 1) throw new Error(`no ext message: ${JSON.stringify(frame)}`);
    return JSON.parse(frame.body.toString());
  }

  /** Code and reason of the next frame, a close. */
  async close(): Promise<readonly [number, string]> {
    const frame = await this.next();
    if (frame?.kind !== 3) throw new Error(`no close: ${JSON.stringify(frame)} ${frame?.body}`);
    return [frame.body.readUInt16LE(0), frame.body.subarray(2).toString()];
  }

  #read(chunk: Buffer): void {
    this.received += chunk.length;
    let all = Buffer.concat([this.#left, chunk]);
    while (all.length >= 5 && all.length >= 4 + all.readUInt32LE(0)) {
      const length = all.readUInt32LE(0);
      this.frames.push({ kind: all[4]!, body: all.subarray(5, 4 + length) });
      all = all.subarray(4 + length);
    }
    this.#left = all;
    this.#wake?.();
  }

  #end(resolve: () => void): void {
    this.#over = true;
    resolve();
    this.#wake?.();
  }
}
