// The port on `Bun.serve`. One handler object serves all sockets; each finds its link in `socket.data`.
// Bun's own idling, pings and compression are off: the gateway keeps time itself.
// A message, open or drain callback is corked by Bun, and a corked socket reads as 0 buffered; so the gateway
// writes after the turn, where `getBufferedAmount` is exact.

import http from "node:http";
import {
  asksUpgrade,
  BROKEN,
  cannotListen,
  checkHandshake,
  type HeaderReader,
  plainAddress,
  refusalResponse,
} from "./handshake.ts";
import type {
  Door,
  Link,
  LinkHandler,
  TlsPair,
  Transport,
  TransportLimits,
  TransportOptions,
  WireFrame,
} from "./port.ts";
import { type SocketCalls, socketCalls } from "./unsent_bytes.ts";

// The part of Bun's types that this file uses (https://bun.com/reference/bun/serve); `bun-types` would clash with Deno's.
interface BunSocket {
  readonly data: BunLink;
  readonly remoteAddress: string;
  send(payload: string | Uint8Array): number;
  cork(callback: (socket: BunSocket) => void): void;
  getBufferedAmount(): number;
  ping(): number;
  pause(): void;
  resume(): void;
  close(code: number, reason: string): void;
  terminate(): void;
}

interface BunServer {
  readonly hostname: string;
  readonly port: number;
  requestIP(request: Request): { readonly address: string } | null;
  upgrade(request: Request, options: { data: BunLink; headers: Record<string, string> }): boolean;
  stop(closeActiveConnections: boolean): Promise<void>;
  reload(handlers: BunHandlers): void;
}

interface BunHandlers {
  fetch(request: Request, server: BunServer): Promise<Response | undefined>;
  error(error: unknown): Response;
  websocket: {
    maxPayloadLength: number;
    backpressureLimit: number;
    closeOnBackpressureLimit: boolean;
    idleTimeout: number;
    sendPings: boolean;
    perMessageDeflate: boolean;
    open(socket: BunSocket): void;
    message(socket: BunSocket, message: string | Uint8Array): void;
    ping(socket: BunSocket): void;
    pong(socket: BunSocket): void;
    drain(socket: BunSocket): void;
    close(socket: BunSocket, code: number, reason: string): void;
  };
}

interface BunRuntime {
  serve(
    options: BunHandlers & {
      hostname: string;
      port: number;
      development: false;
      reusePort: false;
      tls?: TlsPair;
    },
  ): BunServer;
}

/** Bun drops what has sent no whole head after this time, TLS handshake included, and has no option for it (1.4.5). */
const HEADER_TIMEOUT_MS = 12_000;

const LIMITS: TransportLimits = {
  pings: true,
  terminates: true,
  pauses: true,
  boundsFragments: true,
  renewsTls: true,
  fixed: { headerTimeoutMs: HEADER_TIMEOUT_MS },
};

/** Bun answers every ping by itself, without a bound; a peer that reads none of the answers is dropped (as `ws` does). */
const PONGS_WAITING_MAX = 60;

class BunLink implements Link {
  readonly remoteAddress: string;
  readonly handler: LinkHandler;
  #socket: BunSocket | null = null;
  // What the cork callback sends; set only within `write`.
  #frames = NO_FRAMES;
  #count = 0;
  #pongsWaiting = 0;

  constructor(remoteAddress: string, handler: LinkHandler) {
    this.remoteAddress = remoteAddress;
    this.handler = handler;
  }

  opened(socket: BunSocket): void {
    this.#socket = socket;
    this.handler.open(this);
  }

  closed(code: number, reason: string): void {
    this.#socket = null;
    this.handler.onClose(code, reason);
  }

  pinged(socket: BunSocket): void {
    if (socket.getBufferedAmount() > 0 && ++this.#pongsWaiting > PONGS_WAITING_MAX) socket.terminate();
  }

  drained(socket: BunSocket): void {
    if (socket.getBufferedAmount() > 0) return;
    this.#pongsWaiting = 0;
    this.handler.onDrain();
  }

  write(frames: readonly WireFrame[], count: number): number {
    const socket = this.#socket;
    if (socket === null || count === 0) return 0;
    if (count === 1) {
      // A positive result says that nothing waits, for less than asking.
      if (socket.send(frames[0]!.payload) > 0) return 0;
    } else {
      this.#frames = frames;
      this.#count = count;
      socket.cork(sendCorked);
      this.#frames = NO_FRAMES;
    }
    return socket.getBufferedAmount();
  }

  sendAll(socket: BunSocket): void {
    const frames = this.#frames;
    const count = this.#count;
    for (let i = 0; i < count; i++) socket.send(frames[i]!.payload);
  }

  bufferedBytes(): number {
    return this.#socket?.getBufferedAmount() ?? 0;
  }

  ping(): void {
    this.#socket?.ping();
  }

  pause(): void {
    this.#socket?.pause();
  }

  resume(): void {
    this.#socket?.resume();
  }

  close(code: number, reason: string): void {
    this.#socket?.close(code, reason);
  }

  terminate(): void {
    this.#socket?.terminate();
  }
}

const NO_FRAMES: readonly WireFrame[] = [];

function sendCorked(socket: BunSocket): void {
  socket.data.sendAll(socket);
}

/** Path and query of a request; Bun's `url` is absolute unless the Host header was unusable. */
function targetOf(url: string): string {
  const start = url.indexOf("/", url.indexOf("://") + 3);
  return start < 0 ? "/" : url.slice(start);
}

/** What Bun has told a peer whose frames were broken; to the close callback it says 1006 and a description. */
function violationCode(description: string): number {
  if (description === "") return 1006;
  return description.includes("too big message") ? 1009 : description.includes("UTF-8") ? 1007 : 1002;
}

class BunTransport implements Transport {
  readonly name = "bun";
  #limits: TransportLimits = LIMITS;
  readonly #options: TransportOptions;
  readonly #links = new Set<BunLink>();
  /** Servers that listen no more, each kept by the links that it accepted. */
  readonly #former = new Set<BunServer>();
  #door: Door | null = null;
  #server: BunServer | null = null;
  #tls: TlsPair | null;
  #maxMessageBytes: number;
  #socketCalls: SocketCalls | null = null;

