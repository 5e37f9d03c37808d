// Why a message is let through or not: what each check of a tenant's policy says to it, with the line of the file.

import { createRoute, z } from "@hono/zod-openapi";
import { formatPath, type Path } from "../../config/places.ts";
import { explain, hotBytes, type Question } from "../../policy/explain.ts";
import { placesOf, plainly } from "../../policy/explained.ts";
import { SessionPolicyState } from "../../policy/input.ts";
import { type Narrowing, readNarrowing } from "../../policy/narrowing.ts";
import { GatewayQuotas } from "../../policy/quotas.ts";
import { answers, jsonBody, refuse } from "./answers.ts";
import type { AdminApp } from "./admin_context.ts";
import type { AdminParts } from "./parts.ts";
import { freshPolicy, type SchemaCache } from "./fresh_policy.ts";
import { NO_SUCH_SESSION } from "./session_routes.ts";
import { RoomName, SessionId, TenantParams, UserName } from "./words.ts";
import type { SessionHandle } from "../../session/session_handle.ts";

const Asked = z.strictObject({
  lane: z.enum(["ext", "hot"]),
  message: z.union([z.string().min(1), z.record(z.string(), z.unknown())]).openapi({
    description:
      "As a client would send it: JSON, or its text; on the hot lane hexadecimal digits, in pairs.",
    example: '{"v":1,"svc":"chat","type":"send","room":"lobby","data":{"msg":"hi"}}',
  }),
  session: SessionId.optional().openapi({
    description:
      "A session that is connected: its user, claims, transport and rooms, what it has taken of its own quotas " +
      "and of rules' rates, and its mutes. Excludes `user`, `claims`, `room` and `member`.",
  }),
  user: UserName.optional().openapi({ description: "Who sends it; `user` when absent." }),
  claims: z.record(z.string(), z.unknown()).optional().openapi({
    description: "Of the sender's ticket; none when absent.",
  }),
  room: RoomName.optional().openapi({ description: "The room that the session joined last." }),
  member: z.boolean().optional().openapi({
    description:
      "Whether the session is a member of the message's room, whichever that is; it is not when absent.",
  }),
}).openapi("Question");

const Step = z.strictObject({
  check: z.string().openapi({ description: "A built-in check, or a rule's id." }),
  verdict: z.enum(["pass", "skip", "note", "deny"]).openapi({
    description:
      "`skip`: a rule that is not about this message. `note`: found, and let pass, as in a dry run.",
  }),
  path: z.string().nullable().openapi({ description: "Where the configuration has it." }),
  line: z.int().min(1).nullable().openapi({
    description: "Its line in the file; null where the file does not say it, so that a default holds.",
  }),
  why: z.string().optional(),
  code: z.string().optional().openapi({ description: "The error that the client gets." }),
  action: z.string().optional(),
  retry_after_ms: z.number().optional(),
  close: z.int().optional().openapi({ description: "The close code with which the session ends." }),
}).openapi("Step");
const Explanation = z.strictObject({
  allowed: z.boolean(),
  rule_id: z.string().nullable().openapi({ description: "The check or rule that denies." }),
  steps: z.array(Step).openapi({ description: "In order; the last one denies, if any does." }),
}).openapi("Explanation");

export function explainRoutes(app: AdminApp, { auth, context }: AdminParts): void {
  const schemas: SchemaCache = new WeakMap();
  app.openapi(
    createRoute({
      method: "post",
      path: "/v1/tenants/{tenant}/explain",
      tags: ["policy"],
      summary: "What policy would say to a message, check by check, with each check's line of the file",
      middleware: [auth.permit("read"), auth.bounded],
      request: { params: TenantParams, body: jsonBody(Asked) },
      responses: answers(
        "The verdict of each check. Quotas, those of a `session` itself excepted, are as if nobody had taken of them.",
        Explanation,
      ),
    }),
    async (c) => {
      const { config, tenant: { id, registry } } = c.var.seat;
      const asked = c.req.valid("json");
      const message = bytesOf(asked);
      if (typeof message === "string") return bad(c, `body.message: ${message}`);
      const about = asked.session === undefined ? null : registry.find(asked.session);
      if (about === undefined) return refuse(c, NO_SUCH_SESSION);
      if (about !== null && SAID.some((field) => asked[field] !== undefined)) {
        return bad(c, `body: session says ${SAID.join(", ")} already`);
      }
      const narrowing = about?.narrowing ?? readNarrowing(asked.claims ?? {});
      if (typeof narrowing === "string") return bad(c, `body.claims: ${narrowing}`);
      const running = context.config();
      const index = running.tenants.findIndex((tenant) => tenant.id === id);
      const gateway = new GatewayQuotas(running.gateway.quotas);
      const policy = freshPolicy(config, gateway, schemas).narrowed(narrowing);
      const { lane } = asked;
      const question = about === null
        ? { lane, message, ...senderOf(asked, narrowing) }
        : { lane, message, ...speakerOf(about, context.now()) };
      const explanation = explain(policy, question, { config, index });
      const places = placesOf(explanation);
      const lines = await context.lines(places);
      const byPath = new Map(places.map((path, at) => [formatPath(path), lines[at] ?? null]));
      const plain = plainly(explanation, (path: Path) => byPath.get(formatPath(path)) ?? null);
      return c.json({ ...plain, steps: [...plain.steps] }, 200);
    },
  );
}

/** What a session says of the sender. */
const SAID = ["user", "claims", "room", "member"] as const;

const bad = (c: Parameters<typeof refuse>[0], msg: string) => refuse(c, { code: "BAD_REQUEST", msg });

/** A message's bytes, or what is wrong with it. */
function bytesOf({ lane, message }: z.infer<typeof Asked>): Uint8Array | string {
  if (lane === "ext") {
    return new TextEncoder().encode(typeof message === "string" ? message.trim() : JSON.stringify(message));
  }
  const bytes = typeof message === "string" ? hotBytes(message.trim()) : null;
  return bytes ?? "must be hexadecimal digits in pairs on the hot lane";
}

type Sender = Omit<Question, "lane" | "message">;

function senderOf(
  { user = "user", claims = {}, room, member = false }: z.infer<typeof Asked>,
  { rooms }: Narrowing,
): Sender {
  const membership = (name: string) => member || name === room ? true : undefined;
  return { subject: { user, claims, transport: "websocket", membership }, active: room ?? null, rooms };
}

/** The sender that a session is. */
function speakerOf(session: SessionHandle, now: number): Sender {
  const { policyState } = session.look(now);
  return {
    subject: session,
    active: session.active?.room.name ?? null,
    rooms: session.narrowing.rooms,
    session: { state: policyState ?? new SessionPolicyState(), now },
  };
}
