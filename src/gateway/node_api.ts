// What nodes of a cluster ask each other for their administrators: requests of the admin API, over NATS. The node that was
// asked by an administrator has looked at the key; the others have no key to look at, and need no listener for it.

import { ADMIN_PERMISSIONS } from "../config/admin_schema.ts";
import type { AdminConfig } from "../config/schema.ts";
import type { Cluster } from "../cluster/cluster.ts";
import { AdminAuth } from "../ops/admin/admin_auth.ts";
import type { AdminApp } from "../ops/admin/admin_context.ts";
import { adminApi } from "../ops/admin/api.ts";
import { EventFeed } from "../ops/admin/event_feed.ts";
import { AdminKeys } from "../ops/admin/keys.ts";
import type { AdminNode, AdminNodes, NodeAnswer, NodeRequest } from "../ops/admin/over_nodes.ts";
import { Published } from "../ops/admin/published.ts";
import { Audit } from "../ops/console/audit.ts";
import { Observer } from "../ops/console/observer.ts";
import { SliceQueue } from "../ops/admin/slices.ts";
import { adminContext, type AdminContextOptions } from "./admin_gateway.ts";

/** How long another node may take to answer. */
const ANSWER_MS = 1000;
const METHODS = ["GET", "POST", "PUT", "DELETE"];

/** The other nodes, for this one's admin API. */
export class ClusterNodes implements AdminNodes {
  readonly #cluster: Cluster;
  readonly #now: () => number;

  constructor(cluster: Cluster, now: () => number) {
    this.#cluster = cluster;
    this.#now = now;
  }

  get name(): string {
    return this.#cluster.name;
  }

  list(): readonly AdminNode[] {
    const { nodes, incarnation } = this.#cluster, now = this.#now();
    const own = { incarnation, facts: nodes.facts, heardAt: now };
    return [own, ...nodes.others.values()].map(({ incarnation, facts, heardAt }) => {
      const { name, version, startedMs, sessions, draining } = facts;
      return { node: name, incarnation, version, startedMs, sessions, draining, silentMs: now - heardAt };
    });
  }

  holderOf(tenant: string, session: string): string | null {
    return this.#cluster.peers(tenant).find(session)?.node.incarnation ?? null;
  }

  async ask(incarnation: string, request: NodeRequest): Promise<NodeAnswer | null> {
    const answer = await this.#cluster.ask(incarnation, JSON.stringify(request), ANSWER_MS);
    const read = answer === null ? null : parsed(answer) as NodeAnswer | null;
    return typeof read?.status === "number" && "body" in read ? read : null;
  }
}

/** Answers what the other nodes ask. */
export function nodeApi(options: AdminContextOptions): (request: string) => Promise<string> {
  // A key of its own making, which nobody else is ever told.
  const secret = options.clock.newId() + options.clock.newId();
  const rate = 1_000_000_000;
  const key = {
    id: "cluster",
    secret,
    tenants: ["*"],
    permissions: [...ADMIN_PERMISSIONS],
    rps: rate,
    burst: rate,
  };
  const admin: AdminConfig = { listen: "", keys: [key], console: false, max_body_bytes: 1_048_576 };
  const context = adminContext(options, () => admin);
  const audit = new Audit();
  const api: AdminApp = adminApi({
    context,
    auth: new AdminAuth(new AdminKeys(admin.keys), context, audit),
    slices: new SliceQueue(context),
    published: new Published(options.clock.now),
    feed: new EventFeed(context),
    observer: new Observer(context),
    audit,
    hasConsole: false,
    nodes: null,
    metricsPath: null,
  });
  return async (text) => {
    const { method, path, body } = (parsed(text) ?? {}) as Partial<NodeRequest>;
    if (typeof path !== "string" || !path.startsWith("/v1/") || !METHODS.includes(method ?? "")) {
      return JSON.stringify({ status: 400, body: null });
    }
    const request = new Request(`http://node${path}`, {
      method: method!,
      headers: {
        authorization: `Bearer ${secret}`,
        ...(body === null ? {} : { "content-type": "application/json" }),
      },
      ...(typeof body === "string" ? { body } : {}),
    });
    const response = await api.fetch(request, { address: "cluster" });
    return JSON.stringify({ status: response.status, body: parsed(await response.text()) });
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
