// What policy keeps of a tenant and what outlives a change of its configuration: buckets that are not full, bans, and what
// rules know by their ids.

import { Bans } from "./bans.ts";
import { Buckets } from "./buckets.ts";
import { type FairQuota, Share } from "./fair_quota.ts";
import { Standing } from "./matter.ts";
import { fairQuota, type Limit } from "./quotas.ts";
import { RuleState } from "./rule.ts";

/** A tenant's own shared quotas. */
export type QuotaName = "messages" | "bytes" | "outbound";

export class PolicyState {
  readonly bans = new Bans();
  /** The quota of each user. */
  readonly users = { messages: new Buckets(), bytes: new Buckets() };
  /** The tenant's part in what all tenants share. */
  readonly standing = new Standing();
  /** The part of deliveries that no session has asked for just now. */
  readonly unasked = new Share();
  /** Delivered bytes that were charged to somebody, of those ever counted. */
  chargedBytes = 0;
  readonly #quotas = new Map<QuotaName, FairQuota>();
  readonly #rules = new Map<string, RuleState>();

  /** The quota with such a limit: the one that there was where the limit is the same. */
  quota(name: QuotaName, limit: Limit | null): FairQuota | null {
    const before = this.#quotas.get(name);
    if (before !== undefined && before.perSecond === limit?.perSecond && before.burst === limit.burst) {
      return before;
    }
    const quota = fairQuota(limit);
    if (quota === null) this.#quotas.delete(name);
    else this.#quotas.set(name, quota);
    return quota;
  }

  /** What the rule of this id knows. */
  rule(id: string): RuleState {
    let state = this.#rules.get(id);
    if (state === undefined) this.#rules.set(id, state = new RuleState());
    return state;
  }

  /** Forgets rules that there are no more. */
  keepRules(ids: ReadonlySet<string>): void {
    for (const id of this.#rules.keys()) if (!ids.has(id)) this.#rules.delete(id);
  }
}
