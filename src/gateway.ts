// The composition root: the only place that constructs the parts and knows all of them. It starts them, drains
// them and stops them, in that order; nothing here is on a message's way.

import type { Hono } from "hono";
import { Admission } from "./admission/admission.ts";
import { CertificateKeeper } from "./admission/certificate_keeper.ts";
import { Delay, WAITING_MAX } from "./admission/delay.ts";
import { HandshakeLimiter } from "./admission/limiter.ts";
import { Retry } from "./admission/retry.ts";
import { WS_PATH } from "./admission/upgrade.ts";
import type { Webhooks } from "./webhook/webhooks.ts";
import { adminWithoutRestart, IDLE_FIXED, withoutRestart } from "./config/diff.ts";
import type { Config } from "./config/schema.ts";
import { Acceptance } from "./gateway/acceptance.ts";
import type { AdminContextOptions } from "./gateway/admin_gateway.ts";
import type { AdminListener } from "./gateway/admin_listener.ts";
import { type Census, censusOf } from "./gateway/census.ts";
import { buildAdmin } from "./gateway/build_admin.ts";
import { descriptorLimit } from "./gateway/descriptor_limit.ts";
import { gatewayContext } from "./gateway/gateway_context.ts";
import type { GatewayOptions } from "./gateway/gateway_options.ts";
import { gatewaySettings, handshakeConfig } from "./gateway/gateway_settings.ts";
import { partMetrics } from "./gateway/part_metrics.ts";
import { Persistence } from "./gateway/persistence.ts";
import { publicHandler } from "./gateway/public_handler.ts";
import { type FurtherListener, furtherListeners } from "./gateway/further_listeners.ts";
import { handshakeBudget, hasHeirs, sendElsewhere } from "./gateway/drain.ts";
import { poll } from "./gateway/staggered_close.ts";
import { type ReloadCause, Reloader, type ReloadResult } from "./gateway/reloader.ts";
import { type Plan, Tenants } from "./gateway/tenants.ts";
import { startTicking, vitals } from "./gateway/ticking.ts";
import { messageBytesMax } from "./gateway/transport_options.ts";
import { Durations } from "./metrics/metrics.ts";
import { Exporter } from "./metrics/exporter.ts";
import { Inflow } from "./outbound/inflow.ts";
import type { FreshEnough } from "./ops/fresh_enough.ts";
import { playgroundFacts } from "./gateway/playground_facts.ts";
import { scrapes } from "./gateway/scrapes.ts";
import { opsRoutes } from "./ops/http.ts";
import { describe, describeWeaknesses } from "./ops/start_report.ts";
import { GatewayQuotas } from "./policy/quotas.ts";
import { LANE_NAMES } from "./protocol/frame.ts";
import type { Cluster } from "./cluster/cluster.ts";
import { buildCluster } from "./gateway/cluster_node.ts";
import { HistoryBudget } from "./room/history_budget.ts";
import type { GatewayContext } from "./session/gateway_context.ts";
import type { Tenant } from "./session/tenant.ts";
import type { State } from "./state/table.ts";
import { Semaphore } from "./collections/semaphore.ts";

export type { GatewayOptions } from "./gateway/gateway_options.ts";
export { type Clock, SYSTEM_CLOCK } from "./gateway/clock.ts";
export type { ReloadCause, ReloadResult } from "./gateway/reloader.ts";
export {
  adminTransportOptions,
  tcpTransportOptions,
  transportOptions,
  webtransportOptions,
} from "./gateway/transport_options.ts";

/** How long clients may take to answer the last close of a drain. */
const LAST_CLOSE_MS = 1000;

