// One tenant that is served: what lives as long as it does, and the parts made from its configuration. A reload makes new
// parts first, which changes nothing, and then puts all of them in place within one turn.

import type { TenantEntry } from "../admission/admission.ts";
import { OriginRule } from "../admission/origin.ts";
import type { Listed, Revoked } from "../admission/revocations.ts";
import { TenantAuth } from "../admission/tenant_auth.ts";
import { TicketWaits, ticketWaitsOptions } from "../admission/ticket_wait.ts";
import { NO_TICKET, REVOKED, type Verifier } from "../admission/verifier.ts";
import type { HttpService } from "../backend/http_service.ts";
import { openFingerprint } from "../config/fingerprint.ts";
import type { GatewayConfig, TenantConfig } from "../config/schema.ts";
import { TenantMetrics } from "../metrics/metrics.ts";
import type { TenantView } from "../metrics/exporter.ts";
import type { SchemaCodes } from "../config/data_schema.ts";
import { TenantPolicy } from "../policy/policy.ts";
import { PolicyState } from "../policy/state.ts";
import { CLOSE } from "../protocol/codes.ts";
import { LANE_NAMES } from "../protocol/frame.ts";
import { RoomClasses } from "../room/room_class.ts";
import type { RoomTap } from "../room/room_tap.ts";
import type { Rooms } from "../room/rooms.ts";
import type { Action, Actions, Actor } from "../service/action.ts";
import { outboxLimits } from "../session/outbox_limits.ts";
import { Registry, REMOVED, SUSPENDED } from "../session/registry.ts";
import type { SessionHandle } from "../session/session_handle.ts";
import type { TenantSettings } from "../session/settings.ts";
import { type Holder, Tenant } from "../session/tenant.ts";
import { shareQuotas } from "./quota_share.ts";
import { endRefused, StaggeredClose } from "./staggered_close.ts";
import { TenantNode } from "./tenant_node.ts";
import { tenantRooms } from "./tenant_rooms.ts";
import type { TenantRecord } from "./tenant_record.ts";
import { TenantExtensions } from "./tenant_extensions.ts";
import type { TenantDeps } from "./tenant_deps.ts";
import { compressionSettings, resumeSettings, sessionLimits } from "./tenant_settings.ts";
import { TenantServices } from "./tenant_services.ts";
import { tenantVerifier } from "./tenant_verifier.ts";
import { type EventSink, TenantWatch } from "./tenant_watch.ts";

/** A tenant's configuration, and the code of its rules' schemas. */
export interface TenantLoaded {
  readonly config: TenantConfig;
  readonly schemas: SchemaCodes;
}

/** What is made from a tenant's configuration. */
export interface Parts {
  readonly config: TenantConfig;
  /** A short name of the configuration. */
  readonly print: string;
  readonly auth: TenantAuth;
  readonly verifier: Verifier;
  readonly origins: OriginRule;
  readonly services: TenantServices;
  readonly settings: TenantSettings;
}

export class TenantRuntime implements TenantView {
  readonly tenant: Tenant;
  readonly entry: TenantEntry;
  readonly extensions: TenantExtensions;
  /** What goes through its rooms, for whoever looks. */
  readonly tap: RoomTap;
  readonly #deps: TenantDeps;
  readonly #policyState = new PolicyState();
  readonly #record: TenantRecord;
  /** Null where the gateway is alone. */
  readonly #node: TenantNode | null;
  #parts: Parts;
  /** It is in the configuration no more. */
  #leaving = false;
  #ending: StaggeredClose | null = null;
  #graceMs: number;
  /** Has its webhooks told no more. */
  #unwatch: () => void = () => {};

  /** Has no effects: a tenant that is not wanted after all can be dropped. */
  constructor(loaded: TenantLoaded, gatewayConfig: GatewayConfig, deps: TenantDeps) {
    this.#deps = deps;
    this.#graceMs = gatewayConfig.drain_grace_ms;
    const { config: { id } } = loaded;
    const { gateway, fanout, persistence, cluster, clock } = deps;
    const node = this.#node = cluster === null ? null : new TenantNode(id, cluster, clock);
    this.#record = persistence.record(id);
    this.extensions = new TenantExtensions(id, deps.extensions);
    const { rooms, tap } = tenantRooms({ id, deps, node, settings: () => this.tenant.settings });
    this.tap = tap;
    const metrics = new TenantMetrics(LANE_NAMES);
    const parts = this.#make(loaded, gatewayConfig, { rooms, metrics, former: null });
    this.#parts = parts;
    this.tenant = new Tenant({
      id,
      settings: parts.settings,
      rooms,
      fanout,
      registry: new Registry<SessionHandle>(
        () => this.tenant.settings.sessions,
        gateway.totals,
        node?.sessions ?? null,
      ),
      metrics,
      bans: this.#record.bans,
      gateway,
      peers: node?.targets ?? null,
      newId: deps.clock.newId,
      incarnation: cluster?.incarnation ?? "",
    });
    const { auth, origins } = parts;
    this.entry = { tenant: this.tenant, auth, origins, waits: null };
    this.#applyWaits(auth, gatewayConfig);
    if (this.suspended) this.tenant.registry.closed = SUSPENDED;
  }

