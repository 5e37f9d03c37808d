// The port on `Bun.serve`. One handler object serves all sockets; each finds its link in `socket.data`.
// Bun's own idling, pings and compression are off: the gateway keeps time itself.

import { lookup } from "node:dns/promises";
import http from "node:http";
import { isIP } from "node:net";
import {
  asksUpgrade,
  bringsBody,
  BROKEN,
  cannotListen,
  checkHandshake,
  type HeaderReader,
  plainAddress,
  refusalResponse,
} from "./handshake.ts";
import type { ServerHandler, TlsPair, Transport, TransportLimits, TransportOptions } from "./port.ts";
import { BunLink } from "./bun_link.ts";
import type { BunAnswer, BunHandlers, BunRuntime, BunServer } from "./bun_types.ts";
import { isRewritten, PATTERNS, type Segments, targetOf } from "./bun_paths.ts";
import { DescriptorWatch } from "./descriptors.ts";
import { FragmentMeter } from "./fragment_meter.ts";
import { checkHead, NO_SUCH_PATH } from "./request_head.ts";
import { PLAIN, RequestTurns, TOO_BUSY, UPGRADES } from "./request_turns.ts";
import { type SocketCalls, socketCalls, UNREAD_BYTES } from "./unsent_bytes.ts";

/** Bun drops what has sent no whole head after this time, TLS handshake included, and has no option for it (1.4.5). */
const HEADER_TIMEOUT_MS = 12_000;

const LIMITS: TransportLimits = {
  pings: true,
  terminates: true,
  pauses: true,
  showsControl: true,
  showsFragments: false,
  boundsFragments: true,
  deflates: false,
  renewsTls: true,
  fixed: { headerTimeoutMs: HEADER_TIMEOUT_MS },
};

/** More than the header of a frame and, with TLS, what a record adds to it. */
const WIRE_OVERHEAD = { plain: 14, tls: 14 + 64 } as const;

