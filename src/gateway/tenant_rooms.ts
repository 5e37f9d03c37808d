// The rooms of one tenant, made: behind their bus, with a place to listen in, and with presence.

import { LocalBus } from "../cluster/local.ts";
import { Presence } from "../room/presence.ts";
import { RoomTap } from "../room/room_tap.ts";
import { Rooms } from "../room/rooms.ts";
import type { TenantSettings } from "../session/settings.ts";
import type { TenantDeps } from "./tenant_deps.ts";
import type { TenantNode } from "./tenant_node.ts";

/** What a tenant's rooms go by. */
export interface TenantRoomsOptions {
  readonly id: string;
  readonly deps: TenantDeps;
  /** Null where the gateway is alone. */
  readonly node: TenantNode | null;
  /** Asked when a number is needed: the tenant comes after its rooms. */
  readonly settings: () => TenantSettings;
}

/** @returns the rooms, and the tap through which all goes that reaches them */
export function tenantRooms({ id, deps, node, settings }: TenantRoomsOptions): {
  readonly rooms: Rooms;
  readonly tap: RoomTap;
} {
  const { fanout, gateway, clock, persistence, historyBudget, cluster } = deps;
  let tap!: RoomTap;
  const rooms = new Rooms({
    limits: () => settings().rooms,
    fanout,
    openBus: (receiver) => {
      tap = new RoomTap(receiver, (name) => rooms.find(name)?.members.length ?? 0);
      return node?.openBus(tap) ?? new LocalBus(tap);
    },
    random: clock.random,
    histories: {
      classes: () => settings().roomClasses,
      budget: historyBudget,
      disk: persistence.histories(id),
      streams: cluster?.streams.of(id) ?? null,
      now: gateway.now,
      unixMs: gateway.unixMs,
      wait: clock.wait,
      newEpoch: clock.newId,
    },
  });
  rooms.watch(new Presence(fanout, (name) => rooms.find(name)));
  node?.follow(rooms);
  return { rooms, tap };
}
