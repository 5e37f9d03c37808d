// What others are told of a tenant's rooms, and by which bounds these go.

import type { ForeignMember, LeaveReason } from "../cluster/peers.ts";
import { refusal } from "../protocol/codes.ts";
import type { SenderKey } from "./kept_room.ts";
import type { Membership, Room } from "./room.ts";

/** Told of every change, after it was made. MUST NOT join or leave inside it. */
export interface RoomWatcher {
  joined(membership: Membership): void;
  left(membership: Membership): void;
  /** The last member of this node has left. The room is gone here, unless somebody holds it. */
  emptied(room: Room): void;
  /** The same of members on other nodes; `count` is how many are in the room now, on all nodes. */
  foreignJoined?(member: ForeignMember, count: number): void;
  foreignLeft?(member: ForeignMember, count: number, reason: LeaveReason | null): void;
  /** A member is here that was on another node before, or the other way round: in the room it stays the same. */
  arrived?(membership: Membership): void;
  departed?(membership: Membership): void;
}

/** What a member is in a room, wherever it is connected. */
export interface RoomSeat {
  readonly member: number;
  /** Whether it is told of others who come and go. */
  readonly presence: boolean;
}

/** Bounds of a tenant; 0 is none. Users count once however many sessions they have. */
export interface RoomLimits {
  readonly max_rooms_total: number;
  readonly max_users_per_room: number;
  readonly max_rooms_per_user: number;
}

export const ROOM_FULL = refusal("RESOURCE_EXHAUSTED", "room has its maximum of users");
export const TOO_MANY_ROOMS = refusal("RESOURCE_EXHAUSTED", "tenant has its maximum of rooms");
export const USER_IN_TOO_MANY_ROOMS = refusal("RESOURCE_EXHAUSTED", "user is in the maximum of rooms");

/** Somebody that a message is not for, and by what it is known when it is said again. */
export interface PublishOptions {
  /** The session that is left out, by its name; null for none. */
  readonly except: string | null;
  /** Null for a message that may be said twice. */
  readonly key?: SenderKey | null;
}
