// `POST /v1/tenants/{tenant}/publish`: one message, or a batch of them.

import { createRoute, z } from "@hono/zod-openapi";
import type { Refusal } from "../../protocol/codes.ts";
import type { Tenant } from "../../session/tenant.ts";
import { answers, jsonBody, refuse } from "./answers.ts";
import { bounded } from "./body.ts";
import type { Doorman } from "./doorman.ts";
import type { AdminApp, AdminHouse, AdminTenant } from "./house.ts";
import { Idempotency } from "./idempotency.ts";
import { KEY_REUSED, Message, publish, type Published } from "./publisher.ts";
import { TenantParams } from "./words.ts";

/** Messages in a batch. */
const BATCH_MAX = 1000;
/** Deliveries of a batch in one turn of the event loop, a millisecond's worth; then others have theirs. */
const TURN_DELIVERIES = 20_000;

const Deliveries = z.int().min(0).openapi({ description: "Sessions that it was handed to." });
const Busy = z.array(z.string()).optional().openapi({
  description: "Rooms that have too much to deliver already, so that it went to nobody there.",
});
const Single = z.strictObject({ deliveries: Deliveries, busy: Busy });
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

export function publishRoutes(app: AdminApp, doorman: Doorman, house: AdminHouse): void {
  /** As long as a tenant lives. */
  const remembered = new WeakMap<Tenant, Idempotency<Published>>();

  function once(seat: AdminTenant, message: Message, keyId: string): Published | Refusal {
    const { idempotency_key: own, ...request } = message;
    if (own === undefined) return publish(seat, message);
    let memory = remembered.get(seat.tenant);
    if (memory === undefined) remembered.set(seat.tenant, memory = new Idempotency(house.now));
    // Two keys of the API may well choose the same words.
    const name = `${keyId} ${own}`;
    const known = memory.recall(name, request);
    if (known === "other") return KEY_REUSED;
    if (known !== null) return known;
    const published = publish(seat, message);
    if (published.ok) memory.remember(name, request, published);
    return published;
  }

  app.openapi(
    createRoute({
      method: "post",
      path: "/v1/tenants/{tenant}/publish",
      tags: ["publish"],
      summary: "Send a message, or up to 1,000 of them in order, to rooms, users, sessions or everybody",
      middleware: [doorman.permit("publish"), bounded(house.config.max_body_bytes)],
      request: { params: TenantParams, body: jsonBody(Body) },
      responses: answers("Handed to the sessions.", z.union([Single, Batch])),
    }),
    async (c) => {
      const { seat, key } = c.var;
      const body = c.req.valid("json");
      if (!("messages" in body)) {
        const published = once(seat, body, key.id);
        return published.ok ? c.json(shown(published), 200) : refuse(c, published);
      }
      const results: Result[] = [];
      let deliveries = 0, inTurn = 0;
      for (const message of body.messages) {
        const published = once(seat, message, key.id);
        results.push(shown(published));
        if (!published.ok) continue;
        deliveries += published.deliveries;
        inTurn += published.deliveries;
        if (inTurn < TURN_DELIVERIES) continue;
        await house.turn();
        inTurn = 0;
      }
      return c.json({ deliveries, results }, 200);
    },
  );
}

function shown(published: Published): z.infer<typeof Single>;
function shown(published: Published | Refusal): Result;
function shown(published: Published | Refusal): Result {
  if (!published.ok) return { code: published.code, msg: published.msg };
  const { deliveries, busy } = published;
  return busy.length === 0 ? { deliveries } : { deliveries, busy: [...busy] };
}
