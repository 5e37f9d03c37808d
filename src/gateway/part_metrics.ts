// What a scrape shows of the parts that come and go with the configuration.

import { serviceMetrics } from "../backend/service_metrics.ts";
import type { Cluster } from "../cluster/cluster.ts";
import { clusterMetrics } from "../cluster/cluster_metrics.ts";
import { extensionMetrics } from "../extension/extension_metrics.ts";
import type { MetricSource } from "../metrics/metrics.ts";
import type { HistoryBudget } from "../room/history_budget.ts";
import { historyMetrics } from "./history_metrics.ts";
import type { Tenants } from "./tenants.ts";

export interface Parts {
  readonly tenants: Tenants;
  readonly historyBudget: HistoryBudget;
  /** Null for a gateway that is alone. */
  readonly cluster: Cluster | null;
}

export function partMetrics({ tenants, historyBudget, cluster }: Parts): MetricSource[] {
  return [
    ...serviceMetrics(() => [...tenants].flatMap(({ httpServices }) => httpServices)),
    ...historyMetrics({ tenants, budget: historyBudget }),
    ...cluster === null ? [] : clusterMetrics(cluster),
    ...extensionMetrics(() => tenants.extensions(), () => tenants.extensionHosts()),
  ];
}
