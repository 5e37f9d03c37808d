// The port on `node:http(s)` and the package `ws`: the default on Deno, and it runs on Node.
// The server is here; a link, and how it writes, is in node_link.ts.

import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from "node:http";
import { createServer as createTlsServer, type Server as TlsServer } from "node:https";
import { type AddressInfo, connect, Server as NetServer, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { getRequestListener } from "@hono/node-server";
import { WebSocketServer } from "ws";
import {
  asksUpgrade,
  BROKEN,
  cannotListen,
  checkHandshake,
  type HeaderReader,
  type HttpRefusal,
  plainAddress,
  refusalHeaders,
} from "./handshake.ts";
import { DescriptorWatch } from "./descriptors.ts";
import { checkHead, pathAndQuery } from "./request_head.ts";
import { PLAIN, RequestTurns, TOO_BUSY, UPGRADES } from "./request_turns.ts";
import { Joiner, LinkSocket, NodeLink } from "./node_link.ts";
import type {
  ServerHandler,
  TlsPair,
  Transport,
  TransportLimits,
  TransportOptions,
  UpgradeAnswer,
} from "./port.ts";

const LIMITS: TransportLimits = {
  pings: true,
  terminates: true,
  pauses: true,
  showsControl: true,
  showsFragments: true,
  boundsFragments: true,
  deflates: false,
  renewsTls: true,
  fixed: { socketUnsentBytes: Infinity }, // Deno shows no descriptor
};

/** More headers than this are refused with 431, as on Bun. Deno 2.9 counts none, Node drops what is above in silence. */
const HEADERS_MAX = 198;

/** Connections that have sent no whole request yet; one more, and the one that has waited longest is dropped. */
const WAITING_MAX = 10_000;

/** How often a listener on Deno looks whether it still accepts, and how long that may take on a busy machine. */
const KNOCK_MS = 5_000;
const KNOCK_WAIT_MS = 4_000;

/** How long a peer may take to finish a close or to read a refusal before its socket is dropped. */
const LINGER_MS = 8_000;

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

/** Refuses in the request's turn: what was asked before on this connection is answered before. */
function answer(outgoing: ServerResponse, refusal: HttpRefusal): void {
  outgoing.writeHead(refusal.status, Object.fromEntries(refusalHeaders(refusal)));
  outgoing.end(refusal.body);
}

const TOO_MANY_HEADERS: HttpRefusal = {
  status: 431,
  headers: {},
  body: JSON.stringify({ code: "BAD_REQUEST", msg: `more than ${HEADERS_MAX} headers` }),
};

function hasTooManyHeaders(request: IncomingMessage): boolean {
  return request.rawHeaders.length > HEADERS_MAX * 2; // names and values
}

/** A header by its name; of several Host headers `node:http` shows one, and `hostOf` all. */
function headersOf(request: IncomingMessage): HeaderReader {
  return (name) => {
    const value = request.headers[name];
    return value === undefined ? null : Array.isArray(value) ? value.join(", ") : value;
  };
}

function hostOf({ rawHeaders }: IncomingMessage): string | null {
  const values = rawHeaders.filter((_, i) => i % 2 === 1 && rawHeaders[i - 1]!.toLowerCase() === "host");
  return values.length === 0 ? null : values.join(", ");
}

/** Why a request is not looked at any further, or null. */
function refusalOf(request: IncomingMessage, upgrades: boolean): HttpRefusal | null {
  if (hasTooManyHeaders(request)) return TOO_MANY_HEADERS;
  const { method = "", url: target = "", httpVersion: version } = request;
  return checkHead({ method, target, host: hostOf(request), version, upgrades });
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

/** The same for a TCP socket and for the TLS socket that stands on it. */
function nameOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort}`;
}

class NodeTransport implements Transport {
  readonly name = "node";
  readonly limits: TransportLimits = LIMITS;
  readonly #options: TransportOptions;
  /** Every TCP connection, whatever became of it. */
  readonly #sockets = new Set<Socket>();
  /** Those of them that have sent no request yet, by name, the oldest first. */
  readonly #waiting = new Map<string, Socket>();
  readonly #joiner = new Joiner();
  readonly #links = new Set<NodeLink>();
  readonly #upgrades: WebSocketServer;
  /** The subprotocol to select for a request that is being upgraded. */
  readonly #selected = new WeakMap<IncomingMessage, string>();
  #server: Server | TlsServer | null = null;
  #turns = 0;
  readonly #watch: DescriptorWatch;
  readonly #requests = new RequestTurns((task) => this.afterTurn(task), PLAIN);
  readonly #handshakes = new RequestTurns((task) => this.afterTurn(task), UPGRADES);
  #door: ServerHandler | null = null;
  #address: AddressInfo | null = null;
  #knocking: ReturnType<typeof setInterval> | null = null;

  constructor(options: TransportOptions) {
    this.#options = options;
    this.#upgrades = webSockets(options.maxMessageBytes, this.#selected);
    this.#watch = new DescriptorWatch({
      pause: () => this.#leave(),
      resume: () => this.#listen(this.#address!.port),
      told: (works, why) => this.#door!.accepting(works, why),
    }, options.yields);
  }

  async start(door: ServerHandler): Promise<{ readonly hostname: string; readonly port: number }> {
    const { hostname, port, maxHeaderBytes, headerTimeoutMs, tls } = this.#options;
    const bounds = {
      maxHeaderSize: maxHeaderBytes,
      headersTimeout: headerTimeoutMs,
      requestTimeout: Math.max(60_000, headerTimeoutMs),
      keepAliveTimeout: 10_000,
      connectionsCheckingInterval: Math.min(2_000, headerTimeoutMs / 4),
      // Without it every offer of another protocol would end here as an upgrade, its body unread.
      shouldUpgradeCallback: (request: IncomingMessage) => asksUpgrade(headersOf(request)),
      requireHostHeader: false, // `checkHead` says so, with a body
    };
    const server = tls === null
      ? createServer(bounds)
      : createTlsServer({ ...bounds, ...tls, handshakeTimeout: headerTimeoutMs });
    const listener = getRequestListener(
      (request, { incoming }) => {
        const { socket } = incoming as IncomingMessage;
        return door.request(request, plainAddress(socket.remoteAddress), () => socket.destroy());
      },
      { overrideGlobalObjects: false, hostname: "localhost" },
    );
    server.on("connection", (socket: Socket) => this.#follow(socket));
    server.on("clientError", (error: Error, socket: Duplex) => onClientError(error, socket as Socket));
    server.on("request", (incoming: IncomingMessage, outgoing: ServerResponse) => {
      this.#waiting.delete(nameOf(incoming.socket));
      const refused = refusalOf(incoming, false);
      if (refused !== null) return answer(outgoing, refused);
      incoming.url = pathAndQuery(incoming.url!)!; // whoever sends an absolute URL means its path
      // The listener takes a colon without a port for a broken Host.
      if (incoming.headers.host?.endsWith(":")) incoming.headers.host = incoming.headers.host.slice(0, -1);
      // What nobody has read of a body would be read to its end, however long that is.
      outgoing.once("finish", () => incoming.complete || incoming.socket.destroySoon());
      if (this.#requests.isFull) return answer(outgoing, TOO_BUSY);
      const wait = this.#requests.enter();
      if (wait === null) void listener(incoming, outgoing);
      else void wait.then(() => incoming.socket.destroyed ? undefined : listener(incoming, outgoing));
    });
    server.on("upgrade", async (request: IncomingMessage, stream: Duplex, head: Buffer) => {
      const socket = stream as Socket; // the type is a Duplex for those who bring their own
      this.#waiting.delete(nameOf(socket));
      const refused = refusalOf(request, true);
      if (refused !== null) return refuse(socket, refused);
      const remoteAddress = plainAddress(socket.remoteAddress);
      if (this.#handshakes.isFull) return refuse(socket, TOO_BUSY);
      const turn = this.#handshakes.enter();
      if (turn !== null) await turn;
      if (socket.destroyed) return;
      const verdict = await verdictOn(door, request, remoteAddress);
      if ("refuse" in verdict) return refuse(socket, verdict.refuse);
      if (verdict.protocol !== null) this.#selected.set(request, verdict.protocol);
      this.#upgrades.handleUpgrade(request, socket, head, (ws) => {
        const gateway = { remoteAddress, handler: verdict.accept, joiner: this.#joiner };
        const link = new NodeLink(ws as LinkSocket, socket, gateway);
        this.#links.add(link);
        socket.once("close", () => this.#links.delete(link));
        link.open();
      });
    });
    server.on("connect", (request: IncomingMessage, stream: Duplex) => {
      refuse(stream as Socket, refusalOf(request, false) ?? BROKEN);
    });
    server.on("error", ignore); // who listens hears of it by itself
    this.#server = server;
    this.#door = door;
    try {
      await this.#listen(port);
    } catch (cause) {
      this.#server = null;
      throw cannotListen(hostname, port, cause);
    }
    const bound = this.#address = server.address() as AddressInfo;
    this.#watch.start();
    if ("Deno" in globalThis) this.#knocking = setInterval(() => this.#knock(), KNOCK_MS);
    return { hostname: bound.address, port: bound.port };
  }

  #listen(port: number): Promise<void> {
    const server = this.#server!;
    return new Promise((resolve, reject) => {
      server.once("error", reject);
      server.listen({ port, host: this.#options.hostname, reusePort: this.#options.reusePort }, () => {
        server.off("error", reject);
        resolve();
      });
    });
  }

  /** Stops listening. Not `close` of `node:http`, which ends idle connections too. */
  #leave(): void {
    NetServer.prototype.close.call(this.#server!);
  }

  // Deno's listener hears nothing of a connection that it cannot accept, and never accepts again (2.9.6): a burst between
  // two looks would end it unseen. So it connects to itself now and then.
  #knock(): void {
    if (this.#watch.isPaused) return;
    const { address, port, family } = this.#address!;
    const wild = address === "0.0.0.0" || address === "::";
    const visitor = connect({ port, host: wild ? (family === "IPv6" ? "::1" : "127.0.0.1") : address });
    const timer = setTimeout(() => {
      visitor.destroy();
      if (this.#watch.isPaused || this.#server === null) return;
      this.#leave();
      this.#watch.failed("connections are accepted no more");
    }, KNOCK_WAIT_MS);
    const done = () => {
      clearTimeout(timer);
      visitor.destroy();
    };
    // Whatever comes, somebody was there: 400, or with TLS an end. An error is a descriptor that lacks, which the watch sees.
    for (const sign of ["data", "end", "close", "error"]) visitor.on(sign, done);
    visitor.write("knock\r\n\r\n");
  }

  /** Follows every TCP connection to its end, and bounds those that have sent no request yet. */
  #follow(socket: Socket): void {
    const name = nameOf(socket);
    this.#sockets.add(socket);
    this.#waiting.set(name, socket);
    if (this.#waiting.size > WAITING_MAX) {
      const [oldest, dropped] = this.#waiting.entries().next().value!;
      this.#waiting.delete(oldest);
      dropped.destroy();
    }
    socket.on("close", () => {
      this.#sockets.delete(socket);
      if (this.#waiting.get(name) === socket) this.#waiting.delete(name);
    });
    socket.on("error", ignore);
  }

  renewTls(tls: TlsPair): void {
    (this.#server as TlsServer).setSecureContext({ ...tls });
  }

  boundMessages(maxBytes: number): void {
    this.#upgrades.options.maxPayload = maxBytes;
    for (const link of this.#links) link.boundMessages(maxBytes);
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
    this.#watch.stop();
    if (this.#knocking !== null) clearInterval(this.#knocking);
    // It may have stopped listening already.
    const released = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await released;
  }
}

/** The half of `ws` that shakes hands; `selected` is where it looks up a request's subprotocol. */
function webSockets(maxPayload: number, selected: WeakMap<IncomingMessage, string>): WebSocketServer {
  const options = {
    noServer: true,
    clientTracking: false,
    // A peer that reads may send many pings at once: with 60, the default, it was cut off.
    maxPendingAutoPongs: 4096,
    perMessageDeflate: false,
    maxPayload,
    closeTimeout: LINGER_MS, // not in @types/ws 8.18
    WebSocket: LinkSocket,
    handleProtocols: (_offered: Set<string>, request: IncomingMessage) => selected.get(request) ?? false,
  } as const;
  return new WebSocketServer(options);
}

/** Checks the handshake and asks the gateway; a door that fails is a refusal without a word on why. */
async function verdictOn(
  door: ServerHandler,
  request: IncomingMessage,
  remoteAddress: string,
): Promise<UpgradeAnswer> {
  const header = headersOf(request);
  const malformed = checkHandshake(request.method ?? "", header);
  if (malformed !== null) return { refuse: malformed };
  try {
    return await door.upgrade({ target: pathAndQuery(request.url ?? "/")!, remoteAddress, header });
  } catch {
    return { refuse: BROKEN };
  }
}

/** A transport on `node:http` and `ws`; Deno and Node. */
export function createNodeTransport(options: TransportOptions): Transport {
  return new NodeTransport(options);
}
