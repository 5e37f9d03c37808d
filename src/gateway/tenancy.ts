// One tenant that is served: what lives as long as it does, and the parts made from its configuration. A reload makes new
// parts first, which changes nothing, and then puts all of them in place within one turn.

import type { Gate } from "../admission/admission.ts";
import { type Lobby, lobbyFor } from "../admission/lobby.ts";
import { OriginRule } from "../admission/origin.ts";
import { TenantAuth } from "../admission/tenant_auth.ts";
import type { Turns } from "../turns.ts";
import type { Verifier } from "../admission/verifier.ts";
import { DEV_AUTH, verifierFor } from "../admission/verifiers.ts";
import type { HttpService } from "../backend/http_service.ts";
import type { AuthConfig, GatewayConfig, TenantConfig } from "../config/schema.ts";
import { TenantMetrics } from "../metrics.ts";
import type { TenantView } from "../metrics/exporter.ts";
import { PolicyState, TenantPolicy } from "../policy/policy.ts";
import { LANE_NAMES } from "../protocol/frame.ts";
import type { Fanout } from "../room/fanout.ts";
import { presence } from "../room/presence.ts";
import { Rooms } from "../room/rooms.ts";
import type { ExtService } from "../service/service.ts";
import type { OutboxLimits } from "../session/outbox.ts";
import { Registry, type SessionLimits } from "../session/registry.ts";
import type { Resident } from "../session/resident.ts";
import { type House, Tenant } from "../session/tenant.ts";
import type { Terms } from "../session/terms.ts";
import type { Clock } from "./clock.ts";
import { TenantServices } from "./tenant_services.ts";

/** What all tenants of a gateway have in common. */
export interface Surroundings {
  readonly house: House;
  /** Of all tenants, so that a turn's deliveries are bounded whoever causes them. */
  readonly fanout: Fanout;
  readonly clock: Clock;
  /** Whether a tenant without `auth` accepts dev tickets. */
  readonly dev: boolean;
  /** Further ext services of every tenant, by name. */
  readonly services: ReadonlyMap<string, ExtService>;
  /** For the signatures of all tickets: the runtime verifies them on threads of its own. */
  readonly signatureTurns: Turns;
  /** Takes note of a bad ticket from this address. */
  readonly charge: (addressGroup: string) => void;
}

/** What is made from a tenant's configuration. */
export interface Parts {
  readonly config: TenantConfig;
  readonly auth: TenantAuth;
  readonly verifier: Verifier;
  readonly origins: OriginRule;
  readonly services: TenantServices;
  readonly terms: Terms;
}

export class Tenancy implements TenantView {
  readonly tenant: Tenant;
  readonly gate: Gate;
  readonly #surroundings: Surroundings;
  readonly #policyState = new PolicyState();
  #parts: Parts;

