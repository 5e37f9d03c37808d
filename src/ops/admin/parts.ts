// What the routes of the admin API are made of.

import type { Audit } from "../console/audit.ts";
import type { Observer } from "../console/observer.ts";
import type { AdminAuth } from "./admin_auth.ts";
import type { EventFeed } from "./event_feed.ts";
import type { AdminContext } from "./admin_context.ts";
import type { AdminNodes } from "./over_nodes.ts";
import type { Published } from "./published.ts";
import type { SliceQueue } from "./slices.ts";

/** What each group of routes takes its own from. */
export interface AdminParts {
  readonly context: AdminContext;
  readonly auth: AdminAuth;
  /** Where work that takes long waits for its turn. */
  readonly slices: SliceQueue;
  readonly published: Published;
  readonly feed: EventFeed;
  /** What the console sees over time. */
  readonly observer: Observer;
  readonly audit: Audit;
  /** Whether the console's page is served. */
  readonly hasConsole: boolean;
  /** The cluster that the gateway is one of; null where it is alone, or asked by another node for itself. */
  readonly nodes: AdminNodes | null;
  /** Where the metrics of all tenants are served; null for nowhere. */
  readonly metricsPath: string | null;
}
