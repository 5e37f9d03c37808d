// Several gateways of one cluster, over a real NATS, for tests.

import { GatewayProcess, type StartOptions } from "./gateway_process.ts";
import type { NatsServer } from "../nats/server.ts";

/** How long a node may take to find the others, on a machine that is busy. */
const JOIN_MS = 30_000;

export interface NodeOptions extends StartOptions {
  /** Its name. */
  readonly name: string;
  /** The address of NATS as it sees it; that of the server itself when absent. */
  readonly nats?: string;
}

/** Starts one node, and waits until it has found the others. */
export async function startNode(
  nats: NatsServer,
  config: object,
  { name, nats: url = nats.url, ...options }: NodeOptions,
): Promise<GatewayProcess> {
  const cluster = { nats: { servers: [url] }, node: name };
  const node = await GatewayProcess.start({ cluster, ...config }, options);
  try {
    await node.logged("joined the cluster", () => true, JOIN_MS);
    return node;
  } catch (error) {
    await node.kill();
    throw error;
  }
}

/** Resolves when each of some nodes knows of all others. */
export async function acquainted(...nodes: readonly GatewayProcess[]): Promise<void> {
  const others = nodes.length - 1;
  await Promise.all(
    nodes.map((node) =>
      node.metricsUntil(
        `${others} other nodes`,
        (metrics) => metrics.sum("wsprism_cluster_nodes") === others,
        JOIN_MS,
      )
    ),
  );
}
