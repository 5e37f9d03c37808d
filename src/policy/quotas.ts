// The levels of quotas: what the configuration says of each, and the checks that hold messages to them. A session's own
// quota is not among these checks: it is taken from at each message, before anything of it is read.

import type { GatewayConfig, PolicyConfig, QuotaConfig } from "../config/schema.ts";
import { type Denial, type DenyReason, overQuota } from "./denial.ts";
import type { Buckets } from "./buckets.ts";
import { FairQuota } from "./fair_quota.ts";
import type { Matter, Standing } from "./matter.ts";
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

/** What all tenants share. One object for all of their policies; a changed limit needs a new one. */
export class GatewayQuotas {
  readonly messages: FairQuota | null;
  readonly bytes: FairQuota | null;

  constructor(quotas: GatewayConfig["quotas"]) {
    const { messages, bytes } = limitsOf(quotas);
    this.messages = fairQuota(messages);
    this.bytes = fairQuota(bytes);
  }
}

/** The fair quota of a limit. */
export function fairQuota(limit: Limit | null): FairQuota | null {
  return limit === null ? null : new FairQuota(limit.perSecond, limit.burst);
}

/** One thing that a message must pass. It judges without taking anything. */
export interface Check {
  /** Its name, see `CHECK`. */
  readonly id: string;
  judge(matter: Matter, now: number): Denial | null;
  /** Takes what the message costs, once it has passed all checks. */
  charge(matter: Matter, now: number): void;
}

/** A quota that several share fairly: a tenant's sessions, the gateway's tenants. */
export class SharedQuota implements Check {
  readonly id: string;
  readonly #reason: DenyReason;
  readonly #messages: FairQuota | null;
  readonly #bytes: FairQuota | null;
  /** Whose part it is; null for that of the session. */
  readonly #standing: Standing | null;

  constructor(
    id: string,
    quota: {
      readonly reason: DenyReason;
      readonly messages: FairQuota | null;
      readonly bytes: FairQuota | null;
      readonly standing: Standing | null;
    },
  ) {
    this.id = id;
    this.#reason = quota.reason;
    this.#messages = quota.messages;
    this.#bytes = quota.bytes;
    this.#standing = quota.standing;
  }

  judge(matter: Matter, now: number): Denial | null {
    const standing = this.#standing ?? matter.standing;
    if (this.#messages !== null) {
      const waitMs = this.#messages.waitMs(standing.share(this.#messages), now, 1);
      if (waitMs > 0) return overQuota(this.id, this.#reason, { unit: "messages", waitMs });
    }
    if (this.#bytes === null) return null;
    const waitMs = this.#bytes.waitMs(standing.share(this.#bytes), now, matter.bytes);
    return waitMs > 0 ? overQuota(this.id, this.#reason, { unit: "bytes", waitMs }) : null;
  }

  charge(matter: Matter, now: number): void {
    const standing = this.#standing ?? matter.standing;
    this.#messages?.take(standing.share(this.#messages), now, 1);
    this.#bytes?.take(standing.share(this.#bytes), now, matter.bytes);
  }
}

/** The quota of one user's sessions. */
export class UserQuota implements Check {
  readonly id: string;
  readonly #messages: Rate | null;
  readonly #bytes: Rate | null;
  readonly #buckets: { readonly messages: Buckets; readonly bytes: Buckets };

  constructor(
    id: string,
    quota: { readonly limits: Limits; readonly messages: Buckets; readonly bytes: Buckets },
  ) {
    this.id = id;
    this.#messages = rateOf(quota.limits.messages);
    this.#bytes = rateOf(quota.limits.bytes);
    this.#buckets = quota;
  }

  judge({ subject: { user }, bytes }: Matter, now: number): Denial | null {
    if (this.#messages !== null) {
      const waitMs = this.#buckets.messages.waitMs(this.#messages, user, now, 1);
      if (waitMs > 0) return overQuota(this.id, "user_rate", { unit: "messages", waitMs });
    }
    if (this.#bytes === null) return null;
    const waitMs = this.#buckets.bytes.waitMs(this.#bytes, user, now, bytes);
    return waitMs > 0 ? overQuota(this.id, "user_rate", { unit: "bytes", waitMs }) : null;
  }

  charge({ subject: { user }, bytes }: Matter, now: number): void {
    if (this.#messages !== null) this.#buckets.messages.take(this.#messages, user, now, 1);
    if (this.#bytes !== null) this.#buckets.bytes.take(this.#bytes, user, now, bytes);
  }
}
