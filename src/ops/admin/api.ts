// The admin API: its routes, in front of them whoever lets requests in, and the document that describes them. Everything
// that is not a route is a JSON error.

import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import { HTTPException } from "hono/http-exception";
import { refusal } from "../../protocol/codes.ts";
import { consoleRoutes } from "../console/page.ts";
import { describeFault, refuse } from "./answers.ts";
import type { AdminApp, AdminContext, AdminEnv } from "./admin_context.ts";
import { decisionRoutes } from "./decision_routes.ts";
import { extensionRoutes } from "./extension_routes.ts";
import { meRoutes } from "./me_routes.ts";
import { overviewRoutes } from "./overview_routes.ts";
import { watchRoutes } from "./watch_routes.ts";
import { explainRoutes } from "./explain_routes.ts";
import { eventRoutes } from "./event_routes.ts";
import { gatewayRoutes } from "./gateway_routes.ts";
import { Methods } from "./methods.ts";
import { nodeRoutes } from "./node_routes.ts";
import { overNodes } from "./over_nodes.ts";
import type { AdminParts } from "./parts.ts";
import { publishRoutes } from "./publish_routes.ts";
import { historyRoutes } from "./history_routes.ts";
import { roomRoutes } from "./room_routes.ts";
import { sessionRoutes } from "./session_routes.ts";
import { tenantRoutes } from "./tenant_routes.ts";
import { userRoutes } from "./user_routes.ts";
import { webhookRoutes } from "./webhook_routes.ts";

/** The name of the only way to be let in. */
const BEARER = "key";

const NOT_JSON = refusal("BAD_REQUEST", "the body must be JSON, with content-type: application/json");

/** The admin API of a gateway. */
export function adminApi(parts: AdminParts): AdminApp {
  const { context, auth } = parts;
  const app: AdminApp = new OpenAPIHono<AdminEnv>({
    defaultHook: (result, c) => {
      if (result.success) return;
      return refuse(c, { code: "BAD_REQUEST", msg: describeFault(result.target, result.error) });
    },
  });
  const { log, version } = context;
  app.notFound((c) => {
    const takes = methods.of(c.req.path);
    if (takes.length === 0) return refuse(c, { code: "NOT_FOUND", msg: "no such route" });
    const allow = takes.join(", ");
    return c.json({ code: "NOT_FOUND", msg: `this route takes ${allow}` }, 405, { allow });
  });
  app.onError((error, c) => {
    if (error instanceof HTTPException) {
      // Of a body that cannot be read as what it should be.
      return refuse(c, error.status === 415 ? NOT_JSON : { code: "BAD_REQUEST", msg: error.message });
    }
    log.error("admin request failed", { path: c.req.path, error: error.stack ?? error.message });
    return refuse(c, { code: "INTERNAL", msg: "the gateway failed on this request" });
  });
  openRoutes(app, context);
  if (parts.hasConsole) consoleRoutes(app);
  const description = { title: "wsPrism admin API", version };
  // Written once: that takes as long as serving hundreds of requests, and nobody needs a key to ask for it.
  let document: string | null = null;
  const head = { openapi: "3.1.0", info: description, security: [{ [BEARER]: [] }] };
  app.get("/v1/openapi.json", (c) => {
    document ??= JSON.stringify(app.getOpenAPI31Document(head));
    return c.body(document, 200, { "content-type": "application/json" });
  });
  app.openAPIRegistry.registerComponent("securitySchemes", BEARER, {
    type: "http",
    scheme: "bearer",
    description: "The secret of one of `admin.keys`.",
  });

  app.use("*", auth.admit);
  if (parts.nodes !== null) app.use("*", overNodes(parts.nodes));
  tenantRoutes(app, parts);
  publishRoutes(app, parts);
  sessionRoutes(app, parts);
  roomRoutes(app, parts);
  historyRoutes(app, parts);
  userRoutes(app, parts);
  explainRoutes(app, parts);
  decisionRoutes(app, parts);
  watchRoutes(app, parts);
  overviewRoutes(app, parts);
  extensionRoutes(app, parts);
  meRoutes(app, parts);
  webhookRoutes(app, parts);
  gatewayRoutes(app, parts);
  nodeRoutes(app, parts);
  eventRoutes(app, parts);
  const methods = new Methods(app);
  return app;
}

/** What anybody may ask who can reach the listener. */
function openRoutes(app: AdminApp, { draining, waiting, degraded, accepting }: AdminContext): void {
  const text = (description: string) => ({
    description,
    content: { "text/plain": { schema: z.string() } },
  });
  app.openapi(
    createRoute({
      method: "get",
      path: "/healthz",
      tags: ["gateway"],
      summary: "Whether the process lives",
      security: [],
      responses: { 200: text("It does.") },
    }),
    (c) => c.text("ok", 200),
  );
  app.openapi(
    createRoute({
      method: "get",
      path: "/readyz",
      tags: ["gateway"],
      summary: "Whether it takes new connections",
      security: [],
      responses: {
        200: text("It does: `ready`, or `degraded` where something is down that a tenant relies on."),
        503: text("It drains, waits for its cluster, or connections cannot be accepted."),
      },
    }),
    (c) => {
      if (draining()) return c.text("draining", 503);
      if (waiting()) return c.text("waiting for the cluster", 503);
      if (!accepting()) return c.text("not accepting connections", 503);
      return c.text(degraded() ? "degraded" : "ready", 200);
    },
  );
}
