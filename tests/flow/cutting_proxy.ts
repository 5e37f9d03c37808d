// A TCP proxy that cuts connections where it is told to: after so many bytes of either direction, in the middle of a frame
// if need be.

import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

export class CuttingProxy {
  readonly ca = null;
  readonly origin: string;
  readonly #server: Server;
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  /** Bytes that the next connections, or this one, may still carry; infinite for any number. */
  #left = { up: Infinity, down: Infinity };
  cuts = 0;

  /** @param origin the gateway's */
  static async start(origin: string): Promise<CuttingProxy> {
    const { hostname, port } = new URL(origin);
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new CuttingProxy(server, { hostname, port: Number(port) });
  }

  private constructor(server: Server, to: { hostname: string; port: number }) {
    this.#server = server;
    this.origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on("connection", (client) => {
      const gateway = connect(to.port, to.hostname);
      const pair = [client, gateway] as const;
      this.#pairs.add(pair);
      client.setNoDelay(true);
      gateway.setNoDelay(true);
      client.on("data", (data) => this.#pass(pair, "up", data as Uint8Array));
      gateway.on("data", (data) => this.#pass(pair, "down", data as Uint8Array));
      for (const socket of pair) {
        socket.on("error", () => {});
        socket.on("close", () => {
          this.#pairs.delete(pair);
          for (const one of pair) one.destroy();
        });
      }
    });
  }

  /** Cuts after so many more bytes of one direction. */
  cutAfter(direction: "up" | "down", bytes: number): void {
    this.#left[direction] = bytes;
  }

  /** Cuts what is open now. */
  cut(): void {
    for (const pair of [...this.#pairs]) this.#end(pair);
  }

  async stop(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #pass(pair: readonly [Socket, Socket], direction: "up" | "down", data: Uint8Array): void {
    const to = direction === "up" ? pair[1] : pair[0];
    const left = this.#left[direction];
    if (data.length < left) {
      this.#left[direction] -= data.length;
      to.write(data);
      return;
    }
    this.#left = { up: Infinity, down: Infinity };
    // What comes until it is cut would stand after a gap.
    for (const socket of pair) socket.removeAllListeners("data");
    to.write(data.subarray(0, left), () => this.#end(pair));
  }

  #end(pair: readonly [Socket, Socket]): void {
    if (!this.#pairs.delete(pair)) return;
    this.cuts++;
    for (const socket of pair) socket.destroy();
  }
}
