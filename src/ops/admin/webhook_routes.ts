// Webhooks: how far each has come, and the events that its backend refuses: looking at them, sending them again,
// dropping them.

import { errorText } from "../../error_text.ts";
import { createRoute, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { refusal } from "../../protocol/codes.ts";
import { Json, writeObject } from "../../protocol/json.ts";
import { answers, jsonBody, refuse } from "./answers.ts";
import type { AdminParts } from "./parts.ts";
import type { AdminApp, AdminEnv, AdminWebhook } from "./admin_context.ts";
import { countQuery, Milliseconds, Name, Next, PageQuery, TenantParams } from "./words.ts";

/** Dead letters that are named in one request. */
const SEQS_MAX = 1000;
/** Bytes of events in a page of dead letters; one event may be larger. */
const PAGE_BYTES_MAX = 1_048_576;

const NO_SUCH_WEBHOOK = refusal("NOT_FOUND", "tenant has no such webhook");
const NO_STATE = refusal("UNAVAILABLE", "the state cannot be used now; nothing has changed");

const Count = z.int().min(0);
const Webhook = z.strictObject({
  id: Name,
  url: z.string().openapi({ description: "Without its query." }),
  events: Count.openapi({ description: "Events that wait." }),
  bytes: Count.openapi({ description: "Of the events that wait." }),
  oldest_ms: Milliseconds.nullable().openapi({ description: "Of the event that waits longest, Unix time." }),
  dead_letters: Count.openapi({ description: "Events that the backend refuses." }),
  delivered: Count.openapi({ description: "Events that the backend has taken, since the start." }),
  lost: z.record(z.string(), Count).openapi({ description: "Events given up, by reason, since the start." }),
  batches: z.record(z.string(), Count).openapi({ description: "Requests by outcome, since the start." }),
}).openapi("Webhook");

const Seq = z.int().min(1).max(Number.MAX_SAFE_INTEGER).openapi({
  description: "Its number in the webhook's sequence.",
});
const DeadLetter = z.strictObject({
  seq: Seq,
  time_ms: Milliseconds,
  reason: z.string().openapi({ description: "What the backend said to it." }),
  event: z.record(z.string(), z.unknown()).openapi({ description: "As the backend got it." }),
}).openapi("DeadLetter");

const Which = z.union([
  z.strictObject({ seqs: z.array(Seq).min(1).max(SEQS_MAX) }),
  z.strictObject({ all: z.literal(true) }),
]).openapi("WhichDeadLetters");

const WebhookParams = TenantParams.extend({ webhook: Name });

export function webhookRoutes(app: AdminApp, { auth, context }: AdminParts): void {
  const { webhooks, log } = context;
  /** What `ask` resolves with, or undefined where the state cannot be used. */
  const attempt = async <T>(ask: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await ask();
    } catch (cause) {
      log.error("admin cannot use the state", {
        error: errorText(cause),
      });
      return undefined;
    }
  };
  const refuseFor = (c: Context<AdminEnv>, outcome: null | undefined) =>
    refuse(c, outcome === null ? NO_SUCH_WEBHOOK : NO_STATE);

  app.openapi(
    createRoute({
      method: "get",
      path: "/v1/tenants/{tenant}/webhooks",
      tags: ["webhooks"],
      summary: "List webhooks, with what waits for their backends",
      middleware: auth.permit("read"),
      request: { params: TenantParams },
      responses: answers("All of them.", z.strictObject({ webhooks: z.array(Webhook) })),
    }),
    async (c) => {
      const found = await attempt(() => webhooks.look(c.req.valid("param").tenant));
      return found === undefined ? refuse(c, NO_STATE) : c.json({ webhooks: found.map(summaryOf) }, 200);
    },
  );

  app.openapi(
    createRoute({
      method: "get",
      path: "/v1/tenants/{tenant}/webhooks/{webhook}/dead-letters",
      tags: ["webhooks"],
      summary: "List events that a webhook's backend refuses, by their number",
      middleware: auth.permit("read"),
      request: {
        params: WebhookParams,
        query: PageQuery.extend({
          cursor: countQuery(0, Number.MAX_SAFE_INTEGER).optional(),
        }),
      },
      responses: answers(
        "A page, which may be shorter than asked for.",
        z.strictObject({ dead_letters: z.array(DeadLetter), next: Next }),
      ),
    }),
    async (c) => {
      const { tenant, webhook } = c.req.valid("param");
      const { limit, cursor: after = 0 } = c.req.valid("query");
      const max = { letters: limit, bytes: PAGE_BYTES_MAX };
      const found = await attempt(() => webhooks.deadLetters(tenant, webhook, { after, max }));
      if (found === null || found === undefined) return refuseFor(c, found);
      const { letters, more } = found;
      // Texts, as an event has what clients said, which goes on as it came.
      const shown = letters.map(({ seq, atMs, reason, json }) =>
        writeObject({ seq, time_ms: Math.round(atMs), reason, event: Json.written(json) })
      );
      const dead_letters = Json.written(`[${shown.join(",")}]`);
      const text = writeObject({ dead_letters, next: more ? String(letters.at(-1)!.seq) : null });
      return c.body(text, 200, { "content-type": "application/json" }) as never;
    },
  );

  app.openapi(
    createRoute({
      method: "post",
      path: "/v1/tenants/{tenant}/webhooks/{webhook}/dead-letters/retry",
      tags: ["webhooks"],
      summary: "Send dead letters again, in the places that they had in the sequence",
      middleware: [auth.permit("reload"), auth.bounded],
      request: { params: WebhookParams, body: jsonBody(Which) },
      responses: answers("They wait to be sent.", z.strictObject({ retried: Count })),
    }),
    async (c) => {
      const { tenant, webhook } = c.req.valid("param");
      const seqs = seqsOf(c.req.valid("json"));
      const retried = await attempt(() => webhooks.retry(tenant, webhook, seqs));
      return typeof retried === "number" ? c.json({ retried }, 200) : refuseFor(c, retried);
    },
  );

  app.openapi(
    createRoute({
      method: "post",
      path: "/v1/tenants/{tenant}/webhooks/{webhook}/dead-letters/drop",
      tags: ["webhooks"],
      summary: "Forget dead letters",
      middleware: [auth.permit("reload"), auth.bounded],
      request: { params: WebhookParams, body: jsonBody(Which) },
      responses: answers("They are gone.", z.strictObject({ dropped: Count })),
    }),
    async (c) => {
      const { tenant, webhook } = c.req.valid("param");
      const seqs = seqsOf(c.req.valid("json"));
      const dropped = await attempt(() => webhooks.drop(tenant, webhook, seqs));
      return typeof dropped === "number" ? c.json({ dropped }, 200) : refuseFor(c, dropped);
    },
  );
}

/** Null for all. */
function seqsOf(which: z.infer<typeof Which>): readonly number[] | null {
  return "all" in which ? null : which.seqs;
}

function summaryOf({ webhook: id, url, stats }: AdminWebhook): z.infer<typeof Webhook> {
  const { origin, pathname } = new URL(url);
  return {
    id,
    url: `${origin}${pathname}`,
    events: stats?.events ?? 0,
    bytes: stats?.bytes ?? 0,
    oldest_ms: stats === null || stats.oldestMs === null ? null : Math.round(stats.oldestMs),
    dead_letters: stats?.deadLetters ?? 0,
    delivered: stats?.delivered ?? 0,
    lost: { ...stats?.lost },
    batches: { ...stats?.batches },
  };
}