  constructor(options: TransportOptions) {
    this.#options = options;
    this.#tls = options.tls;
    this.#maxMessageBytes = options.maxMessageBytes;
  }

  get limits(): TransportLimits {
    return this.#limits;
  }

  async start(door: Door): Promise<{ readonly hostname: string; readonly port: number }> {
    const { hostname, port, maxHeaderBytes } = this.#options;
    // One number for all servers of the process; Bun's types call it constant, and its server obeys it (1.4.5).
    (http as { maxHeaderSize: number }).maxHeaderSize = maxHeaderBytes;
    this.#door = door;
    this.#socketCalls = await socketCalls();
    try {
      this.#server = this.#serve(port, this.#tls);
      return { hostname: this.#server.hostname, port: this.#server.port };
    } catch (cause) {
      throw cannotListen(hostname, port, cause);
    }
  }

  #serve(port: number, tls: TlsPair | null): BunServer {
    const { hostname, socketUnsentBytes } = this.#options;
    const { Bun } = globalThis as unknown as { Bun: BunRuntime };
    const server = Bun.serve({
      hostname,
      port,
      development: false,
      reusePort: false, // said aloud, for outside of development Bun's default lets two servers share a port
      ...(tls === null ? {} : { tls: { cert: tls.cert, key: tls.key } }),
      ...this.#handlers(),
    });
    // In the turn in which it began to listen, so before it accepts anybody.
    const bounded = socketUnsentBytes === 0 || this.#socketCalls?.boundUnsent(server.port, socketUnsentBytes);
    const fixed = bounded ? LIMITS.fixed : { ...LIMITS.fixed, socketUnsentBytes: Infinity };
    this.#limits = { ...LIMITS, fixed };
    return server;
  }

  #handlers(): BunHandlers {
    const door = this.#door!;
    return {
      fetch: (request, server) => this.#answer(door, request, server),
      error: () => refusalResponse(BROKEN),
      websocket: {
        maxPayloadLength: this.#maxMessageBytes,
        backpressureLimit: 0, // none: the outbox bounds what waits, and `send` then never drops
        closeOnBackpressureLimit: false,
        idleTimeout: 0,
        sendPings: false,
        perMessageDeflate: false,
        open: (socket) => {
          this.#links.add(socket.data);
          socket.data.opened(socket);
        },
        message: (socket, message) => {
          if (typeof message === "string") socket.data.handler.text(message);
          else socket.data.handler.binary(message);
        },
        ping: (socket) => socket.data.pinged(socket),
        pong: (socket) => socket.data.handler.pong(),
        drain: (socket) => socket.data.drained(socket),
        close: (socket, code, reason) => {
          this.#links.delete(socket.data);
          socket.data.closed(code === 1006 ? violationCode(reason) : code, reason);
        },
      },
    };
  }

  // Bun ignores `reload({ tls })`. A server that is stopped keeps its links, and the port is free in the same turn, so
  // that its successor misses only who was connecting in that instant (one or two of eight that never stop trying).
  renewTls(tls: TlsPair): void {
    const former = this.#server!;
    const { port } = former; // a stopped server has none
    const stopped = former.stop(false);
    this.#former.add(former);
    void stopped.then(() => this.#former.delete(former));
    try {
      this.#server = this.#serve(port, tls);
    } catch (error) {
      this.#server = this.#serve(port, this.#tls);
      throw error;
    }
    this.#tls = tls;
  }

  // `reload` reaches open sockets too, and those of servers that listen no more (1.4.5).
  boundMessages(maxBytes: number): void {
    this.#maxMessageBytes = maxBytes;
    for (const server of this.#former) server.reload(this.#handlers());
    this.#server?.reload(this.#handlers());
  }

  afterTurn(task: () => void): void {
    setImmediate(task);
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    if (server === null) return;
    const servers = [server, ...this.#former];
    const stopped = servers.map((each) => each.stop(false));
    for (const link of this.#links) link.terminate();
    // Idle HTTP connections; it would close links with 1001 and wait for stalled ones.
    await Promise.all(servers.map((each) => each.stop(true)));
    await Promise.all(stopped);
  }

  async #answer(door: Door, request: Request, server: BunServer): Promise<Response | undefined> {
    const sent = request.headers;
    const header: HeaderReader = (name) => sent.get(name);
    const remoteAddress = plainAddress(server.requestIP(request)?.address);
    if (!asksUpgrade(header)) return door.request(request, remoteAddress);
    const malformed = checkHandshake(request.method, header);
    if (malformed !== null) return refusalResponse(malformed);
    const verdict = await door.upgrade({ target: targetOf(request.url), remoteAddress, header });
    if ("refuse" in verdict) return refusalResponse(verdict.refuse);
    // Without this header Bun echoes the first subprotocol offered, which can be the ticket; an empty one sends none.
    const headers = { "Sec-WebSocket-Protocol": verdict.protocol ?? "" };
    const data = new BunLink(remoteAddress, verdict.accept);
    // False when the peer has left; nobody reads the answer then.
    return server.upgrade(request, { data, headers }) ? undefined : refusalResponse(BROKEN);
  }
}

/** A transport on `Bun.serve`; Bun only. */
export function createBunTransport(options: TransportOptions): Transport {
  return new BunTransport(options);
}
