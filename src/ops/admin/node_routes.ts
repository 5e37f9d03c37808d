// The nodes of a cluster: which there are.

import { createRoute, z } from "@hono/zod-openapi";
import type { AdminApp } from "./admin_context.ts";
import { answers } from "./answers.ts";
import type { AdminParts } from "./parts.ts";
import { Milliseconds } from "./words.ts";

const Node = z.strictObject({
  node: z.string().openapi({ description: "Its name." }),
  incarnation: z.string().openapi({ description: "Another one for each start." }),
  version: z.string(),
  started_at_ms: Milliseconds,
  sessions: z.int().min(0),
  draining: z.boolean(),
  self: z.boolean().openapi({ description: "Whether it is the node that answers." }),
  silent_ms: z.int().min(0).openapi({ description: "Since this node has heard of it." }),
}).openapi("Node");

export function nodeRoutes(app: AdminApp, { auth, nodes }: AdminParts): void {
  app.openapi(
    createRoute({
      method: "get",
      path: "/v1/nodes",
      tags: ["gateway"],
      summary: "List the nodes of the cluster; none where the gateway is alone",
      middleware: auth.permitGlobally("read"),
      responses: answers("All of them.", z.strictObject({ nodes: z.array(Node) })),
    }),
    (c) => {
      const list = nodes?.list() ?? [];
      const shown = list.map((
        { node, incarnation, version, startedMs, sessions, draining, silentMs },
        i,
      ) => ({
        node,
        incarnation,
        version,
        started_at_ms: Math.round(startedMs),
        sessions,
        draining,
        self: i === 0,
        silent_ms: Math.max(0, Math.round(silentMs)),
      }));
      return c.json({ nodes: shown }, 200);
    },
  );
}
