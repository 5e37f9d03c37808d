// Does what services, backends and administrators ask of a tenant (see service/action.ts), by the rules that hold for
// its clients too: room limits, what a session's ticket allows, and the size of a message.

import { CLOSE, refusal } from "../protocol/codes.ts";
import { sysJoined, sysKicked, sysLeft } from "../protocol/sys.ts";
import type { Stored } from "../room/kept_room.ts";
import { senderKey } from "../room/sent_keys.ts";
import { BUSY } from "../room/rooms.ts";
import type { Action, Actions, Actor, Performed, PublishAction, SendAction } from "../service/action.ts";
import { TENANT_BUSY, unpublished } from "../service/service.ts";
import { type MessageBounds, messageFrame } from "./message_frame.ts";
import type { Registry } from "./registry.ts";
import type { SessionHandle } from "./session_handle.ts";
import type { SessionAction, Targets } from "./targets.ts";

export interface TenantActionsOptions {
  readonly targets: Targets;
  readonly registry: Registry<SessionHandle>;
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

  perform(action: Exclude<Action, PublishAction>, by: Actor): Performed;
  perform(action: Action, by: Actor): Performed | Promise<Performed>;
  perform(action: Action, by: Actor): Performed | Promise<Performed> {
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
        return this.act(id, action) ?? this.#actElsewhere(id, action);
      }
    }
  }

  /** @returns null where this node has no such session */
  act(id: string, action: SessionAction): Performed | null {
    const session = this.#options.registry.find(id);
    return session === undefined ? null : actOn(session, action);
  }

  /** What becomes of it there is not waited for. */
  #actElsewhere(id: string, action: SessionAction): Performed {
    return this.#options.targets.peers?.act(id, action) ? { ok: true, deliveries: 1 } : NO_SUCH_SESSION;
  }

  #publish(
    { room, type, data, except, key }: PublishAction,
    { svc }: Actor,
  ): Performed | Promise<Performed> {
    const { targets, bounds } = this.#options;
    const frame = messageFrame({ v: 1, svc, type, room, data }, bounds());
    if ("ok" in frame) return frame;
    const as = senderKey(`service ${svc}`, key ?? null);
    const outcome = targets.room(room, frame, { except: except ?? null, key: as });
    return outcome instanceof Promise ? outcome.then(performed) : performed(outcome);
  }

  #send({ to, type, data }: SendAction, { svc }: Actor): Performed {
    const { targets, registry, bounds } = this.#options;
    const frame = messageFrame({ v: 1, svc, type, data }, bounds());
    if ("ok" in frame) return frame;
    const deliveries = "session" in to
      ? targets.sessions([to.session], frame, null)
      : targets.users([to.user], frame, null);
    if ("session" in to && deliveries === 0 && registry.find(to.session) === undefined) {
      return NO_SUCH_SESSION;
    }
    return deliveries === BUSY ? TENANT_BUSY : { ok: true, deliveries };
  }
}

function performed(outcome: number | Stored): Performed {
  if (typeof outcome !== "number") return { ok: true, deliveries: outcome.deliveries, stored: outcome };
  return outcome < 0 ? unpublished(outcome) : { ok: true, deliveries: outcome };
}

function actOn(session: SessionHandle, action: SessionAction): Performed {
  switch (action.action) {
    case "join": {
      const joined = session.join(action.room);
      if ("ok" in joined) return joined;
      const data = { member: joined.member, count: joined.room.count };
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
      session.end(CLOSE.kicked, sysKicked(session.traceId, action.reason));
      return { ok: true, deliveries: 1 };
  }
}
