// The quota of what a tenant's sessions are sent: a message to a room once for every member, a reply, an event or an error
// once. What a message causes is known only when its service has handled it, so it is charged then, to its sender's part;
// what nobody's message has just caused (ticks, answers that come later, administrators) goes to a part of its own. Whoever
// sends next waits until that is paid off.

import { type Denial, overQuota } from "./denial.ts";
import type { FairQuota } from "./fair_quota.ts";
import type { PolicyInput, SessionPolicyState } from "./input.ts";
import type { Check } from "./quotas.ts";
import type { PolicyState } from "./state.ts";

export interface OutboundQuotaOptions {
  readonly quota: FairQuota;
  readonly state: PolicyState;
  /** Bytes that the tenant's sessions were given, ever. */
  readonly delivered: () => number;
}

export class OutboundQuota implements Check {
  readonly id: string;
  readonly #quota: FairQuota;
  readonly #state: PolicyState;
  readonly #delivered: () => number;

  constructor(id: string, { quota, state, delivered }: OutboundQuotaOptions) {
    this.id = id;
    this.#quota = quota;
    this.#state = state;
    this.#delivered = delivered;
  }

  judge({ sessionState }: PolicyInput, now: number): Denial | null {
    const unasked = this.#uncharged();
    if (unasked > 0) this.#quota.take(this.#state.unasked, now, unasked);
    const waitMs = this.#quota.waitMs(sessionState.share(this.#quota), now, 1);
    return waitMs > 0 ? overQuota(this.id, "outbound_rate", { unit: "outbound", waitMs }) : null;
  }

  /** Nothing is known yet. */
  charge(): void {}

  /** A message of this session has just been handled: what it has caused is its. */
  settle(sessionState: SessionPolicyState, now: number): void {
    const caused = this.#uncharged();
    if (caused > 0) this.#quota.take(sessionState.share(this.#quota), now, caused);
  }

  #uncharged(): number {
    const delivered = this.#delivered(), uncharged = delivered - this.#state.chargedBytes;
    this.#state.chargedBytes = delivered;
    return uncharged;
  }
}
