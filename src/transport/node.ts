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

function joined(frames: readonly WireFrame[], count: number): Uint8Array {
  const first = frames[0]!;
  if (count === 1) return first.wire ?? wireOf(first);
  let length = 0;
  for (let i = 0; i < count; i++) length += (frames[i]!.wire ?? wireOf(frames[i]!)).length;
  const all = Buffer.allocUnsafe(length);
  for (let i = 0, at = 0; i < count; i++) {
    const wire = frames[i]!.wire!;
    all.set(wire, at);
    at += wire.length;
  }
  return all;
}

class NodeLink implements Link {
  readonly remoteAddress: string;
  readonly #ws: LinkSocket;
  readonly #socket: Socket;
  readonly #handler: LinkHandler;
  #drainAwaited = false;
  #closed = false;
  // The code and reason of whoever ended the link first, when that was us; 0 for the peer.
  #code = 0;
  #reason = "";

  constructor(ws: LinkSocket, socket: Socket, remoteAddress: string, handler: LinkHandler) {
    this.#ws = ws;
    this.#socket = socket;
    this.remoteAddress = remoteAddress;
    this.#handler = handler;
  }

  open(): void {
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
    if (this.#code === 0) this.#code = CLOSE_CODE[error.code ?? ""] ?? 1002;
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
    socket.write(joined(frames, count));
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
      else this.#handler.drain();
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
  readonly #links = new Set<NodeLink>();
  #server: Server | null = null;
  #turns = 0;

  constructor(options: TransportOptions) {
    this.#options = options;
  }

  start(door: Door): Promise<{ readonly hostname: string; readonly port: number }> {
    const { hostname, port, maxMessageBytes } = this.#options;
    // deno-lint-ignore no-explicit-any -- `closeTimeout` and `autoPong` are missing in @types/ws 8.18
    const wsOptions: any = {
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: maxMessageBytes,
      closeTimeout: LINGER_MS,
      WebSocket: LinkSocket,
      handleProtocols: (_offered: Set<string>, request: IncomingMessage) => selected.get(request) ?? false,
    };
    const selected = new WeakMap<IncomingMessage, string>();
    const wss = new WebSocketServer(wsOptions);
    const listener = getRequestListener(
      (request, env) =>
        door.request(request, plainAddress((env.incoming as IncomingMessage).socket.remoteAddress)),
      { overrideGlobalObjects: false },
    );
    const server = createServer({
      maxHeaderSize: 16_384,
      headersTimeout: 10_000,
      requestTimeout: 60_000,
      keepAliveTimeout: 10_000,
      connectionsCheckingInterval: 2_000,
    }, (incoming, outgoing) => void listener(incoming, outgoing));
    server.on("connection", (socket: Socket) => socket.on("error", ignore));
    server.on("clientError", (error, socket) => onClientError(error, socket as Socket));
    server.on("upgrade", async (request: IncomingMessage, stream, head: Buffer) => {
      const socket = stream as Socket;
      const header: HeaderReader = (name) => {
        const value = request.headers[name];
        return value === undefined ? null : Array.isArray(value) ? value.join(", ") : value;
      };
      const malformed = checkHandshake(request.method ?? "", header);
      if (malformed !== null) return refuse(socket, malformed);
      const remoteAddress = plainAddress(socket.remoteAddress);
      const pending = door.upgrade({ target: request.url ?? "/", remoteAddress, header });
      const verdict = pending instanceof Promise ? await watched(socket, pending) : pending;
      if ("refuse" in verdict) return refuse(socket, verdict.refuse);
      if (verdict.protocol !== null) selected.set(request, verdict.protocol);
      wss.handleUpgrade(
        request,
        socket,
        head,
        (ws) => this.#open(ws as LinkSocket, socket, remoteAddress, verdict.accept),
      );
    });
    return new Promise((resolve, reject) => {
      server.once("error", (cause) => reject(cannotListen(hostname, port, cause)));
      server.listen(port, hostname, () => {
        this.#server = server;
        const bound = server.address() as AddressInfo;
        resolve({ hostname: bound.address, port: bound.port });
      });
    });
  }

  #open(ws: LinkSocket, socket: Socket, remoteAddress: string, handler: LinkHandler): void {
    const link = new NodeLink(ws, socket, remoteAddress, handler);
    ws.link = link;
    this.#links.add(link);
    ws.on("message", onMessage);
    ws.on("pong", onPong);
    ws.on("error", onError);
    ws.on("close", (code, reason) => {
      this.#links.delete(link);
      link.closed(code, reason.toString());
    });
    link.open();
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
    server.closeAllConnections();
    for (const link of this.#links) link.terminate();
    await released;
  }
}

/** Waits for the gateway's answer while reading on, so that a peer that leaves meanwhile is noticed. */
async function watched(socket: Socket, answer: Promise<UpgradeAnswer>): Promise<UpgradeAnswer> {
  const peek = () => void socket.read(0);
  socket.on("readable", peek);
  try {
    return await answer;
  } catch {
    return { refuse: BROKEN };
  } finally {
    socket.off("readable", peek);
  }
}

/** A transport on `node:http` and `ws`; Deno and Node. */
export function createNodeTransport(options: TransportOptions): Transport {
  return new NodeTransport(options);
}
