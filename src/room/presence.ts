// Presence events: members that asked for them hear who joins and who leaves, in one order with the room's messages.

import { sysPresence } from "../protocol/sys.ts";
import type { Fanout } from "./fanout.ts";
import type { Membership, RoomWatcher } from "./rooms.ts";

/** Tells a room's observers of every change. The `trace_id` is that of the session which came or went. */
export class Presence implements RoomWatcher {
  readonly #fanout: Fanout;

  constructor(fanout: Fanout) {
    this.#fanout = fanout;
  }

  joined(membership: Membership): void {
    this.#tell("join", membership);
  }

  left(membership: Membership): void {
    this.#tell("leave", membership);
  }

  emptied(): void {}

  #tell(event: "join" | "leave", about: Membership): void {
    const { room, member, subscriber } = about;
    const { observers } = room;
    if (observers === null || observers.members.length === 0) return;
    const at = room.kept === null ? {} : { at: room.kept.last };
    const data = { event, user: subscriber.user, member, count: room.members.length, ...at };
    const frame = sysPresence(subscriber.traceId, room.name, data);
    if (this.#fanout.publish(observers, frame, null) >= 0) return;
    // A room that takes no more messages: an event that is lost would never be made up for, so this one overtakes them.
    for (const observer of observers.members) observer.subscriber.deliver(frame);
  }
}
