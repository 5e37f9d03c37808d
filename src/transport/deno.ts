// The port on `Deno.serve` and `Deno.upgradeWebSocket`, for those who want the native server and know its limits:
// it neither sends pings nor shows pongs, cannot stop reading, cannot drop a stalled socket, and bounds a frame
// but no message. A request's head has no deadline, and a new certificate needs a restart. The default on Deno is node.ts.

import {
  asksUpgrade,
  BROKEN,
  cannotListen,
  checkHandshake,
  type HeaderReader,
  plainAddress,
  refusalResponse,
} from "./handshake.ts";
import { DescriptorWatch } from "./descriptors.ts";
import { checkHead, pathAndQuery } from "./request_head.ts";
import { PLAIN, RequestTurns, TOO_BUSY, UPGRADES } from "./request_turns.ts";
import type {
  Link,
  LinkHandler,
  ServerHandler,
  TlsPair,
  Transport,
  TransportLimits,
  TransportOptions,
  WireFrame,
} from "./port.ts";

const LIMITS: TransportLimits = {
  pings: false,
  terminates: false,
  pauses: false,
  showsControl: false,
  showsFragments: false,
  boundsFragments: false,
  // A second server can share the port only with --unstable-net, and both ways to end the first one end its links.
  deflates: false,
  renewsTls: false,
  fixed: { maxHeaderBytes: 65_536, headerTimeoutMs: Infinity, socketUnsentBytes: Infinity }, // and 431 is a 400 (Deno 2.9.6)
};

/** How often buffered links are looked at; Deno has no drain event. */
const POLL_MS = 5;

class DenoLink implements Link {
  readonly transport = "websocket";
  readonly canPing = false;
  readonly datagrams = null;
  readonly remoteAddress: string;
  readonly #socket: WebSocket;
  readonly #handler: LinkHandler;
  readonly #transport: DenoTransport;
  #code = 0;
  #reason = "";
  #state: "new" | "open" | "closed" = "new";

