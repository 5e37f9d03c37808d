// A WebSocket peer made of bare TCP, for tests: it can break every rule of RFC 6455, one byte at a time, and can
// stop reading. It checks nothing and answers nothing by itself (no pong, no close echo): a test says what happens.
// Every wait has a deadline, so that a missing event is a named failure and not a hanging run.

import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";

/** How long a test waits for anything before it fails: never on a machine that is idle, and long enough on one that is busy. */
export const DEADLINE_MS = 20_000;

/** WebSocket opcodes. */
export const OP = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/** A frame as it was received. */
export interface ReceivedFrame {
  readonly fin: boolean;
  readonly rsv: number;
  readonly opcode: number;
  readonly masked: boolean;
  readonly payload: Buffer;
}

/** How a frame differs from a whole, masked one. */
export interface FrameShape {
  readonly fin?: boolean;
  /** The three reserved bits as a number: 4 is RSV1. */
  readonly rsv?: number;
  /** Null sends an unmasked frame, which a server must refuse. */
  readonly mask?: Uint8Array | null;
  /** A payload length to announce instead of the true one. */
  readonly announce?: bigint;
}

/** The head of an HTTP answer. */
export interface HttpHead {
  readonly status: number;
  /** Names in lower case; repeated ones joined by ", ". */
  readonly headers: ReadonlyMap<string, string>;
  /** As received, for what must not be in it. */
  readonly text: string;
}

/** Fails with `what` unless `promise` settles within the deadline. */
export function within<T>(promise: Promise<T>, what: string, deadlineMs = DEADLINE_MS): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`waited ${deadlineMs} ms for ${what}`)), deadlineMs);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** Builds one frame; masked with a fixed key unless `shape` says otherwise. */
export function frame(opcode: number, payload: string | Uint8Array = "", shape: FrameShape = {}): Buffer {
  const data = Buffer.from(payload as string); // copies, for it is masked in place
  const mask = shape.mask === undefined ? Uint8Array.of(0x37, 0xfa, 0x21, 0x3d) : shape.mask;
  const length = shape.announce ?? BigInt(data.length);
  const extended = length < 126n ? 0 : length < 65_536n ? 2 : 8;
  const head = Buffer.alloc(2 + extended);
  head[0] = (shape.fin === false ? 0 : 0x80) | ((shape.rsv ?? 0) << 4) | opcode;
  head[1] = (mask === null ? 0 : 0x80) | (extended === 0 ? Number(length) : extended === 2 ? 126 : 127);
  if (extended === 2) head.writeUInt16BE(Number(length), 2);
  if (extended === 8) head.writeBigUInt64BE(length, 2);
  if (mask === null) return Buffer.concat([head, data]);
  for (let i = 0; i < data.length; i++) data[i]! ^= mask[i % 4]!;
  return Buffer.concat([head, mask, data]);
}

/** The payload of a close frame. */
export function closePayload(code: number, reason = ""): Buffer {
  const payload = Buffer.alloc(2 + Buffer.byteLength(reason));
  payload.writeUInt16BE(code, 0);
  payload.write(reason, 2);
  return payload;
}

/** A valid handshake; `headers` adds to or, with the same name in lower case, replaces its lines (null removes one). */
export function handshake(target: string, headers: Record<string, string | null> = {}): string {
  const all: Record<string, string | null> = {
    host: "127.0.0.1",
    upgrade: "websocket",
    connection: "Upgrade",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    "sec-websocket-version": "13",
    ...headers,
  };
  const lines = Object.entries(all).flatMap(([name, value]) => value === null ? [] : [`${name}: ${value}`]);
  return `GET ${target} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`;
}

/** Where a client connects, and how. */
export interface Peer {
  readonly port: number;
  /** 127.0.0.1 unless it says otherwise. */
  readonly host?: string;
  /** With it the client speaks TLS, and trusts these certificates (PEM) only. */
  readonly ca?: string;
}

/** Passes bytes on between a client and a server. A TLS socket on Deno 2.9 reads on while it is paused; this does not. */
class Relay {
  /** The side towards the server. */
  readonly server: Socket;
  readonly port: number;
  #client: Socket | null = null;

