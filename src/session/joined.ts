// The rooms that one session is in. Most sessions are in one, and a map of one costs as much as the rest of a session; so
// one membership stands for itself.

import type { Membership } from "../room/rooms.ts";
import { NO_MEMBERSHIPS } from "./session_handle.ts";

export type Joined = Membership | Map<string, Membership> | null;

export function membershipIn(joined: Joined, room: string): Membership | undefined {
  if (joined === null) return undefined;
  return joined instanceof Map ? joined.get(room) : joined.room.name === room ? joined : undefined;
}

/** All of them by the names of their rooms. */
export function membershipsOf(joined: Joined): ReadonlyMap<string, Membership> {
  if (joined === null) return NO_MEMBERSHIPS;
  return joined instanceof Map ? joined : new Map([[joined.room.name, joined]]);
}

/** @returns what takes the place of `joined` */
export function withMembership(joined: Joined, membership: Membership): Joined {
  if (joined === null) return membership;
  const all = joined instanceof Map ? joined : new Map([[joined.room.name, joined]]);
  return all.set(membership.room.name, membership);
}

/** @param membership one of them @returns what takes the place of `joined` */
export function withoutMembership(joined: Joined, membership: Membership): Joined {
  if (!(joined instanceof Map)) return null;
  joined.delete(membership.room.name);
  return joined;
}
