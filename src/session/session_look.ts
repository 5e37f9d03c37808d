// What there is to see of one session while it runs, for administrators: what waits for it, how long its socket has taken
// nothing, what it may still send. Made when somebody looks, and at no other time.

import type { QuotaFill } from "../policy/policy.ts";
import type { SessionPolicyState } from "../policy/input.ts";
import type { TenantPolicy } from "../policy/policy.ts";
import type { LANE_NAMES } from "../protocol/frame.ts";

/** What waits in one lane. */
export interface LaneLook {
  readonly lane: typeof LANE_NAMES[number];
  readonly messages: number;
  readonly bytes: number;
}

/** How a connection gets on with what it is sent. */
export interface Pressure {
  /** Bytes in the lanes, and in the socket's buffer when that was last looked at. */
  readonly waitingBytes: number;
  /** How long the socket has been full; null while it is not. */
  readonly blockedMs: number | null;
  /** Messages dropped for it. */
  readonly dropped: number;
}

export interface SessionLook extends Pressure {
  readonly lanes: readonly LaneLook[];
  /** Messages that wait for a client that is away, or that is being brought up to date. */
  readonly backlog: { readonly messages: number; readonly bytes: number };
  readonly quotas: readonly QuotaFill[];
  /** How long its messages are still not looked at, for it sent far too many; null while they are. */
  readonly throttledMs: number | null;
  /** What policy keeps of it, a copy; null before its first message. */
  readonly policyState: SessionPolicyState | null;
}

/** Of a session for which nothing waits. */
export const NO_PRESSURE: Pressure = { waitingBytes: 0, blockedMs: null, dropped: 0 };

/** A session's parts, as far as they are there. */
export interface SessionParts {
  readonly user: string;
  readonly policy: TenantPolicy;
  readonly connection: { pressure(now: number): Pressure | null; lanes(): LaneLook[] } | null;
  readonly backlog: { readonly count: number; readonly heldBytes: number } | null;
  readonly inbound: SessionPolicyState | null;
}

export function lookAt(
  { user, policy, connection, backlog, inbound }: SessionParts,
  now: number,
): SessionLook {
  const throttled = inbound === null ? 0 : inbound.throttledUntil - now;
  return {
    ...connection?.pressure(now) ?? NO_PRESSURE,
    lanes: connection?.lanes() ?? [],
    backlog: { messages: backlog?.count ?? 0, bytes: backlog?.heldBytes ?? 0 },
    quotas: policy.fill(inbound, user, now),
    throttledMs: throttled > 0 ? throttled : null,
    policyState: inbound?.copy() ?? null,
  };
}
