// Presence events: members that asked for them hear who joins and who leaves.

import { sysPresence } from "../protocol/sys.ts";
import type { Membership, RoomWatcher } from "./rooms.ts";

/** Tells a room's observers of every change. The `trace_id` is that of the session which came or went. */
export const presence: RoomWatcher = {
  joined: (membership) => tell("join", membership),
  left: (membership) => tell("leave", membership),
  emptied: () => {},
};

function tell(event: "join" | "leave", about: Membership): void {
  const { room, member, subscriber } = about;
  if (room.observerCount === 0) return;
  const data = { event, user: subscriber.user, member, count: room.members.length };
  const frame = sysPresence(subscriber.traceId, room.name, data);
  for (const other of room.members) if (other.presence) other.subscriber.deliver(frame);
}
