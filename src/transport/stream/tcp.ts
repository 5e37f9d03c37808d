// The port on plain TCP, with TLS or without. No HTTP is spoken here: the first message of a connection says who it is,
// and the handler that `StreamHandler.connect` gives reads it.

import { DescriptorWatch } from "../descriptors.ts";
import { cannotListen } from "../handshake.ts";
import { runtimeName } from "../runtime_name.ts";
import type { StreamHandler, TlsPair, Transport, TransportLimits, TransportOptions } from "../port.ts";
import { BunListener } from "./bun_socket.ts";
import type { ByteListener, ByteSocket } from "./byte_socket.ts";
import { NodeListener } from "./node_socket.ts";
import { TcpLink, wireOf } from "./tcp_link.ts";
import { TurnJoiner } from "./turn_joiner.ts";

const LIMITS: TransportLimits = {
  pings: true,
  terminates: true,
  pauses: true,
  showsControl: true,
  showsFragments: true, // there are none
  boundsFragments: true,
  deflates: false,
  renewsTls: true,
  fixed: {},
};

class TcpTransport implements Transport<StreamHandler> {
  readonly name = "tcp";
  readonly #options: TransportOptions;
  readonly #listener: ByteListener;
  readonly #links = new Set<TcpLink>();
  readonly #joiner = new TurnJoiner(wireOf);
  readonly #watch: DescriptorWatch;
  #door: StreamHandler | null = null;
  #maxMessageBytes: number;
  #limits = LIMITS;

  constructor(options: TransportOptions) {
    this.#options = options;
    this.#maxMessageBytes = options.maxMessageBytes;
    const { hostname, port, tls, socketUnsentBytes, reusePort, headerTimeoutMs: handshakeTimeoutMs } =
      options;
    const listening = {
      hostname,
      port,
      tls,
      socketUnsentBytes,
      reusePort,
      handshakeTimeoutMs,
      connected: (socket: ByteSocket) => this.#connected(socket),
    };
    this.#listener = runtimeName() === "bun" ? new BunListener(listening) : new NodeListener(listening);
    this.#watch = new DescriptorWatch({
      pause: () => this.#listener.leave(),
      resume: () => this.#listener.listen().then(() => {}),
      told: (works, why) => this.#door!.accepting(works, why),
    }, options.yields);
  }

  get limits(): TransportLimits {
    return this.#limits;
  }

  async start(door: StreamHandler): Promise<{ readonly hostname: string; readonly port: number }> {
    this.#door = door;
    const { hostname, port } = this.#options;
    try {
      const bound = await this.#listener.listen();
      if (!this.#listener.boundsUnsent) this.#limits = { ...LIMITS, fixed: { socketUnsentBytes: Infinity } };
      this.#watch.start();
      return { hostname: bound.hostname, port: bound.port };
    } catch (cause) {
      throw cannotListen(hostname, port, cause);
    }
  }

  #connected(socket: ByteSocket): TcpLink {
    const handler = this.#door!.connect();
    const link: TcpLink = new TcpLink(socket, {
      transport: "tcp",
      datagrams: null,
      handler,
      join: this.#joiner.join,
      maxMessageBytes: () => this.#maxMessageBytes,
      ended: () => this.#links.delete(link),
    });
    this.#links.add(link);
    handler.open(link);
    return link;
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
    this.#listener.leave();
    for (const link of this.#links) link.terminate();
    return Promise.resolve();
  }
}

/** A transport on plain TCP; every runtime. */
export function createTcpTransport(options: TransportOptions): Transport<StreamHandler> {
  return new TcpTransport(options);
}
