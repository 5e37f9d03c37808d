// What `gateway` in the configuration says of all connections and of all handshakes.

import { AddressFinder } from "../admission/address.ts";
import type { HandshakeConfig } from "../admission/admission.ts";
import type { GatewayConfig } from "../config/schema.ts";
import type { GatewaySettings } from "../session/settings.ts";
import type { TransportLimits } from "../transport/port.ts";

/** @param limits of the transport: one that cannot ping watches for silence itself */
export function gatewaySettings(gateway: GatewayConfig, limits: TransportLimits): GatewaySettings {
  return {
    pingIntervalMs: gateway.ping_interval_ms,
    idleTimeoutMs: limits.pings ? gateway.idle_timeout_ms : 0,
    maxSessions: gateway.max_connections,
    maxHeldBytes: gateway.max_outbox_bytes,
    maxReplayBytes: gateway.max_replay_bytes,
  };
}

export function handshakeConfig(gateway: GatewayConfig): HandshakeConfig {
  return {
    addresses: new AddressFinder(gateway.trusted_proxies, gateway.client_ip_header),
    drainRetryMs: Math.max(1000, gateway.drain_grace_ms),
  };
}
