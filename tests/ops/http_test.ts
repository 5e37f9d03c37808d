import { strict as assert } from "node:assert";
import { test } from "node:test";
import { opsRoutes } from "../../src/ops/http.ts";

function routes(more: Partial<Parameters<typeof opsRoutes>[0]> = {}) {
  const app = opsRoutes({
    waiting: () => false,
    draining: () => false,
    accepting: () => true,
    degraded: () => false,
    metricsPath: "/metrics",
    metricsContentType: "text/plain; version=0.0.4",
    metrics: () => Promise.resolve("a 1\n"),
    wsPath: "/v1/ws",
    playground: null,
    ...more,
  });
  return async (path: string, method = "GET") => {
    const response = await app.fetch(new Request(`http://gateway${path}`, { method }));
    return { status: response.status, headers: response.headers, body: await response.text() };
  };
}

test("The gateway is alive while it drains, and ready only while it does not", async () => {
  let draining = false;
  const get = routes({ draining: () => draining });
  assert.deepEqual([(await get("/healthz")).status, (await get("/readyz")).status], [200, 200]);
  draining = true;
  const ready = await get("/readyz");
  assert.deepEqual([(await get("/healthz")).status, ready.status, ready.body], [200, 503, "draining"]);
});

test("A gateway that cannot accept connections is alive, and not ready", async () => {
  const get = routes({ accepting: () => false });
  const ready = await get("/readyz");
  assert.deepEqual([(await get("/healthz")).status, ready.status, ready.body], [
    200,
    503,
    "not accepting connections",
  ]);
});

test("A gateway of which something is down says so, and is served all the same", async () => {
  let draining = false;
  const get = routes({ draining: () => draining, degraded: () => true });
  const ready = await get("/readyz");
  assert.deepEqual([ready.status, ready.body], [200, "degraded"]);
  draining = true;
  assert.equal((await get("/readyz")).body, "draining");
});

test("Metrics are served on their path with their type, or not at all", async () => {
  const served = await routes()("/metrics");
  assert.deepEqual([served.status, served.body], [200, "a 1\n"]);
  assert.equal(served.headers.get("content-type"), "text/plain; version=0.0.4");
  assert.equal((await routes({ metricsPath: "/m" })("/m")).status, 200);
  assert.equal((await routes({ metricsPath: "/m" })("/metrics")).status, 404);
  assert.equal((await routes({ metricsPath: null })("/metrics")).status, 404);
});

test("The endpoint for WebSockets says that it is one, to any method", async () => {
  for (const method of ["GET", "POST", "PUT", "DELETE"]) {
    const { status, headers, body } = await routes()("/v1/ws?tenant=acme", method);
    assert.deepEqual([status, headers.get("upgrade"), JSON.parse(body).code], [
      426,
      "websocket",
      "BAD_REQUEST",
    ], method);
  }
});

test("Any other page is a JSON 404, and nothing but reading is offered", async () => {
  const cases = [["/", "GET"], ["/v1", "GET"], ["/healthz/", "GET"], ["/healthz", "POST"], [
    "/%2e%2e/etc/passwd",
    "GET",
  ]] as const;
  for (const [path, method] of cases) {
    const { status, headers, body } = await routes()(path, method);
    assert.equal(status, 404, path);
    assert.match(headers.get("content-type")!, /^application\/json/);
    assert.equal(JSON.parse(body).code, "NOT_FOUND");
  }
});

test("What fails inside is a 500 that tells nothing of it", async () => {
  const { status, body } = await routes({ metrics: () => Promise.reject(new Error("secret")) })("/metrics");
  assert.deepEqual([status, JSON.parse(body).code], [500, "INTERNAL"]);
  assert.ok(!body.includes("secret"));
});
