// Members of a tenant's rooms that are on other nodes, as this node's rooms and their watchers see them.

import type { ForeignMember, ForeignRoom, LeaveReason, Peers, PeersWatcher } from "../cluster/peers.ts";

/** What it needs of rooms. */
export interface ForeignMembersRooms {
  /** A room that exists on this node has these members elsewhere from now on, null for none. */
  setForeign(name: string, foreign: ForeignRoom | null): void;
  /** How many are in a room, on all nodes. */
  count(name: string): number;
  foreignJoined(member: ForeignMember, count: number): void;
  foreignLeft(member: ForeignMember, count: number, reason: LeaveReason | null): void;
}

export class ForeignMembers implements PeersWatcher {
  readonly #peers: Peers;
  readonly #rooms: ForeignMembersRooms;

  constructor(peers: Peers, rooms: ForeignMembersRooms) {
    this.#peers = peers;
    this.#rooms = rooms;
    peers.watch(this);
  }

  moved(room: string): void {
    this.#rooms.setForeign(room, this.#peers.rooms.get(room) ?? null);
  }

  joined(member: ForeignMember): void {
    const { room } = member;
    this.#rooms.setForeign(room, this.#peers.rooms.get(room) ?? null);
    this.#rooms.foreignJoined(member, this.#rooms.count(room));
  }

  left(member: ForeignMember, reason: LeaveReason | null): void {
    const { room } = member;
    this.#rooms.setForeign(room, this.#peers.rooms.get(room) ?? null);
    this.#rooms.foreignLeft(member, this.#rooms.count(room), reason);
  }
}

/** A number that nobody in a room has on any node, as far as this node knows: numbers are drawn, so nodes need not agree. */
export function drawNumber(random: () => number, taken: (number: number) => boolean): number {
  for (;;) {
    const number = 1 + Math.floor(random() * 0xffff_ffff);
    if (!taken(number)) return number;
  }
}