  static of(server: Socket): Promise<Relay> {
    return new Promise((resolve) => {
      const listener = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
        listener.close();
        relay.#join(client);
      });
      let relay: Relay;
      listener.listen(0, "127.0.0.1", () => {
        relay = new Relay(server, (listener.address() as AddressInfo).port);
        resolve(relay);
      });
    });
  }

  private constructor(server: Socket, port: number) {
    this.server = server;
    this.port = port;
    server.setNoDelay();
  }

  #join(client: Socket): void {
    this.#client = client;
    const { server } = this;
    client.pipe(server);
    server.pipe(client);
    for (const [one, other] of [[client, server], [server, client]] as const) {
      one.on("error", () => other.destroy());
      one.on("close", () => other.destroy());
    }
  }

  pause(): void {
    this.server.unpipe();
    this.server.pause();
  }

  resume(): void {
    this.server.pipe(this.#client!);
  }
}

/** One TCP connection to a server under test, or a TLS connection on one. */
export class RawClient {
  readonly socket: Socket;
  /** What TLS goes through; null without TLS. */
  readonly #relay: Relay | null;
  /** Resolves when the connection is over, whichever way. */
  readonly gone: Promise<void>;
  #chunks: Buffer[] = [];
  #length = 0;
  #ended = false;
  #wake: (() => void) | null = null;

  /** Connects; a port alone is one of 127.0.0.1. */
  static connect(peer: number | Peer): Promise<RawClient> {
    const { port, host = "127.0.0.1", ca } = typeof peer === "number" ? { port: peer } as Peer : peer;
    return within(
      new Promise((resolve, reject) => {
        const tcp = connect({ port, host, allowHalfOpen: ca !== undefined });
        tcp.once("error", reject);
        tcp.once("connect", async () => {
          if (ca === undefined) return resolve(new RawClient(tcp, null));
          const relay = await Relay.of(tcp);
          const socket = connectTls({ port: relay.port, host: "127.0.0.1", servername: "localhost", ca });
          socket.once("error", reject);
          socket.once("secureConnect", () => resolve(new RawClient(socket, relay)));
        });
      }),
      `a connection to ${host}:${port}`,
    );
  }

  /** Connects and shakes hands; fails unless the answer is 101. */
  static async open(
    port: number | Peer,
    target = "/",
    headers: Record<string, string | null> = {},
  ): Promise<RawClient> {
    const client = await RawClient.connect(port);
    const head = await client.upgrade(target, headers);
    if (head.status !== 101) throw new Error(`expected 101, got ${head.text}`);
    return client;
  }

  private constructor(socket: Socket, relay: Relay | null) {
    this.socket = socket;
    this.#relay = relay;
    socket.setNoDelay();
    this.gone = new Promise((resolve) => {
      const over = () => {
        this.#ended = true;
        this.#wake?.();
        resolve();
      };
      socket.on("error", over);
      socket.on("end", over);
      socket.on("close", over);
    });
    socket.on("data", (chunk) => {
      this.#chunks.push(chunk as Buffer);
      this.#length += chunk.length;
      this.#wake?.();
    });
  }

  /** Sends bytes as they are. */
  send(bytes: string | Uint8Array): void {
    this.socket.write(bytes);
  }

  /** Sends one frame; see `frame`. */
  sendFrame(opcode: number, payload: string | Uint8Array = "", shape: FrameShape = {}): void {
    this.socket.write(frame(opcode, payload, shape));
  }

  /** Sends a whole masked text message. */
  text(message: string): void {
    this.sendFrame(OP.text, message);
  }

  /** Sends a whole masked binary message. */
  binary(message: Uint8Array): void {
    this.sendFrame(OP.binary, message);
  }

  /** Sends a close frame, empty without a code. */
  close(code?: number, reason = ""): void {
    this.sendFrame(OP.close, code === undefined ? "" : closePayload(code, reason));
  }

  /** Sends a handshake and reads the answer's head. */
  upgrade(target = "/", headers: Record<string, string | null> = {}): Promise<HttpHead> {
    this.send(handshake(target, headers));
    return this.head();
  }

