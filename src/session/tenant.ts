// What the sessions of a tenant share, and what all sessions of the gateway share. What lives as long as the tenant is
// here by itself; what comes from its configuration is behind `terms`. Built in gateway/.

import type { Log } from "../log.ts";
import type { TenantMetrics } from "../metrics.ts";
import type { Ban, Bans } from "../policy/bans.ts";
import { CLOSE } from "../protocol/codes.ts";
import type { Rooms } from "../room/rooms.ts";
import type { Actions } from "../service/action.ts";
import type { Flusher } from "./flusher.ts";
import { Intake } from "./intake.ts";
import type { OutboxLimits } from "./outbox_limits.ts";
import type { Registry, Totals } from "./registry.ts";
import type { Resident } from "./resident.ts";
import { TenantActions } from "./tenant_actions.ts";
import type { Terms } from "./terms.ts";
import type { TimerWheel } from "./timer_wheel.ts";
import type { SessionWatcher } from "./watcher.ts";

export interface TenantOptions {
  readonly id: string;
  readonly terms: Terms;
  readonly rooms: Rooms;
  readonly registry: Registry<Resident>;
  readonly metrics: TenantMetrics;
  readonly bans: Bans;
  readonly outbox: OutboxLimits;
  readonly house: House;
}

/** One tenant at run time. Nothing in it is reachable from another tenant's sessions. */
export class Tenant {
  readonly id: string;
  /** What its configuration says now. */
  terms: Terms;
  readonly rooms: Rooms;
  readonly registry: Registry<Resident>;
  readonly metrics: TenantMetrics;
  /** Users who are not let in. */
  readonly bans: Bans;
  /** Every outbox of the tenant reads its bounds here: a reload changes them in place. */
  readonly outbox: OutboxLimits;
  readonly house: House;
  readonly intake: Intake;
  /** What those may do who speak for the tenant. */
  readonly actions: Actions;
  /** Those who are told of its sessions; none for a tenant that nobody watches. */
  readonly watchers: SessionWatcher[] = [];

  constructor(options: TenantOptions) {
    this.id = options.id;
    this.terms = options.terms;
    this.rooms = options.rooms;
    this.registry = options.registry;
    this.metrics = options.metrics;
    this.bans = options.bans;
    this.outbox = options.outbox;
    this.house = options.house;
    const { log, now, unixMs } = options.house;
    this.actions = new TenantActions({
      rooms: this.rooms,
      registry: this.registry,
      bounds: () => {
        const { maxFrameBytes, maxJsonDepth } = this.terms.policy;
        return { maxBytes: maxFrameBytes, maxDepth: maxJsonDepth };
      },
    });
    this.intake = new Intake({ tenant: this, metrics: options.metrics, log, now, unixMs });
  }

  /** Ends all sessions of a user, who is not let in again for so many milliseconds. @returns the ban that holds */
  ban(user: string, ms: number, by: string): Ban {
    const nowMs = this.house.unixMs();
    const ban = this.bans.ban({ user, untilMs: nowMs + ms, by }, nowMs);
    for (const session of [...this.registry.ofUser(user)]) session.kick("banned", CLOSE.banned);
    return ban;
  }
}

/** The process-wide parts. */
export interface House {
  readonly totals: Totals;
  readonly wheel: TimerWheel;
  readonly flusher: Flusher;
  readonly log: Log;
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
  /** Unix time in milliseconds. */
  readonly unixMs: () => number;
  pingIntervalMs: number;
  /** 0 where the transport itself watches for silence. */
  idleTimeoutMs: number;
}
