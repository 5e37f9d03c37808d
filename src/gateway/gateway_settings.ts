// What `gateway` in the configuration says of all connections and of all handshakes.

import { AddressFinder } from "../admission/address.ts";
import type { HandshakeConfig } from "../admission/admission.ts";
import type { GatewayConfig } from "../config/schema.ts";
import type { GatewaySettings } from "../session/settings.ts";

export function gatewaySettings(gateway: GatewayConfig): GatewaySettings {
  return {
    pingIntervalMs: gateway.ping_interval_ms,
    idleTimeoutMs: gateway.idle_timeout_ms,
    maxSessions: gateway.max_connections,
    maxHeldBytes: gateway.max_outbox_bytes,
    maxReplayBytes: gateway.max_replay_bytes,
    accessLog: gateway.access_log,
  };
}

export function handshakeConfig(gateway: GatewayConfig): HandshakeConfig {
  return {
    addresses: new AddressFinder(gateway.trusted_proxies, gateway.client_ip_header),
    drainRetryMs: Math.max(1000, gateway.drain_grace_ms),
  };
}
