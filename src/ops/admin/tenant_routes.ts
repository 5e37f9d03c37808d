// Tenants: which there are, and their numbers.

import { createRoute, z } from "@hono/zod-openapi";
import { refusal } from "../../protocol/codes.ts";
import { LANE_NAMES } from "../../protocol/frame.ts";
import type { AdminParts } from "./parts.ts";
import { answers, MissingNodes, NOT_KEPT, refuse, textAnswers } from "./answers.ts";
import type { AdminApp, AdminTenant } from "./admin_context.ts";
import { Name, TenantParams } from "./words.ts";

const BY_CONFIGURATION = refusal("SUSPENDED", "tenant is suspended by its configuration");

const Count = z.int().min(0);
const Suspended = z.boolean().openapi({ description: "Whether nobody is let in." });
const summary = { id: Name, suspended: Suspended, sessions: Count, users: Count, rooms: Count };
const TenantSummary = z.strictObject(summary).openapi("TenantSummary");

const Traffic = z.strictObject({ messages: Count, bytes: Count }).openapi("Traffic");
const Stats = z.strictObject({
  ...summary,
  pending: Count.openapi({ description: "Connections that have not sent their ticket yet." }),
  in: z.strictObject({ ext: Traffic, hot: Traffic }),
  out: z.strictObject({ control: Traffic, reliable: Traffic, latest: Traffic, lossy: Traffic }),
  dropped: Count.openapi({ description: "Outbound messages that were not delivered." }),
  denied: Count.openapi({ description: "Inbound messages that policy did not let pass." }),
  missing_nodes: MissingNodes,
}).openapi("Stats", { description: "Numbers of one tenant; those of messages count from the start." });

export function tenantRoutes(app: AdminApp, { auth, context }: AdminParts): void {
  app.openapi(
    createRoute({
      method: "get",
      path: "/v1/tenants",
      tags: ["tenants"],
      summary: "List the tenants that the key is good for",
      middleware: auth.permitAnywhere("read"),
      responses: answers("All of them.", z.strictObject({ tenants: z.array(TenantSummary) })),
    }),
    (c) => {
      const { key } = c.var;
      const tenants = [...context.tenants()].filter(({ tenant }) => key.reaches(tenant.id)).map(summaryOf);
      return c.json({ tenants }, 200);
    },
  );

  app.openapi(
    createRoute({
      method: "get",
      path: "/v1/tenants/{tenant}/stats",
      tags: ["tenants"],
      summary: "Look at a tenant's numbers",
      middleware: auth.permit("read"),
      request: { params: TenantParams },
      responses: answers("The numbers.", Stats),
    }),
    (c) => c.json(statsOf(c.var.seat), 200),
  );

  app.openapi(
    createRoute({
      method: "get",
      path: "/v1/tenants/{tenant}/metrics",
      tags: ["tenants"],
      summary: "A tenant's metrics, in Prometheus' text format",
      middleware: auth.permit("read"),
      request: { params: TenantParams },
      responses: textAnswers("The metrics.", "text/plain"),
    }),
    async (c) => {
      const { contentType, render } = context.metrics;
      return c.text(await render(c.var.seat.tenant.id), 200, { "content-type": contentType });
    },
  );

  app.openapi(
    createRoute({
      method: "post",
      path: "/v1/tenants/{tenant}/suspend",
      tags: ["tenants"],
      summary: "End a tenant's sessions over `gateway.drain_grace_ms` (close code 4509), and let nobody in",
      middleware: auth.permit("reload"),
      request: { params: TenantParams },
      responses: answers("Suspended.", TenantSummary),
    }),
    async (c) => {
      const { seat } = c.var;
      seat.suspend(context.config().gateway.drain_grace_ms);
      if (!await seat.kept()) return refuse(c, NOT_KEPT);
      return c.json(summaryOf(seat), 200);
    },
  );

  app.openapi(
    createRoute({
      method: "post",
      path: "/v1/tenants/{tenant}/resume",
      tags: ["tenants"],
      summary: "Serve a tenant again that was suspended by `suspend`",
      middleware: auth.permit("reload"),
      request: { params: TenantParams },
      responses: answers("Served.", TenantSummary),
    }),
    async (c) => {
      const { seat } = c.var;
      const isServed = seat.resume();
      if (!await seat.kept()) return refuse(c, NOT_KEPT);
      return isServed ? c.json(summaryOf(seat), 200) : refuse(c, BY_CONFIGURATION);
    },
  );
}

function summaryOf(
  { tenant: { id, registry, rooms }, suspended }: AdminTenant,
): z.infer<typeof TenantSummary> {
  const { peers } = rooms;
  if (peers === null || peers.size === 0) {
    return { id, suspended, sessions: registry.size, users: registry.userCount, rooms: rooms.size };
  }
  let users = registry.userCount, all = rooms.size;
  for (const user of peers.users()) if (registry.ofUser(user).length === 0) users++;
  for (const room of peers.rooms.keys()) if (rooms.find(room) === undefined) all++;
  return { id, suspended, sessions: registry.size + peers.size, users, rooms: all };
}

function statsOf(seat: AdminTenant): z.infer<typeof Stats> {
  const { metrics } = seat.tenant;
  let denied = 0;
  for (const { value } of metrics.denied) denied += value;
  const out = Object.fromEntries(LANE_NAMES.map((name, lane) => [name, plain(metrics.out[lane]!)]));
  return {
    ...summaryOf(seat),
    pending: seat.pending(),
    in: { ext: plain(metrics.in.ext), hot: plain(metrics.in.hot) },
    out: out as z.infer<typeof Stats>["out"],
    dropped: metrics.drops.total,
    denied,
  };
}

function plain({ messages, bytes }: z.infer<typeof Traffic>): z.infer<typeof Traffic> {
  return { messages, bytes };
}
