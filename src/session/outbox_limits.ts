// How much may wait for one session, lane by lane, and how its socket is fed: what `delivery` and `gateway` say of it.

import type { GatewayConfig, TenantConfig } from "../config/schema.ts";
import type { ReplayBounds } from "./replay.ts";

/** A tenant's bounds per session, and how its sockets are fed. */
export interface OutboxLimits {
  /** Of the reliable lane, what waits in the socket's buffer included; of the control lane as well. */
  readonly reliableBytes: number;
  readonly reliableMessages: number;
  readonly latestBytes: number;
  /** Older frames are not sent any more, in milliseconds; 0: any age. */
  readonly latestAgeMs: number;
  readonly lossyBytes: number;
  readonly lossyAgeMs: number;
  readonly lossyDropsOldest: boolean;
  /** How long a socket may take nothing while reliable frames wait. */
  readonly sendTimeoutMs: number;
  /** Bytes in the socket's buffer above which it is fed no more. */
  readonly watermarkBytes: number;
}

/** Those of a tenant. */
export function outboxLimits({ delivery }: TenantConfig, gateway: GatewayConfig): OutboxLimits {
  const { reliable, latest, lossy } = delivery;
  return {
    reliableBytes: reliable.max_bytes,
    reliableMessages: reliable.max_messages,
    latestBytes: latest.max_bytes,
    latestAgeMs: latest.max_age_ms,
    lossyBytes: lossy.max_bytes,
    lossyAgeMs: lossy.max_age_ms,
    lossyDropsOldest: lossy.on_full === "drop_oldest",
    sendTimeoutMs: gateway.writer_send_timeout_ms,
    watermarkBytes: gateway.socket_watermark_bytes,
  };
}

/** What a session that cannot be resumed may have waiting besides its outbox. */
export function replayBounds({ reliableBytes, reliableMessages }: OutboxLimits): ReplayBounds {
  return { maxBytes: reliableBytes, maxMessages: reliableMessages };
}
