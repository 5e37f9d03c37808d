// The levels of quotas: what the configuration says of each, and the checks that hold messages to them. A session's own
// quota is not among these checks: it is taken from at each message, before anything of it is read.

import type { PolicyConfig, QuotaConfig } from "../config/schema.ts";
import { type Denial, type DenyReason, overQuota } from "./denial.ts";
import type { Buckets } from "./buckets.ts";
import { FairQuota } from "./fair_quota.ts";
import type { PolicyInput, SessionPolicyState } from "./input.ts";
import { Rate } from "./rate.ts";

/** A rate and how much may come at once. */
export interface Limit {
  readonly perSecond: number;
  readonly burst: number;
}

/** What one level allows; null for any number. */
export interface Limits {
  readonly messages: Limit | null;
  readonly bytes: Limit | null;
}

/** The limits of a tenant's levels. */
export interface QuotaLimits {
  readonly session: Limits;
  readonly user: Limits;
  readonly tenant: Limits;
  readonly outbound: Limit | null;
}

/** Reads `policy.quotas`, and wsPrism v1's `rate_limit_*` where these say nothing. */
export function quotaLimits(policy: PolicyConfig): QuotaLimits {
  const { quotas: { session, user, tenant }, rate_limit_scope: scope } = policy;
  const v1 = { perSecond: policy.rate_limit_rps, burst: policy.rate_limit_burst };
  const own = limitsOf(session), shared = limitsOf(tenant);
  return {
    session: { ...own, messages: own.messages ?? (scope === "tenant" ? null : v1) },
    user: limitsOf(user),
    tenant: { ...shared, messages: shared.messages ?? (scope === "connection" ? null : v1) },
    outbound: limit(tenant.outbound_bytes_per_second, tenant.outbound_bytes_burst),
  };
}

function limitsOf(quota: QuotaConfig): Limits {
  return {
    messages: limit(quota.messages_per_second, quota.burst),
    bytes: limit(quota.bytes_per_second, quota.bytes_burst),
  };
}

function limit(perSecond: number | undefined, burst: number | undefined): Limit | null {
  return perSecond === undefined ? null : { perSecond, burst: burst ?? 2 * perSecond };
}

/** The limiter of a limit. */
export function rateOf(limit: Limit | null): Rate | null {
  return limit === null ? null : new Rate(limit.perSecond, limit.burst);
}

/** What all tenants share. One object for all of their policies. */
export class GatewayQuotas {
  messages: FairQuota | null = null;
  bytes: FairQuota | null = null;

  constructor(quotas: QuotaConfig) {
    this.apply(quotas, 0);
  }

  /** Goes on with other limits. */
  apply(quotas: QuotaConfig, now: number): void {
    const { messages, bytes } = limitsOf(quotas);
    this.messages = successor(this.messages, messages, now);
    this.bytes = successor(this.bytes, bytes, now);
  }
}

function successor(before: FairQuota | null, limit: Limit | null, now: number): FairQuota | null {
  if (before !== null && before.perSecond === limit?.perSecond && before.burst === limit.burst) return before;
  const quota = fairQuota(limit);
  if (before !== null) quota?.apply(before, now);
  return quota;
}

/** The fair quota of a limit. */
export function fairQuota(limit: Limit | null): FairQuota | null {
  return limit === null ? null : new FairQuota(limit.perSecond, limit.burst);
}

/** One thing that a message must pass. It judges without taking anything. */
export interface Check {
  /** Its name, see `CHECK`. */
  readonly id: string;
  judge(input: PolicyInput, now: number): Denial | null;
  /** Takes what the message costs, once it has passed all checks. */
  charge(input: PolicyInput, now: number): void;
}

/** Fair quotas of messages and of bytes; null for none. */
export interface FairQuotas {
  readonly messages: FairQuota | null;
  readonly bytes: FairQuota | null;
}

export interface SharedQuotaOptions {
  readonly reason: DenyReason;
  readonly quotas: FairQuotas;
  /** Whose part in them it is; null for the session's. */
  readonly sessionState: SessionPolicyState | null;
}

/** A quota that several share fairly: a tenant's sessions, the gateway's tenants. */
export class SharedQuota implements Check {
  readonly id: string;
  readonly #reason: DenyReason;
  readonly #quotas: FairQuotas;
  readonly #sessionState: SessionPolicyState | null;

  constructor(id: string, { reason, quotas, sessionState }: SharedQuotaOptions) {
    this.id = id;
    this.#reason = reason;
    this.#quotas = quotas;
    this.#sessionState = sessionState;
  }

  judge(input: PolicyInput, now: number): Denial | null {
    const { messages, bytes } = this.#quotas;
    const sessionState = this.#sessionState ?? input.sessionState;
    if (messages !== null) {
      const waitMs = messages.waitMs(sessionState.share(messages), now, 1);
      if (waitMs > 0) return overQuota(this.id, this.#reason, { unit: "messages", waitMs });
    }
    if (bytes === null) return null;
    const waitMs = bytes.waitMs(sessionState.share(bytes), now, input.bytes);
    return waitMs > 0 ? overQuota(this.id, this.#reason, { unit: "bytes", waitMs }) : null;
  }

  charge(input: PolicyInput, now: number): void {
    const { messages, bytes } = this.#quotas;
    const sessionState = this.#sessionState ?? input.sessionState;
    messages?.take(sessionState.share(messages), now, 1);
    bytes?.take(sessionState.share(bytes), now, input.bytes);
  }
}

/** Of each user. */
export interface UserBuckets {
  readonly messages: Buckets;
  readonly bytes: Buckets;
}

/** The quota of one user's sessions. */
export class UserQuota implements Check {
  readonly id: string;
  readonly #messages: Rate | null;
  readonly #bytes: Rate | null;
  readonly #buckets: UserBuckets;

  constructor(id: string, { messages, bytes }: Limits, buckets: UserBuckets) {
    this.id = id;
    this.#messages = rateOf(messages);
    this.#bytes = rateOf(bytes);
    this.#buckets = buckets;
  }

  judge({ subject: { user }, bytes }: PolicyInput, now: number): Denial | null {
    if (this.#messages !== null) {
      const waitMs = this.#buckets.messages.waitMs(this.#messages, user, now, 1);
      if (waitMs > 0) return overQuota(this.id, "user_rate", { unit: "messages", waitMs });
    }
    if (this.#bytes === null) return null;
    const waitMs = this.#buckets.bytes.waitMs(this.#bytes, user, now, bytes);
    return waitMs > 0 ? overQuota(this.id, "user_rate", { unit: "bytes", waitMs }) : null;
  }

  charge({ subject: { user }, bytes }: PolicyInput, now: number): void {
    if (this.#messages !== null) this.#buckets.messages.take(this.#messages, user, now, 1);
    if (this.#bytes !== null) this.#buckets.bytes.take(this.#bytes, user, now, bytes);
  }
}
