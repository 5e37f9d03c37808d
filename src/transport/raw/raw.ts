// The port on `Bun.listen`, with HTTP's and the WebSocket's framing of this house. What Bun's own server does for each
// message and each member, a room's members share here: a turn's frames are joined once, and the same bytes written to all.

import { DescriptorWatch } from "../descriptors.ts";
import { cannotListen } from "../handshake.ts";
import type {
  Compression,
  LinkHandler,
  ServerHandler,
  TlsPair,
  Transport,
  TransportLimits,
  TransportOptions,
} from "../port.ts";
import { PLAIN, RequestTurns, UPGRADES } from "../request_turns.ts";
import { BunListener } from "../stream/bun_socket.ts";
import type { ByteSocket } from "../stream/byte_socket.ts";
import { TurnJoiner } from "../stream/turn_joiner.ts";
import { deflatedFrame } from "./deflate.ts";
import { RawConnection, type RawListener } from "./raw_connection.ts";
import { WebSocketLink } from "./websocket_link.ts";
import { serverFrame } from "./websocket_writer.ts";

const LIMITS: TransportLimits = {
  pings: true,
  terminates: true,
  pauses: true,
  showsControl: true,
  showsFragments: true,
  boundsFragments: true,
  deflates: true,
  renewsTls: true,
  fixed: {},
};

/** Connections that have sent no whole request yet; one more, and the one that has waited longest is dropped. */
const WAITING_MAX = 10_000;
/** How often those are looked at. */
const LOOK_MS = 250;

class RawTransport implements Transport {
  readonly name = "raw";
  readonly #options: TransportOptions;
  readonly #joiner = new TurnJoiner(serverFrame);
  /** The same for those who agreed to be sent deflated messages, by the least that is worth it. */
  readonly #deflating = new Map<number, TurnJoiner>();
  readonly #requests = new RequestTurns((task) => this.afterTurn(task), PLAIN);
  readonly #upgrades = new RequestTurns((task) => this.afterTurn(task), UPGRADES);
  readonly #listener: BunListener;
  readonly #watch: DescriptorWatch;
  readonly #links = new Set<WebSocketLink>();
  /** Those that are no WebSocket. */
  readonly #connections = new Set<RawConnection>();
  /** Those that have sent no whole head yet, and until when they may; the oldest first. */
  readonly #waiting = new Map<RawConnection, number>();
  #looking: ReturnType<typeof setInterval> | null = null;
  #door: RawListener | null = null;
  #maxMessageBytes: number;
  #limits = LIMITS;

  constructor(options: TransportOptions) {
    this.#options = options;
    this.#maxMessageBytes = options.maxMessageBytes;
    const { hostname, port, tls, socketUnsentBytes, reusePort, headerTimeoutMs } = options;
    this.#listener = new BunListener({
      hostname,
      port,
      tls,
      socketUnsentBytes,
      reusePort,
      handshakeTimeoutMs: headerTimeoutMs,
      connected: (socket) => this.#connected(socket),
    });
    this.#watch = new DescriptorWatch({
      pause: () => this.#listener.leave(),
      resume: () => this.#listener.listen().then(() => {}),
      told: (works, why) => this.#door!.handler.accepting(works, why),
    }, options.yields);
  }

  get limits(): TransportLimits {
    return this.#limits;
  }

  async start(handler: ServerHandler): Promise<{ readonly hostname: string; readonly port: number }> {
    const { hostname, port, maxHeaderBytes, tls } = this.#options;
    this.#door = {
      handler,
      maxHeaderBytes,
      isTls: tls !== null,
      turn: () => this.#requests.enter(),
      upgradeTurn: () => this.#upgrades.enter(),
      waits: (connection) => this.#awaits(connection),
      asked: (connection) => void this.#waiting.delete(connection),
      link: (socket, handler, compression) => this.#link(socket, handler, compression),
      gone: (connection) => void this.#connections.delete(connection),
    };
    try {
      const bound = await this.#listener.listen();
      if (!this.#listener.boundsUnsent) this.#limits = { ...LIMITS, fixed: { socketUnsentBytes: Infinity } };
      this.#watch.start();
      this.#looking = setInterval(() => this.#look(), LOOK_MS);
      return { hostname: bound.hostname, port: bound.port };
    } catch (cause) {
      throw cannotListen(hostname, port, cause);
    }
  }

  renewTls(tls: TlsPair): void {
    this.#listener.renewTls(tls);
  }

  boundMessages(maxBytes: number): void {
    this.#maxMessageBytes = maxBytes;
  }

  afterTurn(task: () => void): void {
    this.#joiner.afterTurn(task);
  }

  stop(): Promise<void> {
    this.#watch.stop();
    if (this.#looking !== null) clearInterval(this.#looking);
    this.#listener.leave();
    for (const connection of [...this.#connections]) connection.drop();
    for (const link of [...this.#links]) link.terminate();
    return Promise.resolve();
  }

  #connected(socket: ByteSocket): RawConnection {
    const connection = new RawConnection(socket, this.#door!);
    this.#connections.add(connection);
    this.#awaits(connection);
    return connection;
  }

  #awaits(connection: RawConnection): void {
    this.#waiting.set(connection, performance.now() + this.#options.headerTimeoutMs);
    if (this.#waiting.size > WAITING_MAX) this.#waiting.keys().next().value!.drop();
  }

  #link(socket: ByteSocket, handler: LinkHandler, compression: Compression | null): WebSocketLink {
    const joiner = compression === null ? this.#joiner : this.#deflatingFrom(compression.minBytes);
    const options = {
      handler,
      join: joiner.join,
      maxMessageBytes: () => this.#maxMessageBytes,
      ended: () => void this.#links.delete(link),
    };
    const link: WebSocketLink = new WebSocketLink(socket, options, compression);
    this.#links.add(link);
    return link;
  }

  #deflatingFrom(minBytes: number): TurnJoiner {
    let joiner = this.#deflating.get(minBytes);
    if (joiner === undefined) {
      joiner = new TurnJoiner((frame) => deflatedFrame(frame, minBytes));
      this.#deflating.set(minBytes, joiner);
    }
    return joiner;
  }

  #look(): void {
    const now = performance.now();
    for (const [connection, until] of this.#waiting) {
      if (now < until) return;
      this.#waiting.delete(connection);
      connection.tooLate();
    }
  }
}

/** A transport of own framing; Bun only. */
export function createRawTransport(options: TransportOptions): Transport {
  return new RawTransport(options);
}
