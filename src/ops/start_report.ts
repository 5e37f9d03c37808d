// What the log says when the gateway starts: what it serves, and what the transport cannot do for it.

import type { Config, TenantConfig } from "../config/schema.ts";
import type { LogFields } from "../log.ts";

/** What a transport can do, and what its runtime fixes; see `TransportLimits`. */
interface Abilities {
  readonly pings: boolean;
  readonly terminates: boolean;
  readonly pauses: boolean;
  readonly boundsFragments: boolean;
  readonly renewsTls: boolean;
}

interface FixedLimits {
  readonly maxHeaderBytes?: number | undefined;
  readonly headerTimeoutMs?: number | undefined;
  readonly socketUnsentBytes?: number | undefined;
}

/** A tenant, as the log names it when it is ready. */
export function describe(tenant: TenantConfig): LogFields {
  return {
    tenant: tenant.id,
    services: ["room", ...tenant.services.map(({ svc }) => svc)],
    hot_services: tenant.hot_services.map(({ id, kind }) => `${id}:${kind}`),
    max_frame_bytes: tenant.limits.max_frame_bytes,
  };
}

/** What the configuration asks for and the runtime decides by itself. */
export function describeFixed({ gateway }: Config, fixed: FixedLimits): string[] {
  const { maxHeaderBytes, headerTimeoutMs, socketUnsentBytes } = fixed;
  const asked = [
    ["max_header_bytes", gateway.max_header_bytes, maxHeaderBytes],
    ["header_timeout_ms", gateway.header_timeout_ms, headerTimeoutMs],
  ] as const;
  const ineffective = asked.flatMap(([key, wish, value]) => {
    if (value === undefined || value === wish) return [];
    const holds = value === Infinity
      ? "which bounds it nowhere"
      : `where it is ${value} and cannot be changed`;
    return [`gateway.${key} is ${wish}, but has no effect on this transport, ${holds}`];
  });
  const unsent = gateway.socket_unsent_bytes;
  if (socketUnsentBytes === undefined || unsent === 0) return ineffective;
  return [
    ...ineffective,
    `gateway.socket_unsent_bytes is ${unsent}, but this transport cannot tell the kernel; on Linux, ` +
    `"sysctl net.ipv4.tcp_notsent_lowat=${unsent}" does it for the machine`,
  ];
}

/** What a transport cannot do, or null. */
export function describeLimits(abilities: Abilities): string | null {
  const { pings, terminates, pauses, boundsFragments, renewsTls } = abilities;
  const lacks = [
    pings ? null : "own pings",
    terminates ? null : "ending a stalled socket",
    pauses ? null : "pausing a flood",
    boundsFragments ? null : "a bound on fragmented messages",
    renewsTls ? null : "taking up a new certificate without a restart",
  ].filter((lack) => lack !== null);
  return lacks.length === 0
    ? null
    : `this transport lacks ${lacks.join(", ")}: keep it off the open internet`;
}
