// The composition root: the only place that constructs the parts and knows all of them. It starts them, drains
// them and stops them, in that order; nothing here is on a message's way.

import { AddressFinder } from "./admission/address.ts";
import { Admission, type Gate, WS_PATH } from "./admission/admission.ts";
import { CertificateKeeper } from "./admission/certificate_keeper.ts";
import { Delay, WAITING_MAX } from "./admission/delay.ts";
import { HandshakeLimiter } from "./admission/limiter.ts";
import { Retry, SPREAD_MS } from "./admission/retry.ts";
import { Turns } from "./admission/turns.ts";
import { parseListen } from "./config/addresses.ts";
import type { Certificate } from "./config/certificate.ts";
import type { Config } from "./config/schema.ts";
import { AdminListener } from "./gateway/admin_listener.ts";
import type { Clock } from "./gateway/clock.ts";
import { type Surroundings, Tenancy } from "./gateway/tenancy.ts";
import type { Log } from "./log.ts";
import { Durations } from "./metrics.ts";
import { Exporter } from "./metrics/exporter.ts";
import { opsRoutes } from "./ops/http.ts";
import { describe, describeFixed, describeLimits } from "./ops/start_report.ts";
import { CLOSE } from "./protocol/codes.ts";
import { LANE_NAMES } from "./protocol/frame.ts";
import { sysDraining } from "./protocol/sys.ts";
import { Fanout } from "./room/fanout.ts";
import type { Actions } from "./service/action.ts";
import type { ExtService } from "./service/service.ts";
import { Flusher } from "./session/flusher.ts";
import type { House } from "./session/tenant.ts";
import { TimerWheel } from "./session/timer_wheel.ts";
import type { Transport, TransportOptions } from "./transport/port.ts";

export { type Clock, SYSTEM_CLOCK } from "./gateway/clock.ts";

export interface GatewayOptions {
  readonly config: Config;
  /** What the transport was created with; null without TLS. */
  readonly certificate: Certificate | null;
  /** Accept dev tickets. */
  readonly dev: boolean;
  readonly transport: Transport;
  /** Serves the admin API; null where the configuration has no `admin`. */
  readonly adminTransport: Transport | null;
  readonly log: Log;
  /** Labels of the metric `wsprism_build_info`. */
  readonly build: Readonly<Record<string, string>>;
  readonly clock: Clock;
  /** Further ext services of every tenant, by name, for embedding. */
  readonly services: ReadonlyMap<string, ExtService>;
}

/** What a transport has to be created with for this configuration. */
export function transportOptions(config: Config, certificate: Certificate | null): TransportOptions {
  // The schema has checked it.
  const { hostname, port } = parseListen(config.gateway.listen)!;
  return {
    hostname,
    port,
    maxMessageBytes: Math.max(...config.tenants.map((tenant) => tenant.limits.max_frame_bytes)),
    idleTimeoutMs: config.gateway.idle_timeout_ms,
    maxHeaderBytes: config.gateway.max_header_bytes,
    headerTimeoutMs: config.gateway.header_timeout_ms,
    tls: certificate,
  };
}

/** What the admin API's transport has to be created with; null where there is none. */
export function adminTransportOptions({ admin, gateway }: Config): TransportOptions | null {
  if (admin === undefined) return null;
  const { max_header_bytes: maxHeaderBytes, header_timeout_ms: headerTimeoutMs, idle_timeout_ms } = gateway;
  // No WebSocket is served there.
  const idle = { maxMessageBytes: 1, idleTimeoutMs: idle_timeout_ms };
  return { ...parseListen(admin.listen)!, ...idle, maxHeaderBytes, headerTimeoutMs, tls: null };
}

/** Between two looks at what drains. */
const DRAIN_STEP_MS = 50;
/** How long clients may take to answer the last close of a drain. */
const LAST_CLOSE_MS = 1000;

export class Gateway {
  readonly #options: GatewayOptions;
  readonly #tenancies = new Map<string, Tenancy>();
  readonly #gates = new Map<string, Gate>();
  readonly #house: House;
  readonly #limiter: HandshakeLimiter;
  readonly #admission: Admission;
  readonly #loopLag = new Durations();
  readonly #exporter: Exporter;
  #draining = false;
  readonly #certificate: CertificateKeeper | null;
  readonly #admin: AdminListener | null;
  #stopTicking: (() => void) | null = null;