function isEventStream({ headers }: Response): boolean {
  return headers.get("content-type")?.startsWith("text/event-stream") === true;
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
  /** Those of which `#heard` was told in this turn; some more than once. */
  readonly #full: BunLink[] = [];
  /** Servers that listen no more, each kept by the links that it accepted. */
  readonly #former = new Set<BunServer<BunLink>>();
  #door: ServerHandler | null = null;
  #server: BunServer<BunLink> | null = null;
  #tls: TlsPair | null;
  #maxMessageBytes: number;
  #socketCalls: SocketCalls | null = null;
  readonly #watch: DescriptorWatch;
  readonly #turns = new RequestTurns((task) => this.afterTurn(task), PLAIN);
  readonly #upgrades = new RequestTurns((task) => this.afterTurn(task), UPGRADES);
  #meter: FragmentMeter | null = null;
  /** Where it listens, and listens again. */
  #port = 0;

  constructor(options: TransportOptions) {
    this.#options = options;
    this.#tls = options.tls;
    this.#maxMessageBytes = options.maxMessageBytes;
    this.#watch = new DescriptorWatch({
      pause: () => this.#leave(this.#server!),
      resume: () => void (this.#server = this.#serve(this.#port, this.#tls)),
      told: (works, why) => this.#door!.accepting(works, why),
    }, options.yields);
  }

  get limits(): TransportLimits {
    return this.#limits;
  }

  async start(door: ServerHandler): Promise<{ readonly hostname: string; readonly port: number }> {
    const { hostname, port, maxHeaderBytes } = this.#options;
    // One number for all servers of the process; Bun's types call it constant, and its server obeys it (1.4.5).
    (http as { maxHeaderSize: number }).maxHeaderSize = maxHeaderBytes;
    this.#door = door;
    this.#socketCalls = await socketCalls();
    try {
      // Bun says of a name that is nobody's now EINVAL, now that the address is in use (1.4.5).
      if (isIP(hostname) === 0) await lookup(hostname);
      const server = this.#server = this.#serve(port, this.#tls);
      this.#port = server.port;
      this.#watch.start();
      if (this.#socketCalls !== null) {
        this.#meter = new FragmentMeter(this.#socketCalls, this.#links, () => this.#maxMessageBytes);
        this.#meter.start();
      }
      return { hostname: server.hostname, port: server.port };
    } catch (cause) {
      throw cannotListen(hostname, port, cause);
    }
  }

  #serve(port: number, tls: TlsPair | null): BunServer<BunLink> {
    const { hostname, socketUnsentBytes, reusePort } = this.#options;
    const { Bun } = globalThis as unknown as { Bun: BunRuntime };
    const server = Bun.serve({
      hostname,
      port,
      development: false,
      reusePort, // said aloud, for outside of development Bun's default lets two servers share a port
      ...(tls === null ? {} : { tls: { cert: tls.cert, key: tls.key } }),
      ...this.#handlers(),
    });
    // In the turn in which it began to listen, so before it accepts anybody.
    const bounded =
      this.#socketCalls?.bound(server.port, { unsent: socketUnsentBytes, unread: UNREAD_BYTES }) ||
      socketUnsentBytes === 0;
    const fixed = bounded ? LIMITS.fixed : { ...LIMITS.fixed, socketUnsentBytes: Infinity };
    this.#limits = { ...LIMITS, fixed };
    return server;
  }

  #handlers(): BunHandlers<BunLink> {
    const door = this.#door!;
    const overhead = this.#tls === null ? WIRE_OVERHEAD.plain : WIRE_OVERHEAD.tls;
    const known: BunAnswer<BunLink> = (request, server) =>
      this.#answer(door, request, { server, sent: (request as Request & { params: Segments }).params });
    return {
      routes: Object.fromEntries(PATTERNS.map((pattern) => [pattern, known])),
      fetch: (request, server) => this.#answer(door, request, { server, sent: null }),
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
          const link = socket.data;
          if (typeof message === "string") {
            link.countedBytes += message.length * 3 + overhead; // of a character three bytes at most
            link.handler.text(message);
          } else {
            link.countedBytes += message.length + overhead;
            link.handler.binary(message);
          }
          if (link.isFull) this.#heard(link);
        },
        ping: (socket, data) => {
          socket.data.countedBytes += data.length + overhead;
          socket.data.pinged(socket, data.length);
          if (socket.data.isFull) this.#heard(socket.data);
        },
        pong: (socket) => {
          socket.data.countedBytes += 125 + overhead;
          socket.data.handler.pong();
          if (socket.data.isFull) this.#heard(socket.data);
        },
        drain: (socket) => socket.data.drained(socket),
        close: (socket, code, reason) => {
          this.#links.delete(socket.data);
          socket.data.closed(code === 1006 ? violationCode(reason) : code, reason);
        },
      },
    };
  }

  /**
   * A full link was heard. Once what was read is handled, Bun writes what waits for that socket, and calls no drain callback
   * if all of it leaves then (1.4.5); so the link is looked at after the turn.
   */
  #heard(link: BunLink): void {
    if (this.#full.push(link) > 1) return;
    this.afterTurn(() => {
      for (const each of this.#full.splice(0)) each.settle();
    });
  }

  // Bun ignores `reload({ tls })`. A server that is stopped keeps its links, and the port is free in the same turn, so
  // that its successor misses only who was connecting in that instant (one or two of eight that never stop trying).
  renewTls(tls: TlsPair): void {
    if (this.#server !== null) {
      this.#leave(this.#server);
      try {
        this.#server = this.#serve(this.#port, tls);
      } catch (error) {
        this.#server = this.#serve(this.#port, this.#tls);
        throw error;
      }
    }
    this.#tls = tls;
  }

  /** Ends a server's listening; its links live on. */
  #leave(server: BunServer<BunLink>): void {
    this.#server = null;
    const stopped = server.stop(false);
    this.#former.add(server);
    void stopped.then(() => this.#former.delete(server));
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
    this.#watch.stop();
    this.#meter?.stop();
    const servers = [...this.#former, ...(this.#server === null ? [] : [this.#server])];
    this.#server = null;
    const stopped = servers.map((each) => each.stop(false));
    for (const link of this.#links) link.terminate();
    // Idle HTTP connections; it would close links with 1001 and wait for stalled ones.
    await Promise.all(servers.map((each) => each.stop(true)));
    await Promise.all(stopped);
  }

  async #answer(
    door: ServerHandler,
    request: Request,
    { server, sent }: { server: BunServer<BunLink>; sent: Segments | null },
  ): Promise<Response | undefined> {
    const { headers: fields, method, url } = request;
    const header: HeaderReader = (name) => fields.get(name);
    const peer = server.requestIP(request) ?? { address: "", port: 0 };
    const remoteAddress = plainAddress(peer.address);
    const target = targetOf(url);
    const upgrades = asksUpgrade(header);
    // Bun tells no version; HTTP/1.1 without Host never comes here.
    const refused = checkHead({ method, target, host: header("host"), version: null, upgrades }) ??
      (isRewritten(target, sent) ? NO_SUCH_PATH : null);
    if (refused !== null) return refusalResponse(refused);
    if (!upgrades) {
      if (this.#turns.isFull) return refusalResponse(TOO_BUSY);
      await this.#turns.enter();
      if (request.signal.aborted) return refusalResponse(BROKEN); // nobody reads the answer
      const whole = url === target ? new Request(`http://localhost${target}`, request) : request;
      const answer = await door.request(whole, remoteAddress);
      // Bun would read what nobody has read of a body to its end, however long that is.
      if (bringsBody(header) && (!whole.bodyUsed || answer.status >= 400)) {
        answer.headers.set("connection", "close");
      }
      // An answer of which nothing is sent for 10 s would be broken off.
      if (isEventStream(answer)) server.timeout(request, 0);
      return answer;
    }
    const malformed = checkHandshake(method, header);
    if (malformed !== null) return refusalResponse(malformed);
    if (this.#upgrades.isFull) return refusalResponse(TOO_BUSY);
    const turn = this.#upgrades.enter();
    if (turn !== null) await turn;
    const verdict = await door.upgrade({ target, remoteAddress, header });
    if ("refuse" in verdict) return refusalResponse(verdict.refuse);
    // Without this header Bun echoes the first subprotocol offered, which can be the ticket; an empty one sends none.
    const headers = { "Sec-WebSocket-Protocol": verdict.protocol ?? "" };
    const data = new BunLink(verdict.accept, peer);
    // False when the peer has left; nobody reads the answer then.
    return server.upgrade(request, { data, headers }) ? undefined : refusalResponse(BROKEN);
  }
}

/** A transport on `Bun.serve`; Bun only. */
export function createBunTransport(options: TransportOptions): Transport {
  return new BunTransport(options);
}
