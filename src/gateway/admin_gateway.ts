// The gateway as its admin API sees it: for the listener of that API, and for the other nodes of a cluster.

import type { LoadResult } from "../config/load.ts";
import type { AdminConfig, Config } from "../config/schema.ts";
import type { Log } from "../log.ts";
import type { AdminContext, AdminWebhooks } from "../ops/admin/admin_context.ts";
import type { Vitals } from "../ops/console/history.ts";
import type { Clock } from "./clock.ts";
import { type FindLines, KnownLines } from "./known_lines.ts";
import type { Preview, ReloadResult } from "./reloader.ts";
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
  /** What a reload would do. */
  readonly preview: () => Promise<Preview>;
  /** Checks a text as if it were the file. */
  readonly check: (text: string) => Promise<LoadResult>;
  /** Where a text says these; that of the configuration in use where none is given. */
  readonly lines: FindLines;
  readonly vitals: () => Vitals;
  readonly draining: () => boolean;
  readonly waiting: () => boolean;
  readonly degraded: () => boolean;
  readonly accepting: () => boolean;
  /** The gateway's name among several; null where it is alone. */
  readonly node: string | null;
  /** Metrics as a scrape gets them: those of one tenant, or all. */
  readonly metrics: (tenant: string | null) => Promise<string>;
  readonly metricsContentType: string;
  readonly log: Log;
  readonly clock: Clock;
  readonly build: Readonly<Record<string, string>>;
}

/** @param admin what holds for requests of the API */
export function adminContext(options: AdminContextOptions, admin: () => AdminConfig): AdminContext {
  const { tenants, webhooks, draining, degraded, log, clock, build, node, afterTurn } = options;
  const lines = new KnownLines({ config: options.config, find: options.lines });
  return {
    config: options.config,
    admin,
    reload: options.reload,
    preview: options.preview,
    check: options.check,
    lines: (paths, text) => lines.of(paths, text),
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
    vitals: options.vitals,
    metrics: { contentType: options.metricsContentType, render: options.metrics },
    version: build["version"] ?? "",
  };
}

/** The tenants that take sessions in: not those that are leaving. */
function* served(tenants: Tenants): Generator<TenantRuntime> {
  for (const tenant of tenants) if (tenants.entries.has(tenant.id)) yield tenant;
}