  constructor(options: GatewayOptions) {
    this.#options = options;
    const { config, transport, log, clock } = options;
    const { gateway } = config;
    const fanout = new Fanout(() => this.#house.flusher.wake());
    this.#house = {
      totals: { sessions: 0, links: 0, pending: 0, maxSessions: gateway.max_connections },
      wheel: new TimerWheel(clock.now),
      flusher: new Flusher({
        afterTurn: (task) => transport.afterTurn(task),
        now: clock.now,
        prepare: () => fanout.advance(),
        maxHeldBytes: gateway.max_outbox_bytes,
      }),
      log,
      now: clock.now,
      unixMs: clock.unixMs,
      pingIntervalMs: gateway.ping_interval_ms,
      idleTimeoutMs: transport.limits.pings ? gateway.idle_timeout_ms : 0,
    };
    this.#limiter = new HandshakeLimiter(gateway.handshake_limit);
    const surroundings: Surroundings = {
      house: this.#house,
      fanout,
      clock,
      dev: options.dev,
      services: options.services,
      // One CPU is the event loop's.
      signatureTurns: new Turns(Math.max(1, navigator.hardwareConcurrency - 1)),
      charge: (addressGroup) => this.#limiter.charge(addressGroup, clock.now()),
    };
    for (const tenant of config.tenants) {
      const tenancy = new Tenancy(tenant, gateway, surroundings);
      this.#tenancies.set(tenant.id, tenancy);
      this.#gates.set(tenant.id, tenancy.gate);
    }
    this.#admission = new Admission({
      gates: this.#gates,
      limiter: this.#limiter,
      addresses: new AddressFinder(gateway.trusted_proxies, gateway.client_ip_header),
      delay: new Delay({
        wheel: this.#house.wheel,
        afterTurn: (task) => transport.afterTurn(task),
        max: WAITING_MAX,
      }),
      retry: new Retry(clock.random),
      log,
      now: clock.now,
      newId: clock.newId,
      drainRetryMs: Math.max(1000, gateway.drain_grace_ms),
    });
    const { certificate: current } = options;
    const { tls: files } = gateway;
    this.#certificate = current === null || files === undefined
      ? null
      : new CertificateKeeper({ files, current, transport, log, clock });
    this.#exporter = this.#buildExporter();
    const { adminTransport } = options;
    this.#admin = adminTransport === null ? null : new AdminListener({
      transport: adminTransport,
      tenancies: this.#tenancies,
      config: () => this.#options.config,
      draining: () => this.#draining,
      exporter: this.#exporter,
      log,
      clock,
      build: options.build,
    });
  }

  /**
   * Opens the door.
   * @throws when the address cannot be bound, see `Transport.start`
   */
  async start(): Promise<{ readonly hostname: string; readonly port: number }> {
    const { transport, clock, config, log, build } = this.#options;
    const exporter = this.#exporter;
    const ops = opsRoutes({
      draining: () => this.#draining,
      metricsPath: config.metrics.enabled && this.#admin === null ? config.metrics.path : null,
      metricsContentType: exporter.contentType,
      metrics: () => exporter.render(),
      wsPath: WS_PATH,
    });
    let before = clock.now();
    this.#stopTicking = clock.every(TimerWheel.tickMs, () => {
      const now = clock.now();
      this.#loopLag.observe(Math.max(0, now - before - TimerWheel.tickMs));
      before = now;
      this.#house.wheel.advance();
      this.#house.flusher.look();
    });
    for (const tenant of config.tenants) log.info("tenant ready", describe(tenant));
    try {
      await this.#admin?.start();
      const address = await transport.start({
        request: (request) => ops.fetch(request),
        upgrade: (request) => {
          // The transport answers with a bare 500; why, only this log knows.
          const failed = (cause: unknown) => {
            log.error("handshake failed", { error: describeError(cause) });
            throw cause;
          };
          try {
            const answer = this.#admission.answer(request);
            return answer instanceof Promise ? answer.catch(failed) : answer;
          } catch (cause) {
            return failed(cause);
          }
        },
      });
      const limits = describeLimits(transport.limits);
      if (limits !== null) log.warn(limits, { transport: transport.name });
      for (const fixed of describeFixed(config, transport.limits.fixed)) {
        log.warn(fixed, { transport: transport.name });
      }
      this.#certificate?.start();
      log.info("listening", { ...address, transport: transport.name, ...build });
      return address;
    } catch (cause) {
      this.#stopTicking();
      await this.#admin?.stop();
      throw cause;
    }
  }

  /**
   * Takes no one in any more, tells every session to reconnect elsewhere, and closes them one after the other over
   * `drain_grace_ms`, so that they do not arrive elsewhere all at once. Resolves when all are gone.
   */
  async drain(): Promise<void> {
    if (this.#draining) return;
    this.#draining = true;
    this.#admission.drain();
    const { config, clock, log } = this.#options;
    const graceMs = config.gateway.drain_grace_ms;
    const sessions = [...this.#tenancies.values()].flatMap(({ tenant }) => [...tenant.registry.all()]);
    log.info("draining", { sessions: sessions.length, grace_ms: graceMs });
    const endsAfter = (i: number) => graceMs * (i + 1) / sessions.length;
    // Their ends are spread over the grace already; where that is short, their return is.
    const spreadMs = Math.max(0, SPREAD_MS.one - graceMs);
    sessions.forEach((session, i) => {
      const retryAfterMs = Math.ceil(endsAfter(i) + clock.random() * spreadMs);
      session.deliver(sysDraining(session.traceId, retryAfterMs));
    });
    const since = clock.now();
    let next = 0;
    await this.#poll(() => {
      const elapsed = clock.now() - since;
      while (next < sessions.length && endsAfter(next) <= elapsed) {
        sessions[next++]!.end(CLOSE.draining, null);
      }
      return next === sessions.length || this.#house.totals.sessions === 0;
    });
    const closedAt = clock.now();
    await this.#poll(() => this.#house.totals.links === 0 || clock.now() - closedAt >= LAST_CLOSE_MS);
    log.info("drained", { sessions: sessions.length });
  }

  /** Drops what is still open and frees the address. */
  async stop(): Promise<void> {
    this.#certificate?.stop();
    await this.#options.transport.stop();
    await this.#admin?.stop();
    this.#stopTicking?.();
    for (const tenancy of this.#tenancies.values()) tenancy.stop();
  }

  /** Numbers for tests and for the operator's HTTP: what is held right now. */
  census(
    tenantId: string,
  ): { sessions: number; users: number; rooms: number; roomUsers: number; timers: number } {
    const { registry, rooms } = this.#tenancies.get(tenantId)!.tenant;
    return {
      sessions: registry.size,
      users: registry.userCount,
      rooms: rooms.size,
      roomUsers: rooms.userCount,
      timers: this.#house.wheel.size,
    };
  }

  /** What those may do who speak for a tenant. */
  actions(tenantId: string): Actions {
    return this.#tenancies.get(tenantId)!.tenant.actions;
  }

  #buildExporter(): Exporter {
    return new Exporter({
      tenants: { [Symbol.iterator]: () => this.#tenancies.values() },
      strayRejections: this.#admission.strayRejections,
      laneNames: LANE_NAMES,
      build: this.#options.build,
      draining: () => this.#draining,
      loopLag: () => this.#loopLag,
      heldBytes: () => this.#house.flusher.heldBytes,
      limiterEntries: () => this.#limiter.size,
      certificate: this.#certificate?.metrics ?? null,
    });
  }

  /** Asks again and again until the answer is yes. */
  #poll(done: () => boolean): Promise<void> {
    if (done()) return Promise.resolve();
    return new Promise((resolve) => {
      const stop = this.#options.clock.every(DRAIN_STEP_MS, () => {
        if (!done()) return;
        stop();
        resolve();
      });
    });
  }
}

function describeError(cause: unknown): string {
  return cause instanceof Error ? cause.stack ?? cause.message : String(cause);
}
