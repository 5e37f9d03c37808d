// What a tenant's configuration says, as its sessions and rooms go by it.

import type { AuthConfig, TenantConfig } from "../config/schema.ts";
import type { SessionLimits } from "../session/registry.ts";
import type { Compression } from "../transport/port.ts";
import type { ResumeSettings } from "../session/settings.ts";

export function sessionLimits({ limits, policy: { sessions } }: TenantConfig): SessionLimits {
  return {
    maxSessions: limits.max_sessions_total,
    maxPerAddress: limits.max_sessions_per_ip,
    maxPerUser: sessions.max_sessions_per_user,
    onExceed: sessions.on_exceed,
  };
}

/** @returns null where a session ends with its connection */
export function resumeSettings({ resume }: TenantConfig): ResumeSettings | null {
  return resume === undefined ? null : {
    windowMs: resume.window_ms,
    maxBytes: resume.max_bytes,
    maxMessages: resume.max_messages,
    maxDetached: resume.max_detached,
  };
}

/** @returns null where nothing is deflated */
export function compressionSettings({ compression, limits }: TenantConfig): Compression | null {
  return compression === undefined ? null : {
    minBytes: compression.min_bytes,
    maxInflatedBytes: compression.max_inflated_bytes ?? limits.max_frame_bytes,
  };
}

/** The part of `auth` by which tickets are verified. */
export function verifiesBy({ mode, jwt, static: fixed, http }: AuthConfig): string {
  return JSON.stringify([mode, jwt, fixed, http]);
}
