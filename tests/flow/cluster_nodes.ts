// Several gateways of one cluster, over a real NATS, for tests.

import { Admin } from "./admin_client.ts";
import { GatewayProcess, type StartOptions, until } from "./gateway_process.ts";
import { Metrics } from "./metrics_text.ts";
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
  await Promise.all(nodes.map((node) => counted(node, "wsprism_cluster_nodes", nodes.length - 1)));
}

/** Resolves when a node knows of so many members of rooms on others. */
export async function membersKnown(node: GatewayProcess, count: number): Promise<void> {
  await counted(node, "wsprism_cluster_members", count);
}

/** Resolves when a node knows of so many sessions on others. */
export async function sessionsKnown(node: GatewayProcess, count: number): Promise<void> {
  await counted(node, "wsprism_cluster_sessions", count);
}

/** Resolves when a metric of a node has come to this. */
async function counted(node: GatewayProcess, metric: string, count: number): Promise<void> {
  const wished = async () => (await metricsOf(node)).sum(metric) === count ? true : null;
  await until(`${metric} to be ${count}`, wished, JOIN_MS);
}

/** A node's metrics, wherever they are; its admin API has a key named "root". */
export async function metricsOf(node: GatewayProcess): Promise<Metrics> {
  if (!node.lines.some(({ message }) => message === "admin listening")) return await node.metrics();
  return new Metrics((await (await Admin.of(node, "root")).ask("GET", "/metrics")).text);
}
