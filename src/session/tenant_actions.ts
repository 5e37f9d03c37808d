// Does what services, backends and administrators ask of a tenant (see service/action.ts), by the rules that hold for
// its clients too: room limits, what a session's ticket allows, and the size of a message.

import { CLOSE, refusal } from "../protocol/codes.ts";
import { sysJoined, sysLeft } from "../protocol/sys.ts";
import type { Rooms } from "../room/rooms.ts";
import type { Action, Actions, Actor, Performed, PublishAction, SendAction } from "../service/action.ts";
import { ROOM_BUSY } from "../service/service.ts";
import { type MessageBounds, messageFrame } from "./message_frame.ts";
import type { Registry } from "./registry.ts";
import type { Resident } from "./resident.ts";

export interface TenantActionsOptions {
  readonly rooms: Rooms;
  readonly registry: Registry<Resident>;
  /** Of a message; asked each time, as they may change. */
  readonly bounds: () => MessageBounds;
}

const NO_SUCH_SESSION = refusal("NOT_FOUND", "tenant has no such session");
const NO_SESSION = refusal("BAD_REQUEST", "action needs a session: none called");

export class TenantActions implements Actions {
  readonly #options: TenantActionsOptions;

  constructor(options: TenantActionsOptions) {
    this.#options = options;
  }

  perform(action: Action, by: Actor): Performed {
    switch (action.action) {
      case "publish":
        return this.#publish(action, by);
      case "send":
        return this.#send(action, by);
      case "join":
      case "leave":
      case "kick": {
        const id = action.session ?? by.session;
        if (id === null) return NO_SESSION;
        const session = this.#options.registry.find(id);
        return session === undefined ? NO_SUCH_SESSION : actOn(session, action);
      }
    }
  }

  #publish({ room: name, type, data, except }: PublishAction, { svc }: Actor): Performed {
    const { rooms, registry } = this.#options;
    const frame = messageFrame({ v: 1, svc, type, room: name, data }, this.#options.bounds());
    if ("ok" in frame) return frame;
    const room = rooms.find(name);
    if (room === undefined) return { ok: true, deliveries: 0 };
    const left = except === undefined ? undefined : registry.find(except);
    const others = left?.membership(name) === undefined ? 0 : 1;
    // Counted before: a delivery may end the member that it goes to.
    const deliveries = room.members.length - others;
    return room.publish(frame, left ?? null) ? { ok: true, deliveries } : ROOM_BUSY;
  }

  #send({ to, type, data }: SendAction, { svc }: Actor): Performed {
    const { registry } = this.#options;
    const frame = messageFrame({ v: 1, svc, type, data }, this.#options.bounds());
    if ("ok" in frame) return frame;
    if ("session" in to) {
      const session = registry.find(to.session);
      if (session === undefined) return NO_SUCH_SESSION;
      session.deliver(frame);
      return { ok: true, deliveries: 1 };
    }
    // A copy: a delivery may end the session that it goes to.
    const sessions = [...registry.ofUser(to.user)];
    for (const session of sessions) session.deliver(frame);
    return { ok: true, deliveries: sessions.length };
  }
}

function actOn(session: Resident, action: Exclude<Action, PublishAction | SendAction>): Performed {
  switch (action.action) {
    case "join": {
      const joined = session.join(action.room);
      if ("ok" in joined) return joined;
      const data = { member: joined.member, count: joined.room.members.length };
      session.deliver(sysJoined(session.traceId, action.room, data, null));
      return { ok: true, deliveries: 1 };
    }
    case "leave": {
      const membership = session.membership(action.room);
      if (membership === undefined) return { ok: true, deliveries: 0 };
      session.leave(membership);
      session.deliver(sysLeft(session.traceId, action.room, null));
      return { ok: true, deliveries: 1 };
    }
    case "kick":
      session.kick(action.reason, CLOSE.kicked);
      return { ok: true, deliveries: 1 };
  }
}