  /** Takes up what is kept of it. To be called before anybody is let in. @throws when that cannot be read */
  async recall(): Promise<void> {
    await this.#record.load();
    void this.#openOrClose(0);
  }

  /** Whether all that was decided about it outlives the gateway, as far as anything does, once that is known. */
  async kept(): Promise<boolean> {
    return await this.#record.written();
  }

  get id(): string {
    return this.tenant.id;
  }

  get config(): TenantConfig {
    return this.#parts.config;
  }

  get print(): string {
    return this.#parts.print;
  }

  /** Those in place. */
  get parts(): Parts {
    return this.#parts;
  }

  get metrics(): TenantMetrics {
    return this.tenant.metrics;
  }

  rooms(): number {
    return this.tenant.rooms.occupied;
  }

  pending(): number {
    return this.entry.waits?.size ?? 0;
  }

  /** Sessions of which another node has yet to fetch something. */
  get departing(): number {
    return this.#node?.departing ?? 0;
  }

  get httpServices(): HttpService[] {
    return this.#parts.services.http;
  }

  /** It is served from now on. */
  start(): void {
    const { persistence, gateway } = this.#deps;
    persistence.hold(this.id, this.#record);
    const unwatch = this.watch(persistence.webhooks.of(this.id));
    const disobey = this.#node?.attach(this, this.#record);
    this.#unwatch = () => {
      unwatch();
      disobey?.();
    };
    this.#parts.settings.policy.apply(gateway.now());
    this.tenant.rooms.applyClasses();
  }

