// The admin API: for administrators where the configuration says so, and for the other nodes of a cluster anyway.

import type { Cluster } from "../cluster/cluster.ts";
import type { Transport } from "../transport/port.ts";
import type { Acceptance } from "./acceptance.ts";
import type { AdminContextOptions } from "./admin_gateway.ts";
import { AdminListener } from "./admin_listener.ts";
import { ClusterNodes, nodeApi } from "./node_api.ts";

export interface AdminDoors {
  /** Null where there is no listener for administrators. */
  readonly transport: Transport | null;
  readonly acceptance: Acceptance;
  /** Null where the gateway is alone. */
  readonly cluster: Cluster | null;
}

/** @returns the listener for administrators; null for none */
export function buildAdmin(
  seen: AdminContextOptions,
  { transport, acceptance, cluster }: AdminDoors,
): AdminListener | null {
  if (cluster !== null) cluster.answers = nodeApi(seen);
  if (transport === null) return null;
  const nodes = cluster === null ? null : new ClusterNodes(cluster, seen.clock.now);
  return new AdminListener({ ...seen, transport, acceptance, nodes });
}
