// The built-in `room` service: join, leave, members. Presence events are asked for when joining and need
// the right to ask for the members, since they tell the same.

import { type Refusal, refusal } from "../protocol/codes.ts";
import type { Envelope } from "../protocol/envelope.ts";
import { DEFAULT_ROOM } from "../protocol/limits.ts";
import { sysJoined, sysLeft } from "../protocol/sys.ts";
import { type Answer, type Context, DONE, type ExtService, UNKNOWN_TYPE } from "./service.ts";

const NOT_A_MEMBER = refusal("NOT_ALLOWED", "room.members is for members of the room");
const PRESENCE_NOT_ALLOWED = refusal("NOT_ALLOWED", "presence events need room:members in the ext_allowlist");
const BAD_JOIN = refusal("BAD_REQUEST", "room.join takes data {presence?: boolean}");
const NO_ROOM = refusal("BAD_REQUEST", "room.members needs a room");

export class RoomService implements ExtService {
  handle(context: Context, message: Envelope): Answer {
    switch (message.type) {
      case "join":
        return join(context, message);
      case "leave":
        return leave(context, message);
      case "members":
        return members(context, message);
      default:
        return UNKNOWN_TYPE;
    }
  }
}

function join(context: Context, message: Envelope): Answer {
  const read = message.data?.read();
  if (read?.ok === false) return refusal("BAD_REQUEST", `data of room.join ${read.why}`);
  const presence = wantsPresence(read?.value);
  if (presence === undefined) return BAD_JOIN;
  if (presence && !context.mayExt("room", "members")) return PRESENCE_NOT_ALLOWED;
  const joined = context.join(message.room ?? DEFAULT_ROOM);
  if ("ok" in joined) return joined;
  const { room, member } = joined;
  if (presence !== null) room.setPresence(joined, presence);
  const data = { member, count: room.members.length };
  context.deliver(sysJoined(context.traceId, room.name, data, message.seq));
  return DONE;
}

/** True or false as asked, null when the message does not say, undefined when it cannot be read. */
function wantsPresence(data: unknown): boolean | null | undefined {
  if (data === undefined || data === null) return null;
  if (typeof data !== "object") return undefined;
  const { presence } = data as { presence?: unknown };
  if (presence === undefined) return null;
  return typeof presence === "boolean" ? presence : undefined;
}

// Leaving is idempotent: a client that is not in the room is told the same, as in v1.
function leave(context: Context, message: Envelope): Answer {
  const membership = message.room === null ? context.active : context.membership(message.room) ?? null;
  if (membership !== null) context.leave(membership);
  const name = message.room ?? membership?.room.name ?? null;
  context.deliver(sysLeft(context.traceId, name, message.seq));
  return DONE;
}

function members(context: Context, message: Envelope): Answer | Refusal {
  if (message.room === null) return NO_ROOM;
  const membership = context.membership(message.room);
  if (membership === undefined) return NOT_A_MEMBER;
  const list = membership.room.members.map(({ member, subscriber }) => ({ user: subscriber.user, member }));
  return { ok: true, reply: { members: list, count: list.length } };
}
