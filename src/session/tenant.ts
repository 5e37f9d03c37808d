// What the sessions of a tenant share, and what all sessions of the gateway share. Built by gateway.ts.

import type { Log } from "../log.ts";
import type { TenantMetrics } from "../metrics.ts";
import type { TenantPolicy } from "../policy/policy.ts";
import type { Rooms } from "../room/rooms.ts";
import type { Actions } from "../service/action.ts";
import type { Dispatcher } from "../service/dispatcher.ts";
import type { Flusher } from "./flusher.ts";
import type { Authenticator } from "./grant.ts";
import type { Intake } from "./intake.ts";
import type { OutboxLimits } from "./outbox.ts";
import type { Registry, Totals } from "./registry.ts";
import type { Session } from "./session.ts";
import type { TimerWheel } from "./timer_wheel.ts";

/** One tenant at run time. Nothing in it is reachable from another tenant's sessions. */
export interface Tenant {
  readonly id: string;
  readonly policy: TenantPolicy;
  readonly rooms: Rooms;
  readonly dispatcher: Dispatcher;
  readonly intake: Intake;
  readonly registry: Registry<Session>;
  readonly actions: Actions;
  readonly authenticator: Authenticator;
  readonly metrics: TenantMetrics;
  readonly outbox: OutboxLimits;
  readonly house: House;
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
  readonly pingIntervalMs: number;
  /** 0 where the transport itself watches for silence. */
  readonly idleTimeoutMs: number;
}