export class Gateway {
  readonly #options: GatewayOptions;
  /** In use; a reload puts another in its place. */
  #config: Config;
  /** What it was made from. */
  #text: string;
  readonly #context: GatewayContext;
  readonly #persistence: Persistence;
  /** Null where it is alone. */
  readonly #cluster: Cluster | null;
  /** `extensions`, as the extension hosts see it. */
  readonly #extensionSettings: Config["extensions"];
  readonly #tenants: Tenants;
  readonly #limiter: HandshakeLimiter;
  readonly #requestLimiter: HandshakeLimiter;
  /** What a scrape is answered, by tenant; null: of all. */
  readonly #metrics: FreshEnough<string | null>;
  readonly #quotas: GatewayQuotas;
  readonly #historyBudget = new HistoryBudget(() => this.#config.gateway.max_history_bytes);
  readonly #admission: Admission;
  readonly #loopLag = new Durations();
  #draining = false;
  readonly #degraded = () =>
    this.#tenants.isDegraded || this.#persistence.isDegraded || this.#cluster?.isDegraded === true;
  readonly #waiting = () => this.#cluster?.isJoined === false;
  readonly #certificate: CertificateKeeper | null;
  readonly #further: readonly FurtherListener[];
  readonly #reloader: Reloader;
  readonly #exporter: Exporter;
  readonly #acceptance: Acceptance;
  readonly #admin: AdminListener | null;
  #ops: Hono;
  #stopTicking: (() => void) | null = null;
  /** Where the admin API is served, once it is. */
  adminAddress: { readonly hostname: string; readonly port: number } | null = null;

