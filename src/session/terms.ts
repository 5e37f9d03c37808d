// What holds for a tenant's sessions as long as its configuration stays as it is. A reload makes new terms and puts
// them in the place of the old ones, whole: a session notices with its next message, and no message sees some of both.

import type { TenantPolicy } from "../policy/policy.ts";
import type { AnyDispatcher } from "../service/dispatcher.ts";
import type { Authenticator } from "./grant.ts";

/** Made from a tenant's configuration; never changed, only replaced. */
export interface Terms {
  readonly policy: TenantPolicy;
  readonly dispatcher: AnyDispatcher;
  readonly authenticator: Authenticator;
  /** Ext messages of one session that may wait for services. */
  readonly maxPending: number;
}