  constructor(config: TenantConfig, gateway: GatewayConfig, surroundings: Surroundings) {
    this.#surroundings = surroundings;
    const { house, fanout } = surroundings;
    const rooms = new Rooms(config.limits, fanout);
    rooms.watch(presence);
    const metrics = new TenantMetrics(LANE_NAMES);
    const parts = this.#make(config, { rooms, metrics, former: null });
    this.#parts = parts;
    this.tenant = new Tenant({
      id: config.id,
      terms: parts.terms,
      rooms,
      registry: new Registry<Resident>(sessionLimits(config), house.totals),
      metrics,
      outbox: outboxLimits(config, gateway),
      house,
    });
    const { auth, origins } = parts;
    this.gate = { tenant: this.tenant, auth, origins, lobby: this.#lobby(auth, gateway) };
  }

  get id(): string {
    return this.tenant.id;
  }

  get config(): TenantConfig {
    return this.#parts.config;
  }

  get metrics(): TenantMetrics {
    return this.tenant.metrics;
  }

  rooms(): number {
    return this.tenant.rooms.size;
  }

  pending(): number {
    return this.gate.lobby?.size ?? 0;
  }

  get httpServices(): HttpService[] {
    return this.#parts.services.http;
  }

  /** Makes what another configuration of this tenant needs, and changes nothing yet. */
  prepare(config: TenantConfig): Parts {
    const { rooms, metrics } = this.tenant;
    return this.#make(config, { rooms, metrics, former: this.#parts });
  }

  /** Puts parts in place; sessions hold to them from their next message on. */
  adopt(parts: Parts, gateway: GatewayConfig): void {
    const { tenant, gate } = this;
    const { config, auth, origins, terms } = parts;
    const former = this.#parts;
    this.#parts = parts;
    tenant.rooms.limits = config.limits;
    tenant.registry.limits = sessionLimits(config);
    Object.assign(tenant.outbox, outboxLimits(config, gateway));
    tenant.terms = terms;
    terms.policy.begin(this.#surroundings.house.now());
    gate.auth = auth;
    gate.origins = origins;
    gate.lobby = this.#lobby(auth, gateway, gate.lobby);
    if (former !== parts) former.services.stop(parts.services);
  }

  /** Nobody is served any more. */
  stop(): void {
    this.#parts.services.stop();
  }

  #make(
    config: TenantConfig,
    { rooms, metrics, former }: { rooms: Rooms; metrics: TenantMetrics; former: Parts | null },
  ): Parts {
    const { clock, services: embedded, charge, house: { log } } = this.#surroundings;
    const { verifier, auth: authConfig } = this.#verifier(config, former);
    const auth = new TenantAuth({ verifier, config: authConfig, metrics, charge });
    const services = new TenantServices({
      config,
      embedded,
      rooms,
      every: clock.every,
      http: {
        tenant: config.id,
        // The tenant itself comes later, and there are no sessions before.
        actions: { perform: (action, by) => this.tenant.actions.perform(action, by) },
        log,
        now: clock.now,
        unixMs: clock.unixMs,
        random: clock.random,
        newId: clock.newId,
        wait: clock.wait,
      },
      former: former?.services ?? null,
    });
    const terms: Terms = {
      policy: new TenantPolicy({ config, state: this.#policyState }),
      dispatcher: services.dispatcher,
      authenticator: auth,
      maxPending: config.limits.max_pending_per_session,
    };
    return { config, auth, verifier, origins: new OriginRule(config.origins), services, terms };
  }

  /** Verifies tickets; the former one goes on, with all it has cached, where what it verifies by is the same. */
  #verifier(config: TenantConfig, former: Parts | null): { verifier: Verifier; auth: AuthConfig } {
    const { dev, signatureTurns, house: { log }, clock: { now, unixMs } } = this.#surroundings;
    const { id } = config;
    if (config.auth === undefined && !dev) throw new Error(`Cannot serve tenant "${id}": it has no auth`);
    const auth = config.auth ?? DEV_AUTH;
    if (former !== null && verifiesBy(former.config.auth ?? DEV_AUTH) === verifiesBy(auth)) {
      return { verifier: former.verifier, auth };
    }
    const verifier = verifierFor({ tenant: id, config: auth, fetch, signatureTurns, now, unixMs, log });
    return { verifier, auth };
  }

  #lobby(auth: TenantAuth, gateway: GatewayConfig, former: Lobby | null = null): Lobby | null {
    const { totals, wheel } = this.#surroundings.house;
    const { metrics } = this.tenant;
    const shared = { totals, wheel, metrics, timeoutMs: gateway.auth_timeout_ms };
    return lobbyFor(auth, shared, former);
  }
}

/** The part of `auth` by which tickets are verified. */
function verifiesBy({ mode, jwt, static: fixed, http }: AuthConfig): string {
  return JSON.stringify([mode, jwt, fixed, http]);
}

function sessionLimits({ limits, policy: { sessions } }: TenantConfig): SessionLimits {
  return {
    maxSessions: limits.max_sessions_total,
    maxPerAddress: limits.max_sessions_per_ip,
    maxPerUser: sessions.max_sessions_per_user,
    onExceed: sessions.on_exceed,
  };
}

function outboxLimits({ delivery }: TenantConfig, gateway: GatewayConfig): OutboxLimits {
  const { reliable, latest, lossy } = delivery;
  return {
    reliableBytes: reliable.max_bytes,
    reliableMessages: reliable.max_messages,
    latestBytes: latest.max_bytes,
    latestAgeMs: latest.max_age_ms,
    lossyBytes: lossy.max_bytes,
    lossyAgeMs: lossy.max_age_ms,
    lossyDropsOldest: lossy.on_full === "drop_oldest",
    sendTimeoutMs: gateway.writer_send_timeout_ms,
    watermarkBytes: gateway.socket_watermark_bytes,
  };
}
