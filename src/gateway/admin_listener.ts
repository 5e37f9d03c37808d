// The listener of the admin API: a transport of its own, on which no WebSocket is served, and the gateway as the API
// sees it.

import type { Config } from "../config/schema.ts";
import type { Log } from "../log.ts";
import type { Exporter } from "../metrics/exporter.ts";
import { adminApi } from "../ops/admin/api.ts";
import type { AdminApp } from "../ops/admin/house.ts";
import { AdminKeys } from "../ops/admin/keys.ts";
import type { Transport } from "../transport/port.ts";
import type { Clock } from "./clock.ts";
import type { Tenancy } from "./tenancy.ts";

export interface AdminListenerOptions {
  readonly transport: Transport;
  /** By id. */
  readonly tenancies: ReadonlyMap<string, Tenancy>;
  /** The configuration in use; it has `admin`. */
  readonly config: () => Config;
  readonly draining: () => boolean;
  readonly exporter: Exporter;
  readonly log: Log;
  readonly clock: Clock;
  readonly build: Readonly<Record<string, string>>;
}

const NO_WEBSOCKET = {
  refuse: {
    status: 404,
    headers: {},
    body: JSON.stringify({ code: "NOT_FOUND", msg: "no WebSocket is served here" }),
  },
};

export class AdminListener {
  readonly #options: AdminListenerOptions;
  readonly #keys: AdminKeys;
  readonly #api: AdminApp;

  constructor(options: AdminListenerOptions) {
    this.#options = options;
    const { transport, tenancies, draining, exporter, log, clock, build } = options;
    const { admin, metrics } = options.config();
    if (admin === undefined) throw new Error("Cannot serve the admin API: the configuration has no admin");
    this.#keys = new AdminKeys(admin.keys);
    this.#api = adminApi(this.#keys, {
      config: admin,
      log,
      now: clock.now,
      unixMs: clock.unixMs,
      turn: () => new Promise((resolve) => transport.afterTurn(() => resolve())),
      tenants: () => tenancies.values(),
      tenant: (id) => tenancies.get(id),
      draining,
      metrics: {
        contentType: exporter.contentType,
        path: metrics.enabled ? metrics.path : null,
        render: (tenant) => tenant === null ? exporter.render() : exporter.renderTenant(tenant),
      },
      version: build["version"] ?? "",
    });
  }

  /** @throws when the address cannot be bound, see `Transport.start` */
  async start(): Promise<void> {
    const { transport, log } = this.#options;
    const address = await transport.start({
      request: (request, remoteAddress) => this.#api.fetch(request, { address: remoteAddress }),
      upgrade: () => NO_WEBSOCKET,
    });
    log.info("admin listening", { ...address });
  }

  async stop(): Promise<void> {
    await this.#options.transport.stop();
  }
}
