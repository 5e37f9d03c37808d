// `POST /v1/tenants/{tenant}/publish`: one message, or a batch of them.

import { createRoute, z } from "@hono/zod-openapi";
import type { Refusal } from "../../protocol/codes.ts";
import { answers, jsonBody, refuse } from "./answers.ts";
import type { AdminParts } from "./parts.ts";
import type { AdminApp } from "./admin_context.ts";
import { type Handed, Message } from "./publisher.ts";
import { Slice } from "./slices.ts";
import { TenantParams } from "./words.ts";

/** Messages in a batch. */
const BATCH_MAX = 1000;
/** Deliveries of a batch in one turn of the event loop, a millisecond's worth; then others have theirs. */
const TURN_DELIVERIES = 20_000;
/** And milliseconds of work, whatever it came to: a message can be much to look at and be delivered to nobody. */
const TURN_MS = 2;

const Deliveries = z.int().min(0).openapi({ description: "Sessions that it was handed to." });
const Busy = z.array(z.string()).optional().openapi({
  description: "Rooms that have too much to deliver already, so that it went to nobody there.",
});
const StoredIn = z.array(z.strictObject({
  room: z.string(),
  offset: z.int().min(1),
  epoch: z.string(),
  duplicate: z.boolean(),
})).optional().openapi({
  description:
    "Where it stands in rooms that keep what is said; `duplicate`: it was there already, under the same key.",
});
const Single = z.strictObject({ deliveries: Deliveries, busy: Busy, stored: StoredIn });
const Result = z.union([Single, z.strictObject({ code: z.string(), msg: z.string() })]).openapi("Result");
const Batch = z.strictObject({
  deliveries: Deliveries,
  results: z.array(Result).openapi({ description: "What became of each message, in their order." }),
});
type Result = z.infer<typeof Result>;

const Body = z.union([
  Message,
  z.strictObject({ messages: z.array(Message).min(1).max(BATCH_MAX) }).openapi("Batch"),
]);

export function publishRoutes(app: AdminApp, { auth, slices, published }: AdminParts): void {
  app.openapi(
    createRoute({
      method: "post",
      path: "/v1/tenants/{tenant}/publish",
      tags: ["publish"],
      summary: "Send a message, or up to 1,000 of them in order, to rooms, users, sessions or everybody",
      middleware: [auth.permit("publish"), auth.bounded],
      request: { params: TenantParams, body: jsonBody(Body) },
      responses: answers("Handed to the sessions.", z.union([Single, Batch])),
    }),
    async (c) => {
      const { seat, key } = c.var;
      const body = c.req.valid("json");
      const slice = new Slice(slices.of(key), TURN_MS);
      if (!("messages" in body)) {
        const handed = await published.once(seat, body, key.id, slice);
        return handed.ok ? c.json(shown(handed), 200) : refuse(c, handed);
      }
      const results: Result[] = [];
      let deliveries = 0, inTurn = 0;
      for (const message of body.messages) {
        const handed = await published.once(seat, message, key.id, slice);
        results.push(shown(handed));
        if (handed.ok) {
          deliveries += handed.deliveries;
          inTurn += handed.deliveries;
        }
        if (inTurn < TURN_DELIVERIES && !slice.isOver) continue;
        await slice.next();
        inTurn = 0;
      }
      return c.json({ deliveries, results }, 200);
    },
  );
}

function shown(handed: Handed): z.infer<typeof Single>;
function shown(handed: Handed | Refusal): Result;
function shown(handed: Handed | Refusal): Result {
  if (!handed.ok) return { code: handed.code, msg: handed.msg };
  const { deliveries, busy, stored } = handed;
  return {
    deliveries,
    ...(busy.length === 0 ? {} : { busy: [...busy] }),
    ...(stored.length === 0 ? {} : { stored: [...stored] }),
  };
}
