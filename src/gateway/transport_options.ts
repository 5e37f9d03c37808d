// What the two transports of a gateway have to be created with: the public one, and the admin API's.

import { parseListen } from "../config/addresses.ts";
import type { Certificate } from "../config/certificate.ts";
import type { Config } from "../config/schema.ts";
import type { TransportOptions } from "../transport/port.ts";

/** What a transport has to be created with for this configuration. */
export function transportOptions(config: Config, certificate: Certificate | null): TransportOptions {
  // The schema has checked it.
  const { hostname, port } = parseListen(config.gateway.listen)!;
  return {
    hostname,
    port,
    maxMessageBytes: Math.max(...config.tenants.map((tenant) => tenant.limits.max_frame_bytes)),
    idleTimeoutMs: config.gateway.idle_timeout_ms,
    maxHeaderBytes: config.gateway.max_header_bytes,
    headerTimeoutMs: config.gateway.header_timeout_ms,
    socketUnsentBytes: config.gateway.socket_unsent_bytes,
    tls: certificate,
  };
}

/** What the admin API's transport has to be created with; null where there is none. */
export function adminTransportOptions({ admin, gateway }: Config): TransportOptions | null {
  if (admin === undefined) return null;
  return {
    ...parseListen(admin.listen)!,
    maxMessageBytes: 1, // no WebSocket is served there
    idleTimeoutMs: gateway.idle_timeout_ms,
    maxHeaderBytes: gateway.max_header_bytes,
    headerTimeoutMs: gateway.header_timeout_ms,
    socketUnsentBytes: 0, // no lanes there
    tls: null,
  };
}
