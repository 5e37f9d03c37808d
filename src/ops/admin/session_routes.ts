// Sessions: who is connected, and ending them.

import { createRoute, z } from "@hono/zod-openapi";
import { CLOSE, refusal } from "../../protocol/codes.ts";
import { sysKicked } from "../../protocol/sys.ts";
import type { SessionHandle } from "../../session/session_handle.ts";
import type { AdminParts } from "./parts.ts";
import { answers, MissingNodes, NodeName, refuse } from "./answers.ts";
import type { AdminApp } from "./admin_context.ts";
import { type Page, pageAmong, pageOf } from "./page.ts";
import { lookOf, lookShape } from "./session_look.ts";
import {
  Milliseconds,
  Next,
  PageQuery,
  Reason,
  RoomName,
  SessionId,
  SessionParams,
  TenantParams,
  UserName,
} from "./words.ts";

/** What a client is told when nobody gave a reason. */
export const NO_REASON = "disconnected";
/** Rooms of one session that are listed. */
const ROOMS_SHOWN_MAX = 1000;

/** Answered where a session does not exist. */
export const NO_SUCH_SESSION = refusal("NOT_FOUND", "tenant has no such session");

const summary = {
  session: SessionId,
  user: UserName,
  sid: z.string().openapi({ description: "The client's name for its tab or device." }),
  address: z.string(),
  connected_at_ms: Milliseconds,
  ticket_id: z.string().nullable().openapi({ description: "`jti` of its ticket." }),
  trace_id: z.string().openapi({ description: "Finds the session in the log." }),
  room_count: z.int().min(0),
  node: NodeName,
  detached_ms: z.int().min(0).nullable().openapi({
    description: "How long its client has been away (see docs/recovery.md); null while it is connected.",
  }),
};
const SessionSummary = z.strictObject(summary).openapi("SessionSummary");
const SessionDetail = z.strictObject({
  ...summary,
  rooms: z.array(z.strictObject({
    room: z.string(),
    member: z.int().openapi({ description: "Its number in the room." }),
    active: z.boolean().openapi({ description: "Whether its hot messages go there." }),
  })).openapi({ description: `At most ${ROOMS_SHOWN_MAX} of them.` }),
  ...lookShape,
}).openapi("SessionDetail");
/** How many sessions were ended. */
export const Disconnected = z.strictObject({
  disconnected: z.int().min(0),
  missing_nodes: MissingNodes,
}).openapi("Disconnected");

export function sessionRoutes(app: AdminApp, { auth, context, slices }: AdminParts): void {
  const summaryOf = (session: SessionHandle) => ({
    session: session.session,
    user: session.user,
    sid: session.sid,
    address: session.address,
    connected_at_ms: Math.round(context.unixMs() - (context.now() - session.openedAt)),
    ticket_id: session.ticketId,
    trace_id: session.traceId,
    room_count: session.memberships.size,
    ...(context.node === null ? {} : { node: context.node }),
    detached_ms: session.detachedMs === null ? null : Math.round(session.detachedMs),
  });

  app.openapi(
    createRoute({
      method: "get",
      path: "/v1/tenants/{tenant}/sessions",
      tags: ["sessions"],
      summary: "List sessions, by their id",
      middleware: auth.permit("read"),
      request: {
        params: TenantParams,
        query: PageQuery.extend({
          user: UserName.optional().openapi({ description: "Only this user's." }),
          room: RoomName.optional().openapi({ description: "Only members of this room." }),
          address: z.string().min(1).max(64).optional().openapi({
            description: "Only sessions from this address; every session is looked at for it.",
          }),
        }),
      },
      responses: answers(
        "A page.",
        z.strictObject({ sessions: z.array(SessionSummary), next: Next, missing_nodes: MissingNodes }),
      ),
    }),
    async (c) => {
      const { registry, rooms } = c.var.seat.tenant;
      const { user, room, address, limit, cursor: after = null } = c.req.valid("query");
      const keyOf = ({ session }: { readonly session: string }) => session;
      let found: Page<SessionHandle, string>;
      const isFrom = (session: SessionHandle) => address === undefined || session.address === address;
      if (user !== undefined) {
        const own = registry.ofUser(user).filter(({ memberships }) =>
          room === undefined || memberships.has(room)
        ).filter(isFrom);
        found = await pageAmong(own, { keyOf, after, limit }, slices.of(c.var.key));
      } else if (room !== undefined) {
        const members = (rooms.find(room)?.members ?? []).map(({ subscriber }) => subscriber);
        const { items, next } = await pageAmong(members, { keyOf, after, limit }, slices.of(c.var.key));
        found = { items: items.flatMap(({ session }) => registry.find(session) ?? []).filter(isFrom), next };
      } else if (address !== undefined) {
        found = await pageAmong(from(registry.all(), address), { keyOf, after, limit }, slices.of(c.var.key));
      } else found = pageOf(registry.behind(after), { keyOf, limit });
      const { items, next } = found;
      return c.json({ sessions: items.map(summaryOf), next }, 200);
    },
  );

  app.openapi(
    createRoute({
      method: "get",
      path: "/v1/tenants/{tenant}/sessions/{session}",
      tags: ["sessions"],
      summary: "Look at a session",
      middleware: auth.permit("read"),
      request: { params: SessionParams },
      responses: answers("The session.", SessionDetail),
    }),
    (c) => {
      const session = c.var.seat.tenant.registry.find(c.req.valid("param").session);
      if (session === undefined) return refuse(c, NO_SUCH_SESSION);
      const rooms = [];
      for (const membership of session.memberships.values()) {
        if (rooms.length === ROOMS_SHOWN_MAX) break;
        const { room, member } = membership;
        rooms.push({ room: room.name, member, active: session.active === membership });
      }
      return c.json({ ...summaryOf(session), rooms, ...lookOf(session, context.now()) }, 200);
    },
  );

  app.openapi(
    createRoute({
      method: "delete",
      path: "/v1/tenants/{tenant}/sessions/{session}",
      tags: ["sessions"],
      summary: "End a session (close code 4501); its client should not come back by itself",
      middleware: auth.permit("disconnect"),
      request: { params: SessionParams, query: z.object({ reason: Reason.optional() }) },
      responses: answers("Ended.", Disconnected),
    }),
    (c) => {
      const session = c.var.seat.tenant.registry.find(c.req.valid("param").session);
      if (session === undefined) return refuse(c, NO_SUCH_SESSION);
      const { reason = NO_REASON } = c.req.valid("query");
      session.end(CLOSE.kicked, sysKicked(session.traceId, reason));
      return c.json({ disconnected: 1 }, 200);
    },
  );
}

/** Comparing addresses takes some 20 ns a session: 2 ms of a hundred thousand. */
function from(sessions: Iterable<SessionHandle>, address: string): SessionHandle[] {
  const found: SessionHandle[] = [];
  for (const session of sessions) if (session.address === address) found.push(session);
  return found;
}
