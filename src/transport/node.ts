// The port on `node:http` and the package `ws`: the default on Deno, and it runs on Node.
// `ws` does the handshake, reading, pings and closing; what the gateway sends goes around it, straight into the
// socket: a frame's WebSocket header and payload are joined once and kept in `frame.wire`, and a flush is one
// `socket.write`. Without permessage-deflate `ws` writes synchronously too, so the order holds.

import { createServer, type IncomingMessage, type Server, STATUS_CODES } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { getRequestListener } from "@hono/node-server";
import { WebSocket, WebSocketServer } from "ws";
import {
  BROKEN,
  cannotListen,
  checkHandshake,
  type HeaderReader,
  type HttpRefusal,
  plainAddress,
  refusalHeaders,
} from "./handshake.ts";
import type {
  Door,
  Link,
  LinkHandler,
  Transport,
  TransportLimits,
  TransportOptions,
  UpgradeAnswer,
  WireFrame,
} from "./port.ts";

const LIMITS: TransportLimits = { pings: true, terminates: true, pauses: true, boundsFragments: true };

/** How long a peer may take to finish a close or to read a refusal before its socket is dropped. */
const LINGER_MS = 8_000;

const NOTHING = new Uint8Array(0);

// `ws` has an error for each rule of the protocol, and closes with one of these codes; all others are 1002.
const CLOSE_CODE: Readonly<Record<string, number>> = {
  WS_ERR_INVALID_UTF8: 1007,
  WS_ERR_TOO_MANY_BUFFERED_PARTS: 1008,
  WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH: 1009,
  WS_ERR_UNSUPPORTED_MESSAGE_LENGTH: 1009,
};

/** Lets listeners be shared functions: `this` leads to the link. */
class LinkSocket extends WebSocket {
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

/** Writes a flush as one buffer: two thirds of the cost of cork and writev (Deno 2.9, 200 frames of 70 bytes). */
class Joiner {
  #scratch: Buffer = Buffer.allocUnsafeSlow(SCRATCH_BYTES);

  write(socket: Socket, frames: readonly WireFrame[], count: number): void {
    const first = frames[0]!;
    if (count === 1) {
      socket.write(first.wire ?? wireOf(first));
      return;
    }
    let length = 0;
    for (let i = 0; i < count; i++) length += (frames[i]!.wire ?? wireOf(frames[i]!)).length;
    const reusable = length <= SCRATCH_BYTES && socket.writableLength === 0;
    const all = reusable ? this.#scratch : Buffer.allocUnsafe(length);
    for (let i = 0, at = 0; i < count; i++) {
      const wire = frames[i]!.wire!;
      all.set(wire, at);
      at += wire.length;
    }
    socket.write(reusable ? all.subarray(0, length) : all);
    // Nothing waits: the kernel has its copy. Otherwise the stream holds on to these bytes, and they are its own now.
    if (reusable && socket.writableLength > 0) this.#scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  }
}

class NodeLink implements Link {
  readonly remoteAddress: string;
  readonly #ws: LinkSocket;
  readonly #socket: Socket;
  readonly #handler: LinkHandler;
  readonly #joiner: Joiner;
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
  }