  constructor(options: GatewayOptions) {
    this.#options = options;
    const { config, transport, log, tracer, clock, source } = options;
    const { gateway } = config;
    this.#config = config;
    this.#text = options.text;
    this.#cluster = buildCluster(options, {
      tenants: () => this.#tenants,
      sessions: () => this.#context.totals.sessions,
      draining: () => this.#draining,
    });
    const { context, fanout } = gatewayContext(options, this.#cluster?.name ?? null);
    this.#context = context;
    this.#limiter = new HandshakeLimiter(gateway.handshake_limit);
    this.#requestLimiter = new HandshakeLimiter(gateway.handshake_limit);
    this.#quotas = new GatewayQuotas(gateway.quotas);
    this.#extensionSettings = { ...config.extensions };
    this.#persistence = new Persistence({ config, log, tracer, clock });
    this.#tenants = new Tenants(options, {
      gateway: this.#context,
      fanout,
      historyBudget: this.#historyBudget,
      cluster: this.#cluster,
      clock,
      dev: options.dev,
      deflates: options.transport.limits.deflates,
      services: options.services,
      persistence: this.#persistence,
      extensions: {
        launch: options.launchHost,
        afterTurn: (task) => transport.afterTurn(task),
        state: () => this.#persistence.state,
        env: (name) => options.env[name],
        settings: this.#extensionSettings,
        inflow: new Inflow(clock.now),
        ...clock,
        log,
      },
      // One CPU is the event loop's.
      signatureTurns: new Semaphore(Math.max(1, navigator.hardwareConcurrency - 1)),
      policy: { gateway: this.#quotas, dryRun: options.policyDryRun },
      charge: (addressGroup) => this.#limiter.charge(addressGroup, clock.now()),
    });
    this.#admission = new Admission({
      entries: this.#tenants.entries,
      limiter: this.#limiter,
      requestLimiter: this.#requestLimiter,
      delay: new Delay({
        wheel: this.#context.wheel,
        afterTurn: (task) => transport.afterTurn(task),
        max: WAITING_MAX,
      }),
      retry: new Retry(clock.random),
      log,
      access: this.#context.access,
      tracer,
      now: clock.now,
      newId: clock.newId,
      config: handshakeConfig(gateway),
    });
    this.#admission.hold(this.#cluster !== null);
    const { certificate: current } = options, { tls: files } = gateway;
    this.#certificate = current === null || files === undefined
      ? null
      : new CertificateKeeper({ files, current, transport, log, clock });
    this.#reloader = new Reloader({
      source,
      tenants: this.#tenants,
      running: () => this.#config,
      apply: ({ config, text }, plan) => this.#apply(config, text, plan),
      fixed: transport.limits.pings ? [] : IDLE_FIXED,
      log,
      clock,
    });
    const acceptance = this.#acceptance = new Acceptance(log);
    acceptance.add("public");
    if (options.adminTransport !== null) acceptance.add("admin");
    const admission = this.#admission, { wheel } = this.#context;
    const shared = { config: () => this.#config, admission, acceptance, wheel, log, clock };
    this.#further = furtherListeners(options, shared);
    this.#exporter = this.#buildExporter();
    this.#metrics = scrapes(this.#exporter, clock);
    const seen: AdminContextOptions = {
      afterTurn: (task) => (options.adminTransport ?? transport).afterTurn(task),
      tenants: this.#tenants,
      webhooks: this.#persistence.webhooks,
      config: () => this.#config,
      reload: () => this.reload("admin"),
      preview: () => this.#reloader.preview(),
      check: (text) => source.check(text),
      lines: (paths, text = this.#text) => source.lines(text, paths),
      vitals: () => vitals(this.#loopLag, this.#context.flusher.heldBytes),
      draining: () => this.#draining,
      waiting: this.#waiting,
      degraded: this.#degraded,
      accepting: () => this.#acceptance.works,
      node: this.#context.node,
      metrics: (tenant) => this.#metrics.get(tenant),
      metricsContentType: this.#exporter.contentType,
      log,
      clock,
      build: options.build,
    };
    this.#admin = buildAdmin(seen, {
      transport: options.adminTransport,
      acceptance: this.#acceptance,
      cluster: this.#cluster,
    });
    this.#ops = this.#buildOps();
  }

  /**
   * Opens the door.
   * @throws when the state cannot be opened, or the address cannot be bound, see `Transport.start`
   */
  async start(): Promise<{ readonly hostname: string; readonly port: number }> {
    const { transport, clock, config, log, build } = this.#options;
    await this.#persistence.start(this.#tenants);
    this.#stopTicking = startTicking({
      clock,
      context: this.#context,
      loopLag: this.#loopLag,
      eachSecond: () => this.#tenants.eachSecond(),
    });
    for (const tenant of config.tenants) log.info("tenant ready", describe(tenant));
    try {
      this.adminAddress = await this.#admin?.start() ?? null;
      const { sse } = this.#options, acceptance = this.#acceptance, ops = () => this.#ops;
      const handler = publicHandler({
        admission: this.#admission,
        entries: this.#tenants.entries,
        sse,
        ops,
        acceptance,
        log,
      });
      const address = await transport.start(handler);
      for (const weakness of describeWeaknesses(config, transport.limits, descriptorLimit())) {
        log.warn(weakness, { transport: transport.name });
      }
      this.#certificate?.start();
      this.#tenants.start();
      for (const listener of this.#further) await listener.start();
      void this.#cluster?.start().then(() => this.#admission.hold(false));
      log.info("listening", { ...address, transport: transport.name, ...build });
      return address;
    } catch (cause) {
      this.#stopTicking();
      await this.#persistence.stop();
      for (const listener of this.#further) await listener.stop();
      await transport.stop();
      await this.#admin?.stop();
      throw cause;
    }
  }

  /**
   * Reads the configuration anew and goes by it from then on, or goes on as before where it is not good. No session ends,
   * but for those of tenants that are removed or suspended. Never rejects.
   */
  reload(cause: ReloadCause): Promise<ReloadResult> {
    return this.#reloader.reload(cause);
  }

  /**
   * Takes no one in any more, tells every session to reconnect elsewhere, and closes them one after the other over
   * `drain_grace_ms`, so that they do not arrive elsewhere all at once. Resolves when all are gone.
   */
  async drain(): Promise<void> {
    if (this.#draining) return;
    this.#draining = true;
    this.#admission.drain();
    this.#reloader.end("the gateway drains");
    const { clock, log } = this.#options;
    const graceMs = this.#config.gateway.drain_grace_ms;
    const sessions = [...this.#tenants].flatMap(({ tenant }) => [...tenant.registry.all()]);
    log.info("draining", { sessions: sessions.length, grace_ms: graceMs });
    const { totals } = this.#context;
    const budgetPerSecond = handshakeBudget(this.#config.gateway, this.#cluster);
    const isEmpty = () => totals.sessions === 0 && [...this.#tenants].every((one) => one.departing === 0);
    const handsOver = hasHeirs(this.#cluster);
    await sendElsewhere({ sessions, graceMs, budgetPerSecond, isEmpty, handsOver, clock });
    const closedAt = clock.now();
    await poll(clock, () => totals.links === 0 || clock.now() - closedAt >= LAST_CLOSE_MS);
    log.info("drained", { sessions: sessions.length });
  }

  /** Drops what is still open and frees the address. */
  async stop(): Promise<void> {
    this.#reloader.end("the gateway stops");
    this.#certificate?.stop();
    await this.#options.sse?.stop();
    await this.#options.transport.stop();
    for (const listener of this.#further) await listener.stop();
    await this.#admin?.stop();
    this.#stopTicking?.();
    await this.#tenants.stop();
    await this.#cluster?.stop();
    await this.#persistence.stop();
  }

  /** Numbers for tests: what is held right now. */
  census(tenantId: string): Census {
    return censusOf(this.tenant(tenantId), this.#context);
  }

  /** What survives a restart, as far as the configuration says where. */
  get state(): State {
    return this.#persistence.state;
  }

  get webhooks(): Webhooks {
    return this.#persistence.webhooks;
  }

  /** A tenant that is served, for whoever embeds the gateway. */
  tenant(id: string): Tenant {
    return this.#tenants.get(id)!.tenant;
  }

  /** Puts a planned configuration in place, all within this turn. */
  #apply(next: Config, text: string, plan: Plan): void {
    const { transport } = this.#options;
    const fixed = transport.limits.pings ? [] : IDLE_FIXED;
    const gateway = withoutRestart(this.#config.gateway, next.gateway, fixed);
    this.#extensionSettings.host_memory_mb = next.extensions.host_memory_mb;
    const extensions = { ...this.#extensionSettings };
    this.#config = { ...next, gateway, extensions, ...adminWithoutRestart(this.#config, next) };
    this.#text = text;
    this.#context.settings = gatewaySettings(gateway);
    this.#limiter.apply(gateway.handshake_limit);
    this.#requestLimiter.apply(gateway.handshake_limit);
    this.#quotas.apply(gateway.quotas, this.#context.now());
    this.#admission.apply(handshakeConfig(gateway));
    if (gateway.tls !== undefined) this.#certificate?.apply(gateway.tls);
    this.#ops = this.#buildOps();
    this.#admin?.apply();
    const { maxMessageBytes } = this.#tenants;
    this.#tenants.apply(plan, gateway);
    this.#persistence.apply(this.#tenants);
    if (this.#tenants.maxMessageBytes !== maxMessageBytes) {
      const maxBytes = messageBytesMax(this.#tenants.maxMessageBytes);
      transport.boundMessages(maxBytes);
      for (const listener of this.#further) listener.boundMessages(maxBytes);
      this.#options.sse?.boundMessages(maxBytes);
    }
  }

  #buildExporter(): Exporter {
    return new Exporter({
      tenants: this.#tenants,
      strayRejections: this.#admission.strayRejections,
      laneNames: LANE_NAMES,
      build: this.#options.build,
      draining: () => this.#draining,
      loopLag: () => this.#loopLag,
      heldBytes: () => this.#context.flusher.heldBytes,
      limiterEntries: () => this.#limiter.size,
      certificate: this.#certificate?.metrics ?? null,
      reload: this.#reloader.metrics,
      more: [
        ...partMetrics({
          tenants: this.#tenants,
          historyBudget: this.#historyBudget,
          cluster: this.#cluster,
        }),
        ...this.#persistence.metrics,
        ...this.#acceptance.metrics,
        ...this.#options.metrics,
      ],
    });
  }

  #buildOps(): Hono {
    const { enabled, path } = this.#config.metrics;
    return opsRoutes({
      draining: () => this.#draining,
      waiting: this.#waiting,
      degraded: this.#degraded,
      accepting: () => this.#acceptance.works,
      metricsPath: enabled && this.#admin === null ? path : null,
      metricsContentType: this.#exporter.contentType,
      metrics: () => this.#metrics.get(null),
      wsPath: WS_PATH,
      playground: this.#options.dev ? () => playgroundFacts(this.#config.tenants) : null,
    });
  }
}
