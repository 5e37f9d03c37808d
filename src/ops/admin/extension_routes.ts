// Extensions: how each is, what it was asked and what it said last.

import { createRoute, z } from "@hono/zod-openapi";
import { answers } from "./answers.ts";
import type { AdminApp, AdminExtension, Labelled } from "./admin_context.ts";
import type { AdminParts } from "./parts.ts";
import { Milliseconds, TenantParams } from "./words.ts";

const Count = z.int().min(0);
const Extension = z.strictObject({
  extension: z.string().openapi({ description: "The service's `svc`, or the plugin's id." }),
  role: z.enum(["service", "plugin"]),
  condition: z.string().openapi({ description: "`starting`, `up`, `down` or `stopped`." }),
  pending: Count.openapi({ description: "Calls under way." }),
  calls: z.array(z.strictObject({ hook: z.string(), outcome: z.string(), count: Count })),
  answered: Count,
  mean_ms: z.number().nullable().openapi({ description: "Until it answered; null before it ever did." }),
  kills: z.record(z.string(), Count).openapi({ description: "Workers that were ended or ended, by cause." }),
  restarts: Count,
  failed_starts: Count,
  dropped_log_lines: Count,
  dropped_events: Count,
  log: z.array(z.strictObject({ time_ms: Milliseconds, level: z.string(), text: z.string() })).openapi({
    description: "What was logged of it last, oldest first.",
  }),
}).openapi("Extension");

export function extensionRoutes(app: AdminApp, { auth }: AdminParts): void {
  app.openapi(
    createRoute({
      method: "get",
      path: "/v1/tenants/{tenant}/extensions",
      tags: ["extensions"],
      summary: "List extensions, with their calls and the last lines of their logs",
      middleware: auth.permit("read"),
      request: { params: TenantParams },
      responses: answers("All of them.", z.strictObject({ extensions: z.array(Extension) })),
    }),
    (c) => c.json({ extensions: [...c.var.seat.extensions.all].map(viewOf) }, 200),
  );
}

function viewOf({ spec, condition, pending, metrics }: AdminExtension): z.infer<typeof Extension> {
  const { durations, restarts, failedStarts, droppedLogLines, droppedEvents, lines } = metrics;
  const answered = durations.counts.reduce((sum, count) => sum + count, 0);
  return {
    extension: spec.extension,
    role: spec.role,
    condition,
    pending,
    calls: [...metrics.calls].map(({ labels, value }) => (
      { hook: labels["hook"] ?? "", outcome: labels["outcome"] ?? "", count: value }
    )),
    answered,
    mean_ms: answered === 0 ? null : Math.round(1000 * durations.sumMs / answered) / 1000,
    kills: byCause(metrics.kills),
    restarts,
    failed_starts: failedStarts,
    dropped_log_lines: droppedLogLines,
    dropped_events: droppedEvents,
    log: lines.all().map(({ timeMs, level, text }) => ({ time_ms: timeMs, level, text })),
  };
}

function byCause(counts: Iterable<Labelled>): Record<string, number> {
  return Object.fromEntries([...counts].map(({ labels, value }) => [labels["cause"] ?? "", value]));
}
