// What a gateway holds right now, as numbers, for tests that look whether anything is left.

import type { GatewayContext } from "../session/gateway_context.ts";
import type { Tenant } from "../session/tenant.ts";

export interface Census {
  readonly sessions: number;
  readonly users: number;
  readonly rooms: number;
  readonly roomUsers: number;
  readonly timers: number;
}

export function censusOf({ registry, rooms }: Tenant, { wheel }: GatewayContext): Census {
  return {
    sessions: registry.size,
    users: registry.userCount,
    rooms: rooms.size,
    roomUsers: rooms.userCount,
    timers: wheel.size,
  };
}
