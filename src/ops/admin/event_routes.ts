// `GET /v1/events`: what happens, as it happens.

import { createRoute, z } from "@hono/zod-openapi";
import { refusal } from "../../protocol/codes.ts";
import { refuse, textAnswers } from "./answers.ts";
import type { AdminParts } from "./parts.ts";
import { FEED_TYPES, type FeedType } from "./event_feed.ts";
import type { AdminApp } from "./admin_context.ts";
import { Name } from "./words.ts";

const TOO_MANY = refusal("RESOURCE_EXHAUSTED", "too many read events already, in all or with this key");
const OTHER_TENANT = refusal("NOT_ALLOWED", "key is not for this tenant");

const KINDS = [...new Set(FEED_TYPES.map(kindOf))] as [string, ...string[]];

export function eventRoutes(app: AdminApp, { auth, feed }: AdminParts): void {
  app.openapi(
    createRoute({
      method: "get",
      path: "/v1/events",
      tags: ["events"],
      summary:
        "What happens from now on, as Server-Sent Events, of all tenants that the key is good for or of one",
      middleware: auth.permitAnywhere("read"),
      request: {
        query: z.object({
          tenant: Name.optional(),
          kind: z.enum(KINDS).optional().openapi({
            description: `Only events of one kind, the word before the dot: ${FEED_TYPES.join(", ")}.`,
          }),
        }),
      },
      responses: textAnswers(
        "An endless stream; `open` comes first, and `end` last when the gateway ends it.",
        "text/event-stream",
      ),
    }),
    (c) => {
      const { tenant = null, kind } = c.req.valid("query");
      const { key } = c.var;
      if (tenant !== null && !key.reaches(tenant)) return refuse(c, OTHER_TENANT);
      const types = new Set(FEED_TYPES.filter((type) => kind === undefined || kindOf(type) === kind));
      const stream = feed.open({ key, tenant, types });
      if (stream === null) return refuse(c, TOO_MANY);
      const headers = {
        "content-type": "text/event-stream",
        "cache-control": "no-store",
        "x-accel-buffering": "no",
      };
      return c.body(stream, 200, headers);
    },
  );
}

function kindOf(type: FeedType): string {
  return type.slice(0, type.indexOf("."));
}
