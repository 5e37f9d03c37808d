// Users: ending their sessions, keeping them out, and taking back the tickets they were given.

import { createRoute, z } from "@hono/zod-openapi";
import { CLOSE, refusal } from "../../protocol/codes.ts";
import { sysKicked } from "../../protocol/sys.ts";
import type { SessionHandle } from "../../session/session_handle.ts";
import { answers, jsonBody, NOT_KEPT, optionalBody, refuse } from "./answers.ts";
import type { AdminParts } from "./parts.ts";
import type { AdminApp } from "./admin_context.ts";
import { pageAmong, pageOf } from "./page.ts";
import { Disconnected, NO_REASON } from "./session_routes.ts";
import { inSlices } from "./slices.ts";
import { Milliseconds, Next, PageQuery, Reason, TenantParams, UserName, UserParams } from "./words.ts";

/** Longest ban, and what a ban without a time is: ten years. */
const BAN_MS_MAX = 10 * 365 * 86_400_000;
/** In whose name bans are made; the client is told. */
const BY = "admin";
/** Longest name of a ticket, in characters. */
const TICKET_CHARS_MAX = 256;

const NOT_BANNED = refusal("NOT_FOUND", "user is not banned");
const FULL = refusal("RESOURCE_EXHAUSTED", "tenant has its maximum of revocations");

const Ban = z.strictObject({
  user: UserName,
  until_ms: Milliseconds,
  by: z.string().openapi({ description: `The rule that has banned the user, or \`${BY}\`.` }),
}).openapi("Ban");
const Revoked = z.strictObject({
  jti: z.string().nullable().openapi({ description: "One ticket; null where a user's tickets are meant." }),
  user: z.string().nullable(),
  issued_before_ms: z.number().nullable().openapi({ description: "Of a user's tickets, those up to then." }),
  expires_at_ms: z.number().nullable().openapi({ description: "When it is forgotten; null for never." }),
}).openapi("Revoked");
const Banned = z.strictObject({ ...Ban.shape, disconnected: z.int().min(0) });

const until = {
  expires_at_ms: Milliseconds.optional().openapi({
    description:
      "When the tickets have expired by themselves, and the revocation can be forgotten; absent for never.",
  }),
};
const Revocation = z.union([
  z.strictObject({ jti: z.string().min(1).max(TICKET_CHARS_MAX), ...until }),
  z.strictObject({
    user: UserName,
    issued_before_ms: Milliseconds.optional().openapi({
      description:
        "Unix time in milliseconds; now when absent. Tickets say it in whole seconds, rounded down, and those that do not " +
        "say it count as older.",
    }),
    ...until,
  }),
]).openapi("Revocation", {
  description: "One ticket by its `jti`, or a user's tickets by when they were issued.",
});

