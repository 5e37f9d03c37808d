// Rooms: which there are, who is in them, and moving sessions in and out.

import { createRoute, z } from "@hono/zod-openapi";
import { refusal } from "../../protocol/codes.ts";
import type { Actor } from "../../service/action.ts";
import type { AdminParts } from "./parts.ts";
import { answers, MissingNodes, NodeName, refuse } from "./answers.ts";
import type { AdminApp } from "./admin_context.ts";
import { pageAmong, pageOf } from "./page.ts";
import { NO_SUCH_SESSION } from "./session_routes.ts";
import { inSlices } from "./slices.ts";
import {
  countQuery,
  Next,
  PageQuery,
  RoomName,
  RoomParams,
  SessionId,
  TenantParams,
  UserName,
} from "./words.ts";

const NO_SUCH_ROOM = refusal("NOT_FOUND", "tenant has no such room: rooms without members do not exist");
const NO_MEMBER = refusal("NOT_FOUND", "session is not in this room");
/** Nobody's session. */
const ADMIN: Actor = { svc: "admin", session: null };

const Count = z.int().min(0);
const Room = z.strictObject({
  room: RoomName,
  members: Count.openapi({ description: "Sessions." }),
  users: Count,
}).openapi("Room");
const Member = z.strictObject({
  session: SessionId,
  user: UserName,
  member: z.int().min(1).openapi({ description: "Its number in the room." }),
  node: NodeName,
}).openapi("Member");
const Place = z.strictObject({ room: RoomName, session: SessionId, member: z.int().min(1), count: Count });
const Removed = z.strictObject({
  removed: Count.openapi({ description: "Sessions that left." }),
  missing_nodes: MissingNodes,
});

const MemberParams = RoomParams.extend({ session: SessionId });

export function roomRoutes(app: AdminApp, { auth, slices, context }: AdminParts): void {
  app.openapi(
    createRoute({
      method: "get",
      path: "/v1/tenants/{tenant}/rooms",
      tags: ["rooms"],
      summary: "List rooms, by name",
      middleware: auth.permit("read"),
      request: { params: TenantParams, query: PageQuery },
      responses: answers(
        "A page.",
        z.strictObject({ rooms: z.array(Room), next: Next, missing_nodes: MissingNodes }),
      ),
    }),
    (c) => {
      const { limit, cursor = null } = c.req.valid("query");
      const rooms = c.var.seat.tenant.rooms.behind(cursor);
      const { items, next } = pageOf(rooms, { keyOf: ({ name }) => name, limit });
      const shown = items.map(({ name, count, userCount }) => ({
        room: name,
        members: count,
        users: userCount,
      }));
      return c.json({ rooms: shown, next }, 200);
    },
  );

  app.openapi(
    createRoute({
      method: "get",
      path: "/v1/tenants/{tenant}/rooms/{room}/members",
      tags: ["rooms"],
      summary: "List a room's members, by when they joined",
      middleware: auth.permit("read"),
      request: {
        params: RoomParams,
        query: PageQuery.extend({
          cursor: countQuery(0, Number.MAX_SAFE_INTEGER).optional(),
        }),
      },
      responses: answers("A page.", z.strictObject({ members: z.array(Member), next: Next })),
    }),
    async (c) => {
      const { rooms } = c.var.seat.tenant;
      const { limit, cursor: after = null } = c.req.valid("query");
      const room = rooms.find(c.req.valid("param").room);
      const foreign = rooms.foreign(c.req.valid("param").room);
      if (room === undefined && foreign === null) return refuse(c, NO_SUCH_ROOM);
      const { node } = context;
      const here = (room?.members ?? []).map(({ id, member, subscriber: { session, user } }) => ({
        // Of several nodes each counts the joins that it saw, but members' numbers mean the same on all.
        place: node === null ? id : member,
        shown: { session, user, member, ...(node === null ? {} : { node }) },
      }));
      const there = [...foreign?.members.values() ?? []].map((
        { member, session: { session, user, node } },
      ) => ({
        place: member,
        shown: { session, user, member, node: node.facts.name },
      }));
      const { items, next } = await pageAmong(
        [...here, ...there],
        { keyOf: ({ place }) => place, after, limit },
        slices.of(c.var.key),
      );
      const members = items.map(({ shown }) => shown);
      return c.json({ members, next: next === null ? null : String(next) }, 200);
    },
  );

  app.openapi(
    createRoute({
      method: "put",
      path: "/v1/tenants/{tenant}/rooms/{room}/members/{session}",
      tags: ["rooms"],
      summary: "Have a session join a room, within its ticket and the tenant's limits; its client is told",
      middleware: auth.permit("publish"),
      request: { params: MemberParams },
      responses: answers("It is a member.", Place),
    }),
    (c) => {
      const { registry, actions } = c.var.seat.tenant;
      const { room, session: id } = c.req.valid("param");
      const session = registry.find(id);
      if (session === undefined) return refuse(c, NO_SUCH_SESSION);
      if (!session.memberships.has(room)) {
        const joined = actions.perform({ action: "join", room, session: id }, ADMIN);
        if (!joined.ok) return refuse(c, joined);
      }
      const membership = session.memberships.get(room)!;
      const { member } = membership;
      return c.json({ room, session: id, member, count: membership.room.count }, 200);
    },
  );

  app.openapi(
    createRoute({
      method: "delete",
      path: "/v1/tenants/{tenant}/rooms/{room}/members/{session}",
      tags: ["rooms"],
      summary: "Have a session leave a room; its client is told",
      middleware: auth.permit("publish"),
      request: { params: MemberParams },
      responses: answers("It is no member any more.", Removed),
    }),
    (c) => {
      const { registry, actions } = c.var.seat.tenant;
      const { room, session } = c.req.valid("param");
      if (registry.find(session) === undefined) return refuse(c, NO_SUCH_SESSION);
      const left = actions.perform({ action: "leave", room, session }, ADMIN);
      if (!left.ok) return refuse(c, left);
      return left.deliveries === 0 ? refuse(c, NO_MEMBER) : c.json({ removed: 1 }, 200);
    },
  );

  app.openapi(
    createRoute({
      method: "delete",
      path: "/v1/tenants/{tenant}/rooms/{room}",
      tags: ["rooms"],
      summary: "Have everybody who is in a room now leave it; their clients are told",
      middleware: auth.permit("publish"),
      request: { params: RoomParams },
      responses: answers("They are no members any more.", Removed),
    }),
    async (c) => {
      const { rooms, registry, actions } = c.var.seat.tenant;
      const { room: name } = c.req.valid("param");
      const room = rooms.find(name);
      if (room === undefined) return refuse(c, NO_SUCH_ROOM);
      const members = [...room.members];
      let removed = 0;
      await inSlices(members, (membership) => {
        const { session } = membership.subscriber;
        // It may have left, and joined again, in the meantime.
        if (registry.find(session)?.memberships.get(name) !== membership) return;
        const left = actions.perform({ action: "leave", room: name, session }, ADMIN);
        if (left.ok) removed += left.deliveries;
      }, slices.of(c.var.key));
      return c.json({ removed }, 200);
    },
  );
}
