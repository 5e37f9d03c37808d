// What a session takes along to another node, put together in the moment in which it is asked for, and in which it leaves.

import { narrowingClaims } from "../policy/narrowing.ts";
import type { Membership } from "../room/rooms.ts";
import type { Backlog } from "./backlog.ts";
import type { Mover, MoverRoom, Parting } from "./handover.ts";
import type { SessionHandle } from "./session_handle.ts";
import type { Tenant } from "./tenant.ts";

/** A session that has been asked for. */
export interface Departing {
  readonly session: string;
  readonly taken: number | null;
  readonly detachedMs: number | null;
  readonly active: Membership | null;
  readonly memberships: ReadonlyMap<string, Membership>;
}

/** Who is to be handed over. @param endsAt when its right ends, on the gateway's clock, infinite for never */
export function moverOf(session: SessionHandle, { gateway: { now, unixMs } }: Tenant, endsAt: number): Mover {
  const { user, sid, traceId, ticketId, issuedAtMs, claims, narrowing, openedAt } = session;
  const inUnixMs = (at: number): number => Math.round(unixMs() - now() + at);
  return {
    session: session.session,
    user,
    sid,
    traceId,
    openedMs: inUnixMs(openedAt),
    expiresAtMs: endsAt === Number.POSITIVE_INFINITY ? null : inUnixMs(endsAt),
    issuedAtMs,
    ticketId,
    claims,
    narrowing: narrowingClaims(narrowing),
    rooms: roomsOf(session),
  };
}

/** The rooms that a session is in. */
export function roomsOf({ memberships, active }: Pick<Departing, "memberships" | "active">): MoverRoom[] {
  return [...memberships.values()].map((membership) => {
    const { room: { name, kept }, member, observerIndex } = membership;
    const cursor = kept === null ? null : { epoch: kept.epoch, offset: kept.last };
    return { name, member, presence: observerIndex >= 0, isActive: membership === active, cursor };
  });
}

/** What is handed over of a session, with what waits for it in the lines of its rooms, and in that of what is for it. */
export function partingOf(session: Departing, backlog: Backlog, { rooms, targets }: Tenant): Parting {
  // Its backlog names them, as all that comes.
  for (const membership of session.memberships.values()) {
    for (const frame of rooms.due(membership)) backlog.send(frame);
  }
  for (const frame of targets.due(session.session)) backlog.send(frame);
  const { replay, names } = backlog;
  return {
    rooms: roomsOf(session),
    taken: session.taken!,
    sentCount: replay.sentCount,
    ...replay.list(),
    names: [...names!],
    detachedMs: session.detachedMs!,
  };
}