export function userRoutes(app: AdminApp, { auth, context, slices }: AdminParts): void {
  app.openapi(
    createRoute({
      method: "post",
      path: "/v1/tenants/{tenant}/users/{user}/disconnect",
      tags: ["users"],
      summary: "End all sessions of a user (close code 4501)",
      middleware: [auth.permit("disconnect"), auth.bounded],
      request: { params: UserParams, body: optionalBody(z.strictObject({ reason: Reason.optional() })) },
      responses: answers("Ended.", Disconnected),
    }),
    async (c) => {
      const { reason = NO_REASON } = c.req.valid("json");
      const sessions = [...c.var.seat.tenant.registry.ofUser(c.req.valid("param").user)];
      const end = (session: SessionHandle) => session.end(CLOSE.kicked, sysKicked(session.traceId, reason));
      await inSlices(sessions, end, slices.of(c.var.key));
      return c.json({ disconnected: sessions.length }, 200);
    },
  );

  app.openapi(
    createRoute({
      method: "post",
      path: "/v1/tenants/{tenant}/users/{user}/ban",
      tags: ["users"],
      summary: "End all sessions of a user (close code 4504), and let the user in no more",
      middleware: [auth.permit("disconnect"), auth.bounded],
      request: {
        params: UserParams,
        body: optionalBody(z.strictObject({
          for_ms: z.int().min(1).max(BAN_MS_MAX).default(BAN_MS_MAX).openapi({
            description: "For how long, in milliseconds. A ban that lasts longer already stays as it is.",
          }),
        })),
      },
      responses: answers("Banned.", Banned),
    }),
    async (c) => {
      const { tenant } = c.var.seat;
      const { user } = c.req.valid("param");
      const { for_ms: ms = BAN_MS_MAX } = c.req.valid("json");
      const disconnected = tenant.registry.ofUser(user).length +
        (tenant.rooms.peers?.ofUser(user).length ?? 0);
      const { untilMs, by } = tenant.ban(user, ms, BY);
      if (!await c.var.seat.kept()) return refuse(c, NOT_KEPT);
      return c.json({ user, until_ms: Math.round(untilMs), by, disconnected }, 200);
    },
  );

  app.openapi(
    createRoute({
      method: "delete",
      path: "/v1/tenants/{tenant}/users/{user}/ban",
      tags: ["users"],
      summary: "Let a banned user in again",
      middleware: auth.permit("disconnect"),
      request: { params: UserParams },
      responses: answers("Banned no more.", z.strictObject({ unbanned: z.literal(1) })),
    }),
    async (c) => {
      const { seat } = c.var;
      const { bans } = seat.tenant;
      const { user } = c.req.valid("param");
      const wasBanned = bans.find(user, context.unixMs()) !== null && bans.unban(user);
      if (!await seat.kept()) return refuse(c, NOT_KEPT);
      return wasBanned ? c.json({ unbanned: 1 as const }, 200) : refuse(c, NOT_BANNED);
    },
  );

  app.openapi(
    createRoute({
      method: "get",
      path: "/v1/tenants/{tenant}/bans",
      tags: ["users"],
      summary: "List banned users, by name",
      middleware: auth.permit("read"),
      request: { params: TenantParams, query: PageQuery },
      responses: answers("A page.", z.strictObject({ bans: z.array(Ban), next: Next })),
    }),
    (c) => {
      const { limit, cursor = null } = c.req.valid("query");
      const bans = c.var.seat.tenant.bans.behind(cursor, context.unixMs());
      const { items, next } = pageOf(bans, { keyOf: ({ user }) => user, limit });
      const shown = items.map(({ user, untilMs, by }) => ({ user, until_ms: Math.round(untilMs), by }));
      return c.json({ bans: shown, next }, 200);
    },
  );

  app.openapi(
    createRoute({
      method: "get",
      path: "/v1/tenants/{tenant}/revocations",
      tags: ["users"],
      summary: "List revoked tickets that have not expired by themselves",
      middleware: auth.permit("read"),
      request: {
        params: TenantParams,
        query: PageQuery.extend({ cursor: z.string().min(1).max(300).optional() }),
      },
      responses: answers("A page.", z.strictObject({ revocations: z.array(Revoked), next: Next })),
    }),
    async (c) => {
      const { limit, cursor: after = null } = c.req.valid("query");
      const keyOf = ({ name }: { readonly name: string }) => name;
      const page = await pageAmong(c.var.seat.revoked(), { keyOf, after, limit }, slices.of(c.var.key));
      const revocations = page.items.map(({ ticketId, user, issuedBeforeMs, untilMs }) => ({
        jti: ticketId,
        user,
        issued_before_ms: issuedBeforeMs === null ? null : Math.round(issuedBeforeMs),
        expires_at_ms: Number.isFinite(untilMs) ? Math.round(untilMs) : null,
      }));
      return c.json({ revocations, next: page.next }, 200);
    },
  );

  app.openapi(
    createRoute({
      method: "post",
      path: "/v1/tenants/{tenant}/tickets/revoke",
      tags: ["users"],
      summary: "Take tickets no more, and end the sessions that came with them (close code 4500)",
      middleware: [auth.permit("disconnect"), auth.bounded],
      request: { params: TenantParams, body: jsonBody(Revocation) },
      responses: answers("Revoked.", Disconnected),
    }),
    async (c) => {
      const { seat } = c.var;
      const body = c.req.valid("json");
      const revoked = "jti" in body
        ? { jti: body.jti }
        : { user: body.user, issuedBeforeMs: body.issued_before_ms ?? context.unixMs() };
      const disconnected = seat.revoke(revoked, body.expires_at_ms ?? Number.POSITIVE_INFINITY);
      if (disconnected === null) return refuse(c, FULL);
      return await seat.kept() ? c.json({ disconnected }, 200) : refuse(c, NOT_KEPT);
    },
  );
}
