// Three nats-servers as one cluster on loopback, for what has to survive one of them.

import { type AddressInfo, createServer } from "node:net";
import { NatsServer } from "./server.ts";

export class NatsCluster {
  readonly servers: readonly NatsServer[];

  private constructor(servers: readonly NatsServer[]) {
    this.servers = servers;
  }

  /** @param args further arguments of each server */
  static async start(args: readonly string[] = []): Promise<NatsCluster> {
    const ports = await Promise.all([freePort(), freePort(), freePort()]);
    const routes = ports.map((port) => `nats://127.0.0.1:${port}`).join(",");
    const servers = await Promise.all(ports.map((port, i) => {
      const cluster = [
        "--cluster_name",
        "three",
        "--cluster",
        `nats://127.0.0.1:${port}`,
        "--routes",
        routes,
      ];
      return NatsServer.start({ args: ["-n", `n${i}`, ...cluster, ...args] });
    }));
    return new NatsCluster(servers);
  }

  /** For a client: all three. */
  get url(): string {
    return this.servers.map(({ url }) => url).join(",");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.servers.map((server) => server[Symbol.asyncDispose]()));
  }
}

/** A port of 127.0.0.1 that nobody has now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return port;
}
