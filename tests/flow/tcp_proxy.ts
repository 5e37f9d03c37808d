// A network between a client and a server, made of TCP: it can cut, swallow and delay.

import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

export interface TcpProxyOptions {
  /** One way, milliseconds. */
  readonly delayMs?: number;
}

export class TcpProxy {
  readonly #server: Server;
  /** Both ends of each connection. */
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  readonly #swallowed = new Set<Socket>();
  /** Connections so far. */
  connections = 0;
  #isClosed = false;

  /** A proxy in front of a port of 127.0.0.1. */
  static async to(port: number, options: TcpProxyOptions = {}): Promise<TcpProxy> {
    const proxy = new TcpProxy(port, options.delayMs ?? 0);
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  private constructor(port: number, delayMs: number) {
    this.#server = createServer({ noDelay: true, allowHalfOpen: false }, (client) => {
      if (this.#isClosed) return void client.destroy();
      this.connections++;
      const server = connect({ port, host: "127.0.0.1", noDelay: true });
      const pair = [client, server] as const;
      this.#pairs.add(pair);
      for (const [from, to] of [pair, [server, client] as const]) {
        from.on("data", (bytes) => {
          if (this.#swallowed.has(from)) return;
          if (delayMs === 0) to.write(bytes);
          else setTimeout(() => to.destroyed || to.write(bytes), delayMs);
        });
        from.on("error", () => {});
        from.on("close", () => {
          if (this.#swallowed.has(from)) return;
          this.#pairs.delete(pair);
          to.destroy();
        });
      }
    });
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Breaks all connections. */
  cut(): void {
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy();
  }

  /** Passes nothing on of the connections there are, and does not tell; new ones are as usual. */
  swallow(): void {
    for (const pair of this.#pairs) for (const socket of pair) this.#swallowed.add(socket);
  }

  /** Refuses new connections, or takes them again. */
  refuse(isClosed: boolean): void {
    this.#isClosed = isClosed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}
