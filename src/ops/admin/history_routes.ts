// What rooms keep of what was said in them, for administrators: to read, and to let go of.

import { createRoute, z } from "@hono/zod-openapi";
import { refusal } from "../../protocol/codes.ts";
import type { KeptRoom } from "../../room/kept_room.ts";
import { answers, refuse } from "./answers.ts";
import type { AdminTenant } from "./admin_context.ts";
import type { AdminApp } from "./admin_context.ts";
import type { AdminParts } from "./parts.ts";
import { RoomParams } from "./words.ts";

const NOTHING_KEPT = refusal(
  "NOT_FOUND",
  "room keeps no history: no class of the tenant's rooms has one for it, or nobody has used it",
);
const UNREADABLE = refusal("UNAVAILABLE", "room's history cannot be read now");
const LIMIT_MAX = 100;
const PAGE_BYTES = 1_048_576;

const Offset = z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const Query = z.strictObject({
  after: Offset.optional().openapi({ description: "The oldest messages behind this offset." }),
  before: Offset.optional().openapi({
    description: "The newest messages before this offset. Default: the newest.",
  }),
  limit: z.coerce.number().int().min(1).max(LIMIT_MAX).default(LIMIT_MAX),
}).refine(
  ({ after, before }) => after === undefined || before === undefined,
  "takes after or before, not both",
);

const History = z.strictObject({
  epoch: z.string(),
  first: z.int().openapi({ description: "Offset of the oldest message that is kept." }),
  last: z.int().openapi({ description: "Offset of the newest message, 0 for none." }),
  messages: z.array(z.unknown()).openapi({ description: "Envelopes as members heard them, oldest first." }),
  more: z.boolean(),
}).openapi("History");
const Cleared = z.strictObject({ epoch: z.string() });

export function historyRoutes(app: AdminApp, { auth }: AdminParts): void {
  app.openapi(
    createRoute({
      method: "get",
      path: "/v1/tenants/{tenant}/rooms/{room}/history",
      tags: ["rooms"],
      summary: "What a room keeps of what was said in it",
      middleware: auth.permit("read"),
      request: { params: RoomParams, query: Query },
      responses: answers("A page of messages.", History),
    }),
    async (c) => {
      const { room } = c.req.valid("param");
      const { after, before = Number.MAX_SAFE_INTEGER, limit } = c.req.valid("query");
      const kept = await keptOf(c.var.seat, room);
      if (kept === null) return refuse(c, NOTHING_KEPT);
      const bounds = { limit, maxBytes: PAGE_BYTES };
      try {
        const page = await kept.page(after === undefined ? { before, ...bounds } : { after, ...bounds });
        if (page.last === 0 && isUnused(c.var.seat, room)) return refuse(c, NOTHING_KEPT);
        const { epoch, first, last, frames, more } = page;
        // As they stand: what was said is not read again, and keeps its numbers.
        const messages = frames.map(({ payload }) => payload as string).join(",");
        const head = `"epoch":${JSON.stringify(epoch)},"first":${first},"last":${last}`;
        const body = `{${head},"messages":[${messages}],"more":${more}}`;
        return c.body(body, 200, { "content-type": "application/json" }) as never;
      } catch {
        return refuse(c, UNREADABLE);
      }
    },
  );

  app.openapi(
    createRoute({
      method: "delete",
      path: "/v1/tenants/{tenant}/rooms/{room}/history",
      tags: ["rooms"],
      summary: "Let go of all that a room keeps; a new epoch begins, and members go on hearing what is said",
      middleware: auth.permit("publish"),
      request: { params: RoomParams },
      responses: answers("It is gone.", Cleared),
    }),
    async (c) => {
      const { room } = c.req.valid("param");
      const kept = await keptOf(c.var.seat, room);
      if (kept === null) return refuse(c, NOTHING_KEPT);
      if (kept.ready === null && kept.last === 0 && isUnused(c.var.seat, room)) {
        return refuse(c, NOTHING_KEPT);
      }
      try {
        await kept.clear();
        return c.json({ epoch: kept.epoch }, 200);
      } catch {
        return refuse(c, UNREADABLE);
      }
    },
  );
}

/** Of a room that keeps something. Who looks begins none: a room that nobody has used keeps nothing. */
async function keptOf({ tenant }: AdminTenant, name: string): Promise<KeptRoom | null> {
  const kept = tenant.rooms.histories.look(name);
  await kept?.ready?.catch(() => {});
  return kept;
}

function isUnused({ tenant }: AdminTenant, name: string): boolean {
  return tenant.rooms.find(name) === undefined;
}
