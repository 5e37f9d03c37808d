// Presence events: members that asked for them hear who joins and who leaves, in one order with the room's messages.

import { sysPresence } from "../protocol/sys.ts";
import type { Fanout } from "./fanout.ts";
import type { ForeignMember, LeaveReason } from "../cluster/peers.ts";
import type { Membership, Room, RoomWatcher } from "./rooms.ts";

/** Tells a room's observers of every change. The `trace_id` is that of the session which came or went. */
export class Presence implements RoomWatcher {
  readonly #fanout: Fanout;
  readonly #find: (room: string) => Room | undefined;

  /** @param find a room of this node, for what happens on others */
  constructor(fanout: Fanout, find: (room: string) => Room | undefined) {
    this.#fanout = fanout;
    this.#find = find;
  }

  joined(membership: Membership): void {
    this.#tell("join", membership.room, told(membership));
  }

  left(membership: Membership): void {
    this.#tell("leave", membership.room, told(membership));
  }

  foreignJoined({ session: { user, traceId }, room, member }: ForeignMember): void {
    const here = this.#find(room);
    if (here !== undefined) this.#tell("join", here, { user, traceId, member });
  }

  foreignLeft(
    { session: { user, traceId }, room, member }: ForeignMember,
    _count: number,
    reason: LeaveReason | null,
  ): void {
    const here = this.#find(room);
    if (here !== undefined) this.#tell("leave", here, { user, traceId, member }, reason);
  }

  emptied(): void {}

  #tell(event: "join" | "leave", room: Room, about: About, reason: LeaveReason | null = null): void {
    const { user, traceId, member } = about;
    const { observers } = room;
    if (observers === null || observers.members.length === 0) return;
    const at = room.kept === null ? {} : { at: room.kept.last };
    const why = reason === null ? {} : { reason };
    const data = { event, user, member, count: room.count, ...why, ...at };
    const frame = sysPresence(traceId, room.name, data);
    frame.source = `${event} ${room.name}`;
    frame.sourceNumber = member;
    if (this.#fanout.publish(observers, frame, null) >= 0) return;
    // A room that takes no more messages: an event that is lost would never be made up for, so this one overtakes them.
    for (const observer of observers.members) observer.subscriber.deliver(frame);
  }
}

/** Whom an event is about. */
interface About {
  readonly user: string;
  readonly traceId: string;
  readonly member: number;
}

function told({ member, subscriber: { user, traceId } }: Membership): About {
  return { user, traceId, member };
}
