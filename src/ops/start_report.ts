// What the log says when the gateway starts: what it serves, and what the transport cannot do for it.

import type { Config, TenantConfig } from "../config/schema.ts";
import type { LogFields } from "../log.ts";

/** What a transport can do, and what its runtime fixes; see `TransportLimits`. */
interface Abilities {
  readonly pings: boolean;
  readonly terminates: boolean;
  readonly pauses: boolean;
  readonly boundsFragments: boolean;
  readonly showsControl: boolean;
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
  const { pings, terminates, pauses, boundsFragments, showsControl, renewsTls } = abilities;
  const lacks = [
    pings ? null : "own pings",
    terminates ? null : "ending a stalled socket",
    pauses ? null : "pausing a flood",
    boundsFragments ? null : "a bound on fragmented messages",
    showsControl ? null : "a bound on control frames",
    renewsTls ? null : "taking up a new certificate without a restart",
  ].filter((lack) => lack !== null);
  return lacks.length === 0
    ? null
    : `this transport lacks ${lacks.join(", ")}: keep it off the open internet`;
}

/** Descriptors that are no connections: files, pipes, listeners, calls to backends. */
const DESCRIPTORS_BESIDE = 64;
/** Above it nobody is surprised. */
const DESCRIPTORS_MANY = 65_536;

/** How the limit of file descriptors stands to the connections that are allowed, where that is worth a warning. */
export function describeDescriptors({ gateway }: Config, limit: number | null): string | null {
  if (limit === null) return null;
  const { max_connections: max } = gateway;
  const room = Math.max(0, limit - DESCRIPTORS_BESIDE);
  if (max === 0) {
    if (limit >= DESCRIPTORS_MANY) return null;
    return `gateway.max_connections is 0 and this process may open ${limit} files, so that about ${room} connections ` +
      `are the bound, and whoever comes then is refused without a word: raise "ulimit -n" (LimitNOFILE), or set it`;
  }
  if (max <= room) return null;
  return `gateway.max_connections is ${max}, but this process may open ${limit} files, which are about ${room} ` +
    `connections: raise "ulimit -n" (LimitNOFILE) to ${max + DESCRIPTORS_BESIDE} or more`;
}

/** All that a transport, or this machine, cannot do of what the configuration asks for. */
export function describeWeaknesses(
  config: Config,
  limits: Abilities & { readonly fixed: FixedLimits },
  descriptorLimit: Parameters<typeof describeDescriptors>[1],
): string[] {
  const found = [
    describeLimits(limits),
    ...describeFixed(config, limits.fixed),
    describeDescriptors(config, descriptorLimit),
  ];
  return found.filter((one) => one !== null);
}
