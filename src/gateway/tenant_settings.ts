// What a tenant's configuration says, as its sessions and rooms go by it.

import type { TenantConfig } from "../config/schema.ts";
import type { SessionLimits } from "../session/registry.ts";

export function sessionLimits({ limits, policy: { sessions } }: TenantConfig): SessionLimits {
  return {
    maxSessions: limits.max_sessions_total,
    maxPerAddress: limits.max_sessions_per_ip,
    maxPerUser: sessions.max_sessions_per_user,
    onExceed: sessions.on_exceed,
  };
}
