// The gateway as a whole: its configuration and metrics.

import { createRoute, z } from "@hono/zod-openapi";
import type { Change } from "../../config/diff.ts";
import { CONFIG_SHAPE, withoutSecrets } from "../../config/fingerprint.ts";
import { describeIssue } from "../../config/issue.ts";
import { answers, textAnswers } from "./answers.ts";
import type { AdminParts } from "./parts.ts";
import type { AdminApp } from "./admin_context.ts";

const Lines = z.array(z.string());
const ConfigChange = z.strictObject({
  tenant: z.string().nullable().openapi({ description: "Null for what holds for all tenants." }),
  key: z.string(),
  before: z.string().nullable().openapi({ description: "Null for nothing; secrets are not shown." }),
  after: z.string().nullable(),
  restart: z.boolean().openapi({ description: "Whether it waits for a restart." }),
}).openapi("ConfigChange") satisfies z.ZodType<Change>;
const Reload = z.strictObject({
  outcome: z.enum(["applied", "unchanged"]),
  changes: z.array(ConfigChange),
  added: Lines.openapi({ description: "Tenants." }),
  removed: Lines,
  warnings: Lines,
}).openapi("Reload");

const Changes = z.strictObject({
  ok: z.boolean().openapi({ description: "Whether the file could be used." }),
  failures: Lines.openapi({ description: "Why not." }),
  changes: z.array(ConfigChange),
  added: Lines,
  removed: Lines,
  warnings: Lines,
}).openapi("Changes");

export function gatewayRoutes(app: AdminApp, { auth, context, metricsPath }: AdminParts): void {
  app.openapi(
    createRoute({
      method: "post",
      path: "/v1/reload",
      tags: ["gateway"],
      summary: "Read the configuration anew; where it is not good (409), nothing changes",
      middleware: auth.permitGlobally("reload"),
      responses: answers("It is in use.", Reload),
    }),
    async (c) => {
      const reloaded = await context.reload();
      if (reloaded.outcome === "refused") {
        const { reason, failures } = reloaded;
        return c.json({ code: "BAD_REQUEST", msg: reason, failures: failures.map(describeIssue) }, 409);
      }
      const { outcome, diff: { changes, added, removed }, warnings } = reloaded;
      return c.json({
        outcome,
        changes: [...changes],
        added: [...added],
        removed: [...removed],
        warnings: warnings.map(describeIssue),
      }, 200);
    },
  );

  app.openapi(
    createRoute({
      method: "get",
      path: "/v1/config/changes",
      tags: ["gateway"],
      summary: "What a reload would change; nothing changes",
      middleware: auth.permitGlobally("read"),
      responses: answers("What differs between the file and the configuration in use.", Changes),
    }),
    async (c) => {
      const preview = await context.preview();
      if (!preview.ok) {
        const failures = preview.failures.map(describeIssue);
        return c.json({ ok: false, failures, changes: [], added: [], removed: [], warnings: [] }, 200);
      }
      const { diff: { changes, added, removed }, warnings } = preview;
      return c.json({
        ok: true,
        failures: [],
        changes: [...changes],
        added: [...added],
        removed: [...removed],
        warnings: warnings.map(describeIssue),
      }, 200);
    },
  );

  app.openapi(
    createRoute({
      method: "get",
      path: "/v1/config",
      tags: ["gateway"],
      summary: "The configuration in use, every default filled in and no secret shown",
      middleware: auth.permitGlobally("read"),
      responses: answers("The configuration, as in the file.", z.record(z.string(), z.unknown())),
    }),
    (c) => c.json(withoutSecrets(context.config(), CONFIG_SHAPE) as Record<string, unknown>, 200),
  );

  if (metricsPath === null) return;
  app.openapi(
    createRoute({
      method: "get",
      path: metricsPath,
      tags: ["gateway"],
      summary: "The metrics of all tenants and of the gateway, in Prometheus' text format",
      middleware: auth.permitGlobally("read"),
      responses: textAnswers("The metrics.", "text/plain"),
    }),
    async (c) => {
      const { contentType, render } = context.metrics;
      return c.text(await render(null), 200, { "content-type": contentType });
    },
  );
}
