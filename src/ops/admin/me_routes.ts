// Who asks: what a key is good for, so that a page shows what its reader may do. And what was done with keys.

import { createRoute, z } from "@hono/zod-openapi";
import { ADMIN_PERMISSIONS } from "../../config/admin_schema.ts";
import { answers } from "./answers.ts";
import type { AdminApp } from "./admin_context.ts";
import { pageOf } from "./page.ts";
import type { AdminParts } from "./parts.ts";
import { countQuery, Milliseconds, Next, PageQuery } from "./words.ts";

const Me = z.strictObject({
  key: z.string(),
  global: z.boolean().openapi({ description: "Whether it is good for what concerns the whole gateway." }),
  permissions: z.array(z.enum(ADMIN_PERMISSIONS)),
  version: z.string().openapi({ description: "Of the gateway." }),
  console: z.boolean().openapi({ description: "Whether numbers and decisions are kept for a console." }),
}).openapi("Me");

const Entry = z.strictObject({
  seq: z.int().min(1),
  time_ms: Milliseconds,
  key: z.string(),
  method: z.string(),
  path: z.string(),
  tenant: z.string().nullable().openapi({ description: "Null for what concerns the gateway." }),
  address: z.string(),
  status: z.int(),
}).openapi("AuditEntry");

export function meRoutes(app: AdminApp, { auth, context, audit }: AdminParts): void {
  app.openapi(
    createRoute({
      method: "get",
      path: "/v1/me",
      tags: ["gateway"],
      summary: "What the key is good for",
      responses: answers("The key.", Me),
    }),
    (c) => {
      const { key } = c.var;
      const permissions = ADMIN_PERMISSIONS.filter((permission) => key.may(permission));
      const { version, admin } = context;
      return c.json(
        { key: key.id, global: key.isGlobal, permissions, version, console: admin().console },
        200,
      );
    },
  );

  app.openapi(
    createRoute({
      method: "get",
      path: "/v1/audit",
      tags: ["gateway"],
      summary:
        "The last requests that were to change something, newest first, of the tenants that the key is good for",
      middleware: auth.permitAnywhere("read"),
      request: {
        query: PageQuery.extend({ cursor: countQuery(1, Number.MAX_SAFE_INTEGER).optional() }),
      },
      responses: answers("A page.", z.strictObject({ entries: z.array(Entry), next: Next })),
    }),
    (c) => {
      const { key } = c.var, { limit, cursor = null } = c.req.valid("query");
      const seen = seenBy(
        audit.before(cursor),
        (tenant) => tenant === null ? key.isGlobal : key.reaches(tenant),
      );
      const { items, next } = pageOf(seen, { keyOf: ({ seq }) => seq, limit });
      const entries = items.map(({ timeMs, ...entry }) => ({ ...entry, time_ms: timeMs }));
      return c.json({ entries, next: next === null ? null : String(next) }, 200);
    },
  );
}

function* seenBy<E extends { readonly tenant: string | null }>(
  entries: Iterable<E>,
  mayBeSeen: (tenant: string | null) => boolean,
): Generator<E> {
  for (const entry of entries) if (mayBeSeen(entry.tenant)) yield entry;
}
