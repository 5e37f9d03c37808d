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
    maxMessageBytes: messageBytesMax(Math.max(...config.tenants.map(({ limits }) => limits.max_frame_bytes))),
    idleTimeoutMs: config.gateway.idle_timeout_ms,
    maxHeaderBytes: config.gateway.max_header_bytes,
    headerTimeoutMs: config.gateway.header_timeout_ms,
    socketUnsentBytes: config.gateway.socket_unsent_bytes,
    yields: true,
    reusePort: config.gateway.reuse_port,
    tls: certificate,
  };
}

/** What the TCP transport has to be created with; null where there is none. */
export function tcpTransportOptions(
  config: Config,
  certificate: Certificate | null,
): TransportOptions | null {
  const { tcp, auth_timeout_ms: headerTimeoutMs } = config.gateway;
  if (tcp === undefined) return null;
  const { hostname, port } = parseListen(tcp.listen)!;
  return { ...transportOptions(config, certificate), hostname, port, headerTimeoutMs };
}

/** What the transport for WebTransport has to be created with; null where there is none. */
export function webtransportOptions(
  config: Config,
  certificate: Certificate | null,
): TransportOptions | null {
  const { webtransport, auth_timeout_ms: headerTimeoutMs } = config.gateway;
  if (webtransport === undefined) return null;
  const { hostname, port } = parseListen(webtransport.listen)!;
  return { ...transportOptions(config, certificate), hostname, port, headerTimeoutMs };
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
    yields: false, // so that somebody can ask what is wrong
    reusePort: false, // each process answers for itself
    tls: null,
  };
}

const OVERSIZE_MIN = 65_536;
const OVERSIZE_MAX = 1_048_576;

/**
 * The largest message that a transport lets through, for the largest that a tenant allows: some are larger than allowed and
 * come to the tenant's policy, which says so and closes with 4508. What is far larger ends with the runtime's bare 1009.
 */
export function messageBytesMax(largest: number): number {
  return largest + Math.min(OVERSIZE_MAX, Math.max(OVERSIZE_MIN, largest));
}
