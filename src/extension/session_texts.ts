// Sessions as calls carry them, written once for each time that they change, for claims can be large: rooms are watched,
// the rest is compared.

import type { Membership } from "../room/rooms.ts";
import type { Context } from "../service/service.ts";
import type { SessionView } from "./messages.ts";

interface Text {
  readonly claims: unknown;
  readonly active: Membership | null;
  readonly text: string;
}

export class SessionTexts {
  readonly #texts = new WeakMap<Context, Text>();

  /** The end of a call's JSON, from `"session"` on. */
  of(context: Context | null): string {
    if (context === null) return '"session":null,"traceId":null}';
    const known = this.#texts.get(context);
    if (known !== undefined && known.claims === context.claims && known.active === context.active) {
      return known.text;
    }
    const { claims, active } = context;
    const text = write(context);
    this.#texts.set(context, { claims, active, text });
    return text;
  }

  /** It has joined or left a room. */
  forget(context: object): void {
    this.#texts.delete(context as Context);
  }
}

function write({ session, user, tenant, memberships, active, claims, traceId }: Context): string {
  const view: SessionView = {
    id: session,
    user,
    tenant,
    rooms: [...memberships.keys()],
    activeRoom: active?.room.name ?? null,
    claims,
  };
  return `"session":${JSON.stringify(view)},"traceId":${JSON.stringify(traceId)}}`;
}
