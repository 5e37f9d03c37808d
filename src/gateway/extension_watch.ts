// Brings what happens in a tenant to those of its extensions that want to hear of it. Only tenants with extensions have one
// of these.

import type { ExtensionSet } from "../extension/extension_set.ts";
import type { ConnectInput, DisconnectInput, RoomInput } from "../program/messages.ts";
import type { SessionTexts } from "../extension/session_texts.ts";
import type { Membership, RoomWatcher, Subscriber } from "../room/rooms.ts";
import type { Context } from "../service/service.ts";
import type { Ending, SessionWatcher } from "../session/watcher.ts";

export class ExtensionWatch implements SessionWatcher, RoomWatcher {
  readonly #texts: SessionTexts;
  /** Those that are told; a reload puts others in their place. */
  set: ExtensionSet;

  constructor(texts: SessionTexts, set: ExtensionSet) {
    this.#texts = texts;
    this.set = set;
  }

  opened(session: Context): null {
    this.set.tell("onConnect", session, () => who(session));
    return null;
  }

  closed(session: Context, { code, reason, durationMs }: Ending): void {
    this.#texts.forget(session);
    const input = (): DisconnectInput => ({ ...who(session), code, reason, duration_ms: durationMs });
    this.set.tell("onDisconnect", session, input);
  }

  detached(): void {}

  resumed(): void {}

  message(): void {}

  denied(): void {}

  joined(membership: Membership): void {
    this.#texts.joined(sessionOf(membership), membership);
    this.#moved("onJoin", membership);
  }

  left(membership: Membership): void {
    this.#texts.forget(sessionOf(membership));
    this.#moved("onLeave", membership);
  }

  emptied(): void {}

  #moved(hook: "onJoin" | "onLeave", membership: Membership): void {
    const session = sessionOf(membership);
    const { room, member } = membership;
    const count = room.count;
    this.set.tell(hook, session, (): RoomInput => ({ ...who(session), room: room.name, member, count }));
  }
}

/** Sessions are all who join. */
function sessionOf({ subscriber }: Membership): Context {
  return subscriber as Context;
}

function who({ user, sid, session }: Subscriber): ConnectInput {
  return { user, sid, session };
}
