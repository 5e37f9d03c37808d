// The operator's HTTP on the public listener: liveness, readiness, metrics; with `--dev`, the playground. Everything else
// is a JSON error.

import { Hono } from "hono";
import { type PlaygroundFacts, playgroundRoutes } from "./playground.ts";

export interface OpsOptions {
  /** Whether the gateway drains, and so is not ready. */
  readonly draining: () => boolean;
  /** Whether what it needs to serve anybody is not there yet. */
  readonly waiting: () => boolean;
  /** Whether every listener accepts connections. */
  readonly accepting: () => boolean;
  /** Whether something of it is down that a tenant relies on; it serves all the same. */
  readonly degraded: () => boolean;
  /** Where metrics are served, null for nowhere. */
  readonly metricsPath: string | null;
  readonly metricsContentType: string;
  readonly metrics: () => Promise<string>;
  /** Where clients connect; asked for without an upgrade, it says so. */
  readonly wsPath: string;
  /** What the playground is told; null where there is none. */
  readonly playground: (() => PlaygroundFacts) | null;
}

/** Routes of the public listener. */
export function opsRoutes(options: OpsOptions): Hono {
  const app = new Hono();
  app.get("/healthz", (c) => c.text("ok"));
  app.get("/readyz", (c) => {
    if (options.draining()) return c.text("draining", 503);
    if (options.waiting()) return c.text("waiting for the cluster", 503);
    if (!options.accepting()) return c.text("not accepting connections", 503);
    return c.text(options.degraded() ? "degraded" : "ready");
  });
  app.all(options.wsPath, (c) => {
    const body = { code: "BAD_REQUEST", msg: "this is a WebSocket endpoint: send an upgrade request" };
    return c.json(body, 426, { upgrade: "websocket", connection: "upgrade" });
  });
  if (options.metricsPath !== null) {
    app.get(options.metricsPath, async (c) => {
      return c.body(await options.metrics(), 200, { "content-type": options.metricsContentType });
    });
  }
  if (options.playground !== null) playgroundRoutes(app, options.playground);
  app.notFound((c) => c.json({ code: "NOT_FOUND", msg: "no such page" }, 404));
  app.onError((_error, c) => c.json({ code: "INTERNAL", msg: "the gateway failed on this request" }, 500));
  return app;
}

/** The answer to whoever asks too often. */
export function tooManyRequests(waitMs: number): Response {
  const retryAfterMs = Math.ceil(waitMs);
  return Response.json(
    { code: "RATE_LIMITED", msg: "too many requests", retry_after_ms: retryAfterMs },
    { status: 429, headers: { "retry-after": String(Math.ceil(retryAfterMs / 1000)) } },
  );
}
