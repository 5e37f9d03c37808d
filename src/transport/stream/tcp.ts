// The port on plain TCP, with TLS or without. No HTTP is spoken here: the first message of a connection says who it is,
// and the handler that `StreamHandler.connect` gives reads it.

import { DescriptorWatch } from "../descriptors.ts";
import { cannotListen } from "../handshake.ts";
import { runtimeName } from "../mod.ts";
import type {
  StreamHandler,
  TlsPair,
  Transport,
  TransportLimits,
  TransportOptions,
  WireFrame,
} from "../port.ts";
import { BunListener } from "./bun_socket.ts";
import type { ByteListener, ByteSocket } from "./byte_socket.ts";
import { NodeListener } from "./node_socket.ts";
import { RunJoiner } from "./run_joiner.ts";
import { TcpLink, wireOf } from "./tcp_link.ts";

const LIMITS: TransportLimits = {
  pings: true,
  terminates: true,
  pauses: true,
  showsControl: true,
  showsFragments: true, // there are none
  boundsFragments: true,
  renewsTls: true,
  fixed: {},
};

class TcpTransport implements Transport<StreamHandler> {
  readonly name = "tcp";
  readonly #options: TransportOptions;
  readonly #listener: ByteListener;
  readonly #links = new Set<TcpLink>();
  readonly #joiner = new RunJoiner(wireOf);
  readonly #watch: DescriptorWatch;
  #door: StreamHandler | null = null;
  #maxMessageBytes: number;
  #limits = LIMITS;
  #turns = 0;
  #forgets = false;

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
      handler,
      join: this.#join,
      maxMessageBytes: () => this.#maxMessageBytes,
      ended: () => this.#links.delete(link),
    });
    this.#links.add(link);
    handler.open(link);
    return link;
  }

  readonly #join = (frames: readonly WireFrame[], count: number): Uint8Array => {
    // What was joined in a turn is of no use after it.
    if (count > 1 && !this.#forgets) {
      this.#forgets = true;
      this.afterTurn(this.#forget);
    }
    return this.#joiner.join(frames, count);
  };

  readonly #forget = (): void => {
    this.#forgets = false;
    this.#joiner.forget();
  };

  renewTls(tls: TlsPair): void {
    this.#listener.renewTls(tls);
  }

  boundMessages(maxBytes: number): void {
    this.#maxMessageBytes = maxBytes;
  }

  afterTurn(task: () => void): void {
    // See node.ts: on Deno immediates alone starve reading.
    if (runtimeName() !== "bun" && ++this.#turns % 5 === 0) setTimeout(task, 0);
    else setImmediate(task);
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
