// The listener of the admin API: a transport of its own, on which no WebSocket is served, and the gateway as the API
// sees it.

import type { AdminConfig } from "../config/schema.ts";
import { adminApi } from "../ops/admin/api.ts";
import { AdminAuth } from "../ops/admin/admin_auth.ts";
import { EventFeed } from "../ops/admin/event_feed.ts";
import type { AdminApp, AdminContext } from "../ops/admin/admin_context.ts";
import { AdminKeys } from "../ops/admin/keys.ts";
import type { AdminNodes } from "../ops/admin/over_nodes.ts";
import { Published } from "../ops/admin/published.ts";
import { SliceQueue } from "../ops/admin/slices.ts";
import { Observer } from "../ops/console/observer.ts";
import { Audit } from "../ops/console/audit.ts";
import type { Transport } from "../transport/port.ts";
import type { Acceptance } from "./acceptance.ts";
import { adminContext, type AdminContextOptions } from "./admin_gateway.ts";

export interface AdminListenerOptions extends AdminContextOptions {
  readonly transport: Transport;
  readonly acceptance: Acceptance;
  /** The cluster that the gateway is one of; null where it is alone. */
  readonly nodes: AdminNodes | null;
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
  readonly #context: AdminContext;
  readonly #auth: AdminAuth;
  readonly #slices: SliceQueue;
  readonly #published: Published;
  readonly #feed: EventFeed;
  readonly #observer: Observer;
  readonly #audit = new Audit();
  #api: AdminApp;
  #metricsPath: string | null;
  #hasConsole: boolean;

  constructor(options: AdminListenerOptions) {
    this.#options = options;
    const { clock } = options;
    this.#keys = new AdminKeys(this.#config.keys);
    this.#context = adminContext(options, () => this.#config);
    this.#auth = new AdminAuth(this.#keys, this.#context, this.#audit);
    this.#slices = new SliceQueue(this.#context);
    this.#published = new Published(clock.now);
    this.#feed = new EventFeed(this.#context);
    this.#observer = new Observer(this.#context);
    this.#metricsPath = this.#wantedMetricsPath();
    this.#hasConsole = this.#config.console;
    this.#api = this.#build();
  }

  /** @throws when the address cannot be bound, see `Transport.start` */
  async start(): Promise<{ readonly hostname: string; readonly port: number }> {
    const { transport, log, acceptance } = this.#options;
    const address = await transport.start({
      request: (request, remoteAddress) => this.#api.fetch(request, { address: remoteAddress }),
      upgrade: () => NO_WEBSOCKET,
      accepting: (works, why) => acceptance.tell("admin", works, why),
    });
    this.#observer.apply();
    log.info("admin listening", { ...address });
    return address;
  }

  /** Another configuration is in use. */
  apply(): void {
    this.#keys.apply(this.#config.keys, this.#options.clock.now());
    this.#feed.keep((key) => this.#keys.has(key));
    this.#observer.apply();
    const wanted = this.#wantedMetricsPath(), hasConsole = this.#config.console;
    if (wanted === this.#metricsPath && hasConsole === this.#hasConsole) return;
    this.#metricsPath = wanted;
    this.#hasConsole = hasConsole;
    this.#api = this.#build();
  }

  async stop(): Promise<void> {
    this.#feed.stop();
    this.#observer.stop();
    await this.#options.transport.stop();
  }

  get #config(): AdminConfig {
    const { admin } = this.#options.config();
    if (admin === undefined) throw new Error("Cannot serve the admin API: the configuration has no admin");
    return admin;
  }

  #wantedMetricsPath(): string | null {
    const { enabled, path } = this.#options.config().metrics;
    return enabled ? path : null;
  }

  #build(): AdminApp {
    return adminApi({
      context: this.#context,
      auth: this.#auth,
      slices: this.#slices,
      published: this.#published,
      feed: this.#feed,
      observer: this.#observer,
      audit: this.#audit,
      hasConsole: this.#hasConsole,
      nodes: this.#options.nodes,
      metricsPath: this.#metricsPath,
    });
  }
}