  constructor(
    socket: WebSocket,
    handler: LinkHandler,
    context: { remoteAddress: string; transport: DenoTransport },
  ) {
    this.#socket = socket;
    this.#handler = handler;
    this.remoteAddress = context.remoteAddress;
    this.#transport = context.transport;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.#state = "open";
      this.#transport.links.add(this);
      this.#handler.open(this);
    };
    socket.onmessage = (event) => this.#message(event.data);
    socket.onclose = (event) => this.#closed(event.code, event.reason);
  }

  #message(data: string | ArrayBuffer): void {
    const { maxMessageBytes } = this.#transport;
    const bytes = typeof data === "string" ? textBytes(data, maxMessageBytes) : data.byteLength;
    if (bytes > maxMessageBytes) this.close(1009, "message is too large");
    else if (typeof data === "string") this.#handler.text(data);
    else this.#handler.binary(new Uint8Array(data));
  }

  #closed(code: number, reason: string): void {
    const opened = this.#state === "open";
    this.#state = "closed";
    this.#transport.links.delete(this);
    if (!opened) return;
    if (this.#code === 0) this.#handler.onClose(code || 1006, reason); // 0 for an abrupt end
    else this.#handler.onClose(this.#code, this.#reason);
  }

  write(frames: readonly WireFrame[], count: number): number {
    const socket = this.#socket;
    if (count === 0 || socket.readyState !== WebSocket.OPEN) return 0;
    for (let i = 0; i < count; i++) socket.send(frames[i]!.payload as string | Uint8Array<ArrayBuffer>);
    const waiting = socket.bufferedAmount;
    if (waiting > 0) this.#transport.awaitDrain(this);
    return waiting;
  }

  /** Tells the handler once nothing waits any more; false while something does. */
  drained(): boolean {
    if (this.#state === "closed") return true;
    if (this.#socket.bufferedAmount > 0) return false;
    if (this.#code === 0) this.#handler.onDrain();
    return true;
  }

  bufferedBytes(): number {
    return this.#state === "open" ? this.#socket.bufferedAmount : 0;
  }

  ping(): void {}

  pause(): void {}

  resume(): void {}

  close(code: number, reason: string): void {
    if (this.#code !== 0 || this.#state !== "open") return;
    this.#code = code;
    this.#reason = reason;
    this.#socket.close(code, reason);
  }

  terminate(): void {
    if (this.#state !== "open") return;
    if (this.#code === 0) this.#socket.close();
    this.#code = 1006;
    this.#reason = "";
    // The socket itself may live on until its peer reads; for the gateway the link has ended.
    queueMicrotask(() => this.#closed(1006, ""));
  }
}

/** UTF-8 size of a text, counted only where its length leaves a doubt. */
function textBytes(text: string, bound: number): number {
  return text.length * 3 <= bound ? text.length : new TextEncoder().encode(text).length;
}

class DenoTransport implements Transport {
  readonly name = "deno";
  readonly limits: TransportLimits = LIMITS;
  readonly links = new Set<DenoLink>();
  maxMessageBytes: number;
  readonly #options: TransportOptions;
  readonly #buffered = new Set<DenoLink>();
  #abort = new AbortController();
  readonly #watch: DescriptorWatch;
  readonly #requests = new RequestTurns((task) => this.afterTurn(task), PLAIN);
  readonly #upgrades = new RequestTurns((task) => this.afterTurn(task), UPGRADES);
  #door: ServerHandler | null = null;
  #port = 0;
  /** It could not accept a connection, and has ended. */
  #ended = false;
  #server: Deno.HttpServer<Deno.NetAddr> | null = null;
  #polling = false;
  #turns = 0;

  constructor(options: TransportOptions) {
    this.#options = options;
    this.maxMessageBytes = options.maxMessageBytes;
    this.#watch = new DescriptorWatch({
      // Both ways to end its listening end its links; it ends by itself when it cannot accept, and they live on.
      pause: () => {},
      resume: () => void (this.#ended && this.#serve(this.#port)),
      told: (works, why) => this.#door!.accepting(works, why),
    }, options.yields);
  }

  start(door: ServerHandler): Promise<{ readonly hostname: string; readonly port: number }> {
    const { hostname, port } = this.#options;
    this.#door = door;
    try {
      const { addr } = this.#serve(port);
      this.#port = addr.port;
      this.#watch.start();
      return Promise.resolve({ hostname: addr.hostname, port: addr.port });
    } catch (cause) {
      return Promise.reject(cannotListen(hostname, port, cause));
    }
  }

  #serve(port: number): Deno.HttpServer<Deno.NetAddr> {
    const { hostname, tls } = this.#options;
    const door = this.#door!;
    this.#abort = new AbortController();
    const server = Deno.serve({
      hostname,
      port,
      ...(tls === null ? {} : { cert: tls.cert, key: tls.key }),
      signal: this.#abort.signal,
      onListen: () => {},
      onError: () => refusalResponse(BROKEN),
    }, (request, info) => this.#answer(door, request, plainAddress(info.remoteAddr.hostname)));
    this.#server = server;
    this.#ended = false;
    server.finished.catch((cause: unknown) => {
      if (this.#server !== server) return;
      this.#ended = true;
      this.#watch.failed(cause instanceof Error ? cause.message : String(cause));
    });
    return server;
  }

  async #answer(door: ServerHandler, request: Request, remoteAddress: string): Promise<Response> {
    const { method, url } = request;
    const upgrades = asksUpgrade((name) => request.headers.get(name));
    const target = pathAndQuery(url) ?? url;
    // Deno tells no version: where HTTP/1.1 lacks its Host, that is taken for HTTP/1.0.
    const head = { method, target, host: request.headers.get("host"), version: null, upgrades };
    const refused = checkHead(head);
    if (refused !== null) return refusalResponse(refused);
    if (!upgrades) {
      if (this.#requests.isFull) return refusalResponse(TOO_BUSY);
      await this.#requests.enter();
      return door.request(request, remoteAddress);
    }
    const headers = new Headers(request.headers); // a copy, for the original cannot be read once the peer has left
    const header: HeaderReader = (name) => headers.get(name);
    const malformed = checkHandshake(method, header);
    if (malformed !== null) return refusalResponse(malformed);
    if (this.#upgrades.isFull) return refusalResponse(TOO_BUSY);
    await this.#upgrades.enter();
    const verdict = await door.upgrade({ target, remoteAddress, header });
    if ("refuse" in verdict) return refusalResponse(verdict.refuse);
    const { idleTimeoutMs } = this.#options;
    const { socket, response } = Deno.upgradeWebSocket(request, {
      idleTimeout: Math.ceil(idleTimeoutMs / 1000),
    });
    // Not as its option `protocol`, which Deno 2.9 does not find in a list that has no spaces after its commas.
    if (verdict.protocol !== null) response.headers.set("sec-websocket-protocol", verdict.protocol);
    new DenoLink(socket, verdict.accept, { remoteAddress, transport: this });
    return response;
  }

  awaitDrain(link: DenoLink): void {
    this.#buffered.add(link);
    if (this.#polling) return;
    this.#polling = true;
    setTimeout(() => this.#poll(), 0);
  }

  #poll(): void {
    for (const link of this.#buffered) if (link.drained()) this.#buffered.delete(link);
    if (this.#buffered.size > 0) setTimeout(() => this.#poll(), POLL_MS);
    else this.#polling = false;
  }

  renewTls(_tls: TlsPair): void {
    throw new Error("Deno's own server takes no new certificate: restart to use it");
  }

  boundMessages(maxBytes: number): void {
    this.maxMessageBytes = maxBytes;
  }

  afterTurn(task: () => void): void {
    // On Deno immediates alone starve reading: 140 messages in 3 s against 15,959 with a timer each fifth turn.
    if (++this.#turns % 5 === 0) setTimeout(task, 0);
    else setImmediate(task);
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    this.#watch.stop();
    for (const link of this.links) link.terminate();
    this.#abort.abort();
    await server?.finished.catch(() => {}); // told when it failed
  }
}

/** A transport on Deno's own server; Deno only. */
export function createDenoTransport(options: TransportOptions): Transport {
  return new DenoTransport(options);
}
