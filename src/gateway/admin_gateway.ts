// The gateway as its admin API sees it: for the listener of that API, and for the other nodes of a cluster.

import type { AdminConfig, Config } from "../config/schema.ts";
import type { Log } from "../log.ts";
import type { Exporter } from "../metrics/exporter.ts";
import type { AdminContext, AdminWebhooks } from "../ops/admin/admin_context.ts";
import type { Clock } from "./clock.ts";
import type { ReloadResult } from "./reloader.ts";
import type { TenantRuntime } from "./tenant_runtime.ts";
import type { Tenants } from "./tenants.ts";

export interface AdminContextOptions {
  /** Calls a task once the sockets that are readable now have been read. */
  readonly afterTurn: (task: () => void) => void;
  readonly tenants: Tenants;
  readonly webhooks: AdminWebhooks;
  /** The configuration in use. */
  readonly config: () => Config;
  readonly reload: () => Promise<ReloadResult>;
  readonly draining: () => boolean;
  readonly waiting: () => boolean;
  readonly degraded: () => boolean;
  readonly accepting: () => boolean;
  /** The gateway's name among several; null where it is alone. */
  readonly node: string | null;
  /** All metrics, as a scrape gets them. */
  readonly metrics: () => Promise<string>;
  readonly exporter: Exporter;
  readonly log: Log;
  readonly clock: Clock;
  readonly build: Readonly<Record<string, string>>;
}

/** @param admin what holds for requests of the API */
export function adminContext(options: AdminContextOptions, admin: () => AdminConfig): AdminContext {
  const { tenants, webhooks, draining, degraded, exporter, log, clock, build, node, afterTurn } = options;
  return {
    config: options.config,
    admin,
    reload: options.reload,
    log,
    node,
    now: clock.now,
    unixMs: clock.unixMs,
    every: clock.every,
    turn: () => new Promise((resolve) => afterTurn(() => resolve())),
    tenants: () => served(tenants),
    tenant: (id) => tenants.entries.has(id) ? tenants.get(id) : undefined,
    draining,
    waiting: options.waiting,
    degraded,
    accepting: options.accepting,
    webhooks,
    metrics: {
      contentType: exporter.contentType,
      render: (tenant) => tenant === null ? options.metrics() : exporter.renderTenant(tenant),
    },
    version: build["version"] ?? "",
  };
}

/** The tenants that take sessions in: not those that are leaving. */
function* served(tenants: Tenants): Generator<TenantRuntime> {
  for (const tenant of tenants) if (tenants.entries.has(tenant.id)) yield tenant;
}