  open(): void {
    const ws = this.#ws;
    ws.link = this;
    ws.on("message", onMessage);
    ws.on("pong", onPong);
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
    if (this.#code === 0) this.#handler.close(code, reason);
    else this.#handler.close(this.#code, this.#reason);
  }

  write(frames: readonly WireFrame[], count: number): number {
    const socket = this.#socket;
    if (count === 0 || this.#ws.readyState !== WebSocket.OPEN || !socket.writable) return 0;
    this.#joiner.write(socket, frames, count);
    const waiting = socket.writableLength;
    if (waiting > 0 && !this.#drainAwaited) this.#awaitDrain();
    return waiting;
  }

  // The stream's own "drain" comes only above its high-water mark; an empty write's callback comes always.
  #awaitDrain(): void {
    this.#drainAwaited = true;
    this.#socket.write(NOTHING, (error) => {
      this.#drainAwaited = false;
      if (error || this.#closed) return;
      if (this.#socket.writableLength > 0) this.#awaitDrain();
      else if (this.#code === 0) this.#handler.drain();
    });
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

function onPong(this: WebSocket): void {
  (this as LinkSocket).link!.pong();
}

function onError(this: WebSocket, error: Error): void {
  (this as LinkSocket).link!.failed(error);
}

function onClose(this: WebSocket, code: number, reason: Buffer): void {
  (this as LinkSocket).link!.closed(code, reason.toString());
}

function ignore(): void {}

/** Ends a socket that stays HTTP; drops it when the peer does not close its side. */
function farewell(socket: Socket, text: string): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once("close", () => clearTimeout(timer));
  socket.resume();
  socket.end(text);
}

function refuse(socket: Socket, refusal: HttpRefusal): void {
  const headers = refusalHeaders(refusal);
  headers.set("content-length", String(Buffer.byteLength(refusal.body)));
  let head = `HTTP/1.1 ${refusal.status} ${STATUS_CODES[refusal.status] ?? ""}\r\n`;
  for (const [name, value] of headers) head += `${name}: ${value}\r\n`;
  farewell(socket, `${head}\r\n${refusal.body}`);
}

// What `node:http` could not read as a request.
function onClientError(error: Error & { code?: string }, socket: Socket): void {
  const status = error.code === "HPE_HEADER_OVERFLOW"
    ? 431
    : error.code === "ERR_HTTP_REQUEST_TIMEOUT"
    ? 408
    : 400;
  if (error.code === "ECONNRESET") socket.destroy();
  else farewell(socket, `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nconnection: close\r\n\r\n`);
}

class NodeTransport implements Transport {
  readonly name = "node";
  readonly limits: TransportLimits = LIMITS;
  readonly #options: TransportOptions;
  /** Every TCP connection, whatever became of it. */
  readonly #sockets = new Set<Socket>();
  readonly #joiner = new Joiner();
  #server: Server | null = null;
  #turns = 0;

  constructor(options: TransportOptions) {
    this.#options = options;
  }

  start(door: Door): Promise<{ readonly hostname: string; readonly port: number }> {
    const { hostname, port, maxMessageBytes } = this.#options;
    const server = createServer({
      maxHeaderSize: 16_384,
      headersTimeout: 10_000,
      requestTimeout: 60_000,
      keepAliveTimeout: 10_000,
      connectionsCheckingInterval: 2_000,
    });
    const { sockets, selected } = webSockets(maxMessageBytes);
    const listener = getRequestListener(
      (request, { incoming }) =>
        door.request(request, plainAddress((incoming as IncomingMessage).socket.remoteAddress)),
      { overrideGlobalObjects: false },
    );
    server.on("request", (incoming, outgoing) => void listener(incoming, outgoing));
    const connections = this.#sockets;
    function onSocketClose(this: Socket): void {
      connections.delete(this);
    }
    server.on("connection", (socket: Socket) => {
      connections.add(socket);
      socket.on("close", onSocketClose);
      socket.on("error", ignore);
    });
    server.on("clientError", (error, socket) => onClientError(error, socket as Socket));
    server.on("upgrade", async (request: IncomingMessage, stream, head: Buffer) => {
      const socket = stream as Socket; // the type is a Duplex for those who bring their own
      const remoteAddress = plainAddress(socket.remoteAddress);
      const verdict = await verdictOn(door, request, remoteAddress);
      if ("refuse" in verdict) return refuse(socket, verdict.refuse);
      if (verdict.protocol !== null) selected.set(request, verdict.protocol);
      sockets.handleUpgrade(request, socket, head, (ws) => {
        const gateway = { remoteAddress, handler: verdict.accept, joiner: this.#joiner };
        new NodeLink(ws as LinkSocket, socket, gateway).open();
      });
    });
    return new Promise((resolve, reject) => {
      // After the start it is a connection that could not be accepted, and nobody's to mend here.
      server.on("error", (cause) => reject(cannotListen(hostname, port, cause)));
      server.listen(port, hostname, () => {
        this.#server = server;
        const bound = server.address() as AddressInfo;
        resolve({ hostname: bound.address, port: bound.port });
      });
    });
  }

  afterTurn(task: () => void): void {
    // On Deno immediates alone starve reading: 140 messages in 3 s against 15,959 with a timer each fifth turn.
    if (++this.#turns % 5 === 0) setTimeout(task, 0);
    else setImmediate(task);
  }

  async stop(): Promise<void> {
    const server = this.#server;
    if (server === null) return;
    this.#server = null;
    const released = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await released;
  }
}

/** The half of `ws` that shakes hands, and where it looks up which subprotocol was selected for a request. */
function webSockets(
  maxPayload: number,
): { sockets: WebSocketServer; selected: WeakMap<IncomingMessage, string> } {
  const selected = new WeakMap<IncomingMessage, string>();
  const options = {
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload,
    closeTimeout: LINGER_MS, // not in @types/ws 8.18
    WebSocket: LinkSocket,
    handleProtocols: (_offered: Set<string>, request: IncomingMessage) => selected.get(request) ?? false,
  } as const;
  return { sockets: new WebSocketServer(options), selected };
}

/** Checks the handshake and asks the gateway; a door that fails is a refusal without a word on why. */
async function verdictOn(
  door: Door,
  request: IncomingMessage,
  remoteAddress: string,
): Promise<UpgradeAnswer> {
  const header: HeaderReader = (name) => {
    const value = request.headers[name];
    return value === undefined ? null : Array.isArray(value) ? value.join(", ") : value;
  };
  const malformed = checkHandshake(request.method ?? "", header);
  if (malformed !== null) return { refuse: malformed };
  try {
    return await door.upgrade({ target: request.url ?? "/", remoteAddress, header });
  } catch {
    return { refuse: BROKEN };
  }
}

/** A transport on `node:http` and `ws`; Deno and Node. */
export function createNodeTransport(options: TransportOptions): Transport {
  return new NodeTransport(options);
}