  /** Reads the head of an HTTP answer. */
  async head(): Promise<HttpHead> {
    let end = -1;
    while ((end = this.#peek().indexOf("\r\n\r\n")) < 0) await this.#more("the head of an HTTP answer");
    const text = this.#take(end + 4).toString("latin1");
    const headers = new Map<string, string>();
    for (const line of text.split("\r\n").slice(1, -2)) {
      const colon = line.indexOf(":");
      const name = line.slice(0, colon).toLowerCase();
      const value = line.slice(colon + 1).trim();
      headers.set(name, headers.has(name) ? `${headers.get(name)}, ${value}` : value);
    }
    return { status: Number(text.slice(9, 12)), headers, text };
  }

  /** Reads the body that follows `head`, by its Content-Length or else to the end of the connection. */
  async body(head: HttpHead): Promise<string> {
    const length = head.headers.get("content-length");
    if (length === undefined) return await this.rest();
    while (this.#length < Number(length)) await this.#more("the body of an HTTP answer");
    return this.#take(Number(length)).toString();
  }

  /** Reads so many HTTP answers to their ends, and forgets them. */
  async answers(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      const head = await this.head();
      if (head.headers.has("content-length")) await this.body(head);
      else await this.#chunked();
    }
  }

  async #chunked(): Promise<void> {
    for (let size = -1; size !== 0;) {
      let end = -1;
      while ((end = this.#peek().indexOf("\r\n")) < 0) await this.#more("the size of a chunk");
      size = parseInt(this.#take(end + 2).toString("latin1"), 16);
      await this.bytes(size + 2);
    }
  }

  /** Reads exactly `count` bytes. */
  async bytes(count: number): Promise<Buffer> {
    while (this.#length < count) await this.#more(`${count} bytes`);
    return this.#take(count);
  }

  /** Reads the next frame of any kind; fails when the connection ends first. */
  async frame(): Promise<ReceivedFrame> {
    const [first, second] = await this.bytes(2) as unknown as [number, number];
    let length = second & 0x7f;
    if (length === 126) length = (await this.bytes(2)).readUInt16BE(0);
    else if (length === 127) length = Number((await this.bytes(8)).readBigUInt64BE(0));
    const masked = (second & 0x80) !== 0;
    if (masked) await this.bytes(4);
    const payload = await this.bytes(length);
    return { fin: (first & 0x80) !== 0, rsv: (first >> 4) & 7, opcode: first & 15, masked, payload };
  }

  /** Reads the next frame, which must be a text, and returns it. */
  async nextText(): Promise<string> {
    const { opcode, payload } = await this.frame();
    if (opcode !== OP.text) {
      throw new Error(`expected a text, got opcode ${opcode}: ${payload.toString("hex")}`);
    }
    return payload.toString();
  }

  /** Reads frames until a close, and returns its code (1005 for an empty one) and reason. */
  async nextClose(): Promise<{ code: number; reason: string }> {
    for (;;) {
      const { opcode, payload } = await this.frame();
      if (opcode !== OP.close) continue;
      if (payload.length === 0) return { code: 1005, reason: "" };
      return { code: payload.readUInt16BE(0), reason: payload.subarray(2).toString() };
    }
  }

  /** Reads everything until the connection is over. */
  async rest(): Promise<string> {
    await within(this.gone, "the end of the connection");
    return this.#take(this.#length).toString();
  }

  /** Stops reading: after some MB the kernel's buffers are full and the server meets backpressure. */
  pause(): void {
    if (this.#relay === null) this.socket.pause();
    else this.#relay.pause();
  }

  /** Reads on. */
  resume(): void {
    if (this.#relay === null) this.socket.resume();
    else this.#relay.resume();
  }

  /** Ends the connection politely (FIN). */
  end(): void {
    this.socket.end();
  }

  /** Ends the connection with a reset (RST). */
  reset(): void {
    (this.#relay?.server ?? this.socket).resetAndDestroy();
  }

  /** The common name of the server's certificate. */
  get certificateName(): unknown {
    return (this.socket as TLSSocket).getPeerCertificate().subject.CN;
  }

  /** Drops the connection. */
  destroy(): void {
    this.socket.destroy();
  }

  async #more(what: string): Promise<void> {
    if (this.#ended) throw new Error(`the connection ended before ${what}`);
    await within(new Promise<void>((resolve) => this.#wake = resolve), what);
    this.#wake = null;
  }

  #peek(): Buffer {
    if (this.#chunks.length > 1) this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0] ?? Buffer.alloc(0);
  }

  #take(count: number): Buffer {
    const all = this.#peek();
    this.#chunks = count < all.length ? [all.subarray(count)] : [];
    this.#length -= count;
    return all.subarray(0, count);
  }
}

/** The status that a handshake is answered with, whatever is in it; 0 when the connection ends without an answer. */
export async function statusOf(port: number | Peer, head: string): Promise<number> {
  const client = await RawClient.connect(port);
  client.send(head);
  try {
    return (await client.head()).status;
  } catch {
    return 0;
  } finally {
    client.destroy();
  }
}
