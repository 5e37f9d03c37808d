// Sessions as calls carry them, written once for each time that they change, for claims can be large: rooms are watched,
// the rest is compared.

import { WideNumber } from "../protocol/json_number.ts";
import type { Context } from "../service/service.ts";
import type { SessionView } from "../program/messages.ts";

type Membership = NonNullable<Context["active"]>;

interface Text {
  readonly claims: unknown;
  readonly active: Membership | null;
  /** The room that was active until this one was joined: the session tells of the new one a moment later. */
  readonly before: Membership | null;
  readonly text: string;
}

export class SessionTexts {
  readonly #texts = new WeakMap<Context, Text>();

  /** The end of a call's JSON, from `"session"` on. */
  of(context: Context | null): string {
    if (context === null) return '"session":null,"traceId":null}';
    const known = this.#texts.get(context);
    const { claims, active, memberships } = context;
    if (known?.claims === claims && (known.active === active || known.before === active)) return known.text;
    const text = write(context, memberships.keys(), active);
    this.#texts.set(context, { claims, active, before: active, text });
    return text;
  }

  /** It joins a room, which is among its rooms when all have been told. */
  joined(context: Context, membership: Membership): void {
    const { claims, active, memberships } = context;
    const text = write(context, [...memberships.keys(), membership.room.name], membership);
    this.#texts.set(context, { claims, active: membership, before: active, text });
  }

  /** It has left a room, or has ended. */
  forget(context: Context): void {
    this.#texts.delete(context);
  }
}

function write(
  { session, user, tenant, claims, traceId }: Context,
  rooms: Iterable<string>,
  active: Membership | null,
): string {
  const activeRoom = active?.room.name ?? null;
  const view: SessionView = { id: session, user, tenant, rooms: [...rooms], activeRoom, claims };
  return `"session":${JSON.stringify(view, numbersAsTexts)},"traceId":${JSON.stringify(traceId)}}`;
}

/** A claim's number that no double holds is a text for extensions: JavaScript would change it. */
export function numbersAsTexts(this: unknown, key: string, value: unknown): unknown {
  const own: unknown = Reflect.get(this as object, key);
  return own instanceof WideNumber ? own.text : value;
}
