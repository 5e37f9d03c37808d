// A tenant's quotas where it has sessions on several nodes: each node gives out the part that its sessions are of all, so
// that all of them together are given what the quota says, whoever is where. A node knows of the others' sessions a moment
// late, and by so much the parts may come to more or less than the whole.

import type { PolicyState } from "../policy/state.ts";
import type { Tenant } from "../session/tenant.ts";

/** Has the quotas of a tenant follow where its sessions are; call it each second or so. */
export function shareQuotas({ registry, rooms }: Tenant, policy: PolicyState): void {
  const elsewhere = rooms.peers?.size ?? 0;
  // One who is about to connect has a part already.
  const here = Math.max(1, registry.size);
  policy.weigh((here + elsewhere) / here);
}