  /** Starts its extensions, those that do not run yet; others that run end. */
  runExtensions(): void {
    this.extensions.run(this.#parts.services.extensions, this.tenant);
  }

  /**
   * Makes what another configuration of this tenant needs, and changes nothing yet. What stays the same is used again,
   * unless all is to be made `anew`.
   */
  prepare(loaded: TenantLoaded, config: GatewayConfig, anew?: "anew"): Parts {
    const { rooms, metrics } = this.tenant;
    return this.#make(loaded, config, { rooms, metrics, former: anew === undefined ? this.#parts : null });
  }

  /** Puts parts in place; sessions go by them from their next message on. */
  apply(parts: Parts, config: GatewayConfig): void {
    const { tenant, entry } = this;
    const { auth, origins } = parts;
    const former = this.#parts;
    this.#parts = parts;
    // The one assignment by which everything changes that sessions, rooms and outboxes go by.
    tenant.settings = { ...parts.settings, outbox: outboxLimits(parts.config, config) };
    if (former !== parts) {
      parts.settings.policy.apply(this.#deps.gateway.now());
      tenant.recheckDetached();
      tenant.rooms.applyClasses();
      this.runExtensions();
      former.services.stop(parts.services);
      if (former.verifier !== parts.verifier) former.verifier.stop();
    }
    entry.auth = auth;
    entry.origins = origins;
    this.#applyWaits(auth, config);
    this.#graceMs = config.drain_grace_ms;
    this.#openOrClose(config.drain_grace_ms);
  }

  /** It is in the configuration no more: its sessions end over this time, and then `gone` is called. */
  async leave(overMs: number, gone: () => void): Promise<void> {
    this.#leaving = true;
    const ended = this.#openOrClose(overMs);
    if (ended === null || !await ended) return;
    void this.stop();
    this.#unwatch();
    this.#deps.persistence.left(this.id);
    gone();
  }

  /** It is in the configuration again; who has not been ended yet stays. Parts have to be adopted next. */
  comeBack(): void {
    this.#leaving = false;
  }

  /** Tells of what happens from now on, until the returned function is called. */
  watch(sink: EventSink): () => void {
    const { watchers, rooms } = this.tenant;
    const watch = new TenantWatch(sink, (room) => rooms.owns(room));
    watchers.push(watch);
    rooms.watch(watch);
    return () => {
      watchers.splice(watchers.indexOf(watch), 1);
      rooms.unwatch(watch);
    };
  }

  /** Has its quotas follow where its sessions are, where it has other nodes. */
  shareQuotas(): void {
    if (this.#node !== null) shareQuotas(this.tenant, this.#policyState);
  }

  get suspended(): boolean {
    return this.#record.suspended || this.config.suspended;
  }

  /** Its sessions end over this time, the grace of a drain if none is said, and nobody is let in until it is resumed. */
  suspend(overMs = this.#graceMs): void {
    this.#record.suspended = true;
    void this.#openOrClose(overMs);
  }

  /** Takes an administrator's suspension back. @returns whether it is served now: its configuration may suspend it too */
  resume(): boolean {
    this.#record.suspended = false;
    void this.#openOrClose(0);
    return !this.config.suspended;
  }

  /**
   * Takes tickets no more, and ends the sessions that came with them.
   * @param untilMs Unix time in milliseconds at which the tickets have expired by themselves; infinite for never
   * @returns the number of sessions; null when no more revocations can be remembered
   */
  revoke(revoked: Revoked, untilMs: number): number | null {
    const nowMs = this.#deps.clock.unixMs();
    if (!this.#record.revocations.revoke(revoked, untilMs, nowMs)) return null;
    const { registry } = this.tenant;
    const holders = "jti" in revoked ? registry.ofTicket(revoked.jti) : registry.ofUser(revoked.user);
    const ending = holders.filter((session) => this.#record.revocations.has(session, nowMs));
    for (const session of ending) endRefused(session, REVOKED);
    const isRevoked = (session: Holder) => this.#record.revocations.has(session, nowMs);
    this.tenant.elsewhere?.drop(REVOKED.close ?? CLOSE.policyViolation, isRevoked);
    return ending.length;
  }

  revoked(): Iterable<Listed> {
    return this.#record.revocations.all(this.#deps.clock.unixMs());
  }

  /** Nobody is served any more. Resolves when all that it ran has ended. */
  async stop(): Promise<void> {
    this.#parts.services.stop();
    this.tenant.rooms.histories.stop();
    this.#parts.verifier.stop();
    await this.extensions.stop();
  }

  /** Takes sessions in, or ends them all over this time. @returns whether that was done to the end; null where none ends */
  #openOrClose(overMs: number): Promise<boolean> | null {
    const { registry } = this.tenant;
    const closed = this.#leaving ? REMOVED : this.suspended ? SUSPENDED : null;
    if (closed === registry.closed) return null;
    registry.closed = closed;
    this.#ending?.cancel();
    this.#ending = null;
    if (closed === null) return null;
    this.entry.waits?.dismiss(closed);
    this.#ending = new StaggeredClose({
      sessions: [...registry.all()],
      overMs,
      end: (session) => endRefused(session, closed),
      isEmpty: () => registry.size === 0,
      clock: this.#deps.clock,
    });
    return this.#ending.start();
  }

  #make(
    { config, schemas }: TenantLoaded,
    gatewayConfig: GatewayConfig,
    { rooms, metrics, former }: { rooms: Rooms; metrics: TenantMetrics; former: Parts | null },
  ): Parts {
    const { clock, services: embedded, charge, policy, gateway: { log } } = this.#deps;
    const { verifier, auth: authConfig } = tenantVerifier(config, former, {
      deps: this.#deps,
      share: this.extensions.runner.share,
    });
    const auth = new TenantAuth({
      verifier,
      config: authConfig,
      metrics,
      revocations: this.#record.revocations,
      unixMs: clock.unixMs,
      charge,
    });
    const services = new TenantServices({
      config,
      embedded,
      rooms,
      every: clock.every,
      http: {
        tenant: config.id,
        share: this.extensions.runner.share,
        // The tenant itself comes later, and there are no sessions before.
        actions: {
          perform: ((action: Action, by: Actor) =>
            this.tenant.actions.perform(action, by)) as Actions["perform"],
        },
        log,
        tracer: this.#deps.gateway.tracer,
        now: clock.now,
        unixMs: clock.unixMs,
        random: clock.random,
        newId: clock.newId,
        wait: clock.wait,
      },
      runner: this.extensions.runner,
      former: former?.services ?? null,
    });
    const settings: TenantSettings = {
      policy: new TenantPolicy({
        config,
        state: this.#policyState,
        ...policy,
        schemas,
        delivered: () => rooms.delivered.bytes,
      }),
      dispatcher: services.dispatcher,
      authenticator: auth,
      maxPending: config.limits.max_pending_per_session,
      outbox: outboxLimits(config, gatewayConfig),
      sessions: sessionLimits(config),
      rooms: config.limits,
      roomClasses: new RoomClasses(config.rooms),
      resume: resumeSettings(config),
      compression: compressionSettings(config),
    };
    const print = openFingerprint(config);
    const origins = new OriginRule(config.origins, { thisMachine: this.#deps.dev });
    return { config, print, auth, verifier, origins, services, settings };
  }

  /** Who may send a ticket as the first message, and how many at a time. */
  #applyWaits(auth: TenantAuth, config: GatewayConfig): void {
    const { entry, tenant: { metrics } } = this;
    const { totals } = this.#deps.gateway;
    const options = ticketWaitsOptions(auth, { totals, metrics, timeoutMs: config.auth_timeout_ms });
    if (options === null) entry.waits?.dismiss(NO_TICKET);
    else entry.waits?.apply(options);
    entry.waits = options === null ? null : entry.waits ?? new TicketWaits(options);
  }
}
