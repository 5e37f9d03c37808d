// This gateway's part in a cluster, where its configuration makes it one node of several.

import { Cluster } from "../cluster/cluster.ts";
import type { GatewayOptions } from "./gateway_options.ts";
import { stateOf } from "./tenant_journal.ts";
import type { TenantRuntime } from "./tenant_runtime.ts";

/** The gateway that it is part of; asked once the gateway has been built. */
export interface ClusterNode {
  readonly tenants: () => Iterable<TenantRuntime>;
  readonly sessions: () => number;
  readonly draining: () => boolean;
}

/** @returns null where the gateway is alone @throws when a file of `cluster` cannot be read */
export function buildCluster(
  options: GatewayOptions,
  { tenants, sessions, draining }: ClusterNode,
): Cluster | null {
  const { config, clock, log, tracer, build } = options;
  if (config.cluster === undefined) return null;
  return new Cluster({
    config: config.cluster,
    version: build["version"] ?? "",
    clock,
    log,
    tracer,
    self: () => ({ sessions: sessions(), draining: draining() }),
    state: function* () {
      yield* stateOf([...tenants()].map(({ tenant }) => tenant), clock);
    },
  });
}
