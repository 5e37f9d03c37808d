// The metrics that parts of a gateway bring, besides those that every tenant has.

import { serviceMetrics } from "../backend/service_metrics.ts";
import type { Cluster } from "../cluster/cluster.ts";
import { clusterMetrics } from "../cluster/cluster_metrics.ts";
import { extensionMetrics } from "../extension/extension_metrics.ts";
import type { MetricSource } from "../metrics/metrics.ts";
import type { HistoryBudget } from "../room/history_budget.ts";
import type { Acceptance } from "./acceptance.ts";
import { historyMetrics } from "./history_metrics.ts";
import type { Persistence } from "./persistence.ts";
import type { Tenants } from "./tenants.ts";

export interface MeasuredParts {
  readonly tenants: Tenants;
  readonly persistence: Persistence;
  readonly budget: HistoryBudget;
  readonly acceptance: Acceptance;
  /** Null where the gateway is alone. */
  readonly cluster: Cluster | null;
}

export function gatewayMetrics(
  { tenants, persistence, budget, acceptance, cluster }: MeasuredParts,
): MetricSource[] {
  return [
    ...serviceMetrics(() => [...tenants].flatMap(({ httpServices }) => httpServices)),
    ...persistence.metrics,
    ...historyMetrics({ tenants, budget }),
    ...acceptance.metrics,
    ...cluster === null ? [] : clusterMetrics(cluster),
    ...extensionMetrics(() => tenants.extensions(), () => tenants.extensionHosts()),
  ];
}
