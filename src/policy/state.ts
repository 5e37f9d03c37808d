// What policy keeps of a tenant and what outlives a change of its configuration: buckets that are not full, and what rules
// know by their ids.

import { Buckets } from "./buckets.ts";
import { type FairQuota, Share } from "./fair_quota.ts";
import { SessionPolicyState } from "./input.ts";
import { fairQuota, type Limit } from "./quotas.ts";
import type { Rate } from "./rate.ts";
import { type Rule, RuleState } from "./rule.ts";

/** A tenant's own shared quotas. */
export type QuotaName = "messages" | "bytes" | "outbound";

export class PolicyState {
  /** The quota of each user. */
  readonly users = { messages: new Buckets(), bytes: new Buckets() };
  /** The tenant's part in what all tenants share. */
  readonly sessionState = new SessionPolicyState();
  /** The part of deliveries that no session has asked for just now. */
  readonly unasked = new Share();
  /** Delivered bytes that were charged to somebody, of those ever counted. */
  chargedBytes = 0;
  readonly #quotas = new Map<QuotaName, FairQuota>();
  readonly #rules = new Map<string, RuleState>();

  /** A quota with such a limit: that which there is, where its limit is the same. */
  quota(name: QuotaName, limit: Limit | null): FairQuota | null {
    const before = this.#quotas.get(name);
    const isSame = before !== undefined && before.perSecond === limit?.perSecond &&
      before.burst === limit.burst;
    return isSame ? before : fairQuota(limit);
  }

  /** What a message counts for in the tenant's quotas: above 1 where sessions of other gateways have a part in them. */
  weigh(weight: number): void {
    for (const quota of this.#quotas.values()) quota.weight = weight;
  }

  /** What the rule of this id knows; remembered from the policy's beginning on. */
  rule(id: string): RuleState {
    return this.#rules.get(id) ?? new RuleState();
  }

  /** A policy begins: what it was made with is what counts from now on. */
  apply(
    { quotas, rules, user }: {
      readonly quotas: Readonly<Record<QuotaName, FairQuota | null>>;
      readonly rules: readonly Rule[];
      readonly user: { readonly messages: Rate | null; readonly bytes: Rate | null };
    },
    now: number,
  ): void {
    for (const name of ["messages", "bytes", "outbound"] as const) {
      const quota = quotas[name], before = this.#quotas.get(name);
      if (quota === null) this.#quotas.delete(name);
      else if (quota !== before) {
        if (before !== undefined) quota.apply(before, now);
        this.#quotas.set(name, quota);
      }
    }
    this.users.messages.apply(user.messages, now);
    this.users.bytes.apply(user.bytes, now);
    this.#rules.clear();
    for (const rule of rules) {
      rule.apply(now);
      this.#rules.set(rule.id, rule.state);
    }
  }
}
