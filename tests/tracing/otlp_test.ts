import { strict as assert } from "node:assert";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { Inflow } from "../../src/outbound/inflow.ts";
import { OtlpExporter } from "../../src/tracing/otlp.ts";
import type { EndedSpan } from "../../src/tracing/tracer.ts";

const span = (name: string): EndedSpan => ({
  trace: "0af7651916cd43dd8448eb211c80319c",
  id: "b7ad6b7169203331",
  parent: null,
  name,
  kind: 1,
  startMs: 1,
  endMs: 2,
  attributes: {},
  error: null,
});

/** A collector that answers with what its mood says, and an exporter to it whose periods pass by hand. */
async function lab() {
  const got: { path: string; headers: IncomingHttpHeaders; names: string[] }[] = [];
  const mood = { status: 200 };
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk) => body += chunk).on("end", () => {
      const { resourceSpans: [{ scopeSpans: [{ spans }] }] } = JSON.parse(body);
      got.push({
        path: request.url!,
        headers: request.headers,
        names: spans.map(({ name }: { name: string }) => name),
      });
      response.writeHead(mood.status).end("{}");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const logged: string[] = [];
  let tick = () => {};
  const note = (message: string) => void logged.push(message);
  const exporter = new OtlpExporter({
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    headers: { "x-key": "secret" },
    resource: {},
    share: new Inflow(() => performance.now()).share(),
    log: { debug: note, info: note, warn: note, error: note },
    every: (_ms, task) => {
      tick = task;
      return () => tick = () => {};
    },
  });
  const metric = (name: string) =>
    [...exporter.metrics.find((one) => one.name === name)!.read()].map(({ labels, value }) => ({
      ...labels,
      value,
    }));
  return { got, mood, logged, exporter, tick: () => tick(), metric, close: () => server.close() };
}

test("Spans go in batches to /v1/traces, with the headers of the configuration", async () => {
  const { got, exporter, tick, metric, close } = await lab();
  for (let i = 0; i < 600; i++) exporter.take(span(`s${i}`));
  tick();
  await exporter.stop();
  assert.deepEqual(got.map(({ names }) => names.length), [512, 88]);
  assert.equal(got[0]!.path, "/v1/traces");
  assert.equal(got[0]!.headers["x-key"], "secret");
  assert.equal(got[0]!.headers["content-type"], "application/json");
  assert.deepEqual(metric("spans_exported_total"), [{ value: 600 }]);
  close();
});

test("What a collector does not take is dropped, counted and told of once, and later spans go", async () => {
  const { got, mood, logged, exporter, tick, metric, close } = await lab();
  mood.status = 503;
  for (let round = 0; round < 3; round++) {
    exporter.take(span("lost"));
    tick();
    const dropped = () => metric("spans_dropped_total")[0]?.value ?? 0;
    while (dropped() <= round) await new Promise((resolve) => setTimeout(resolve, 1));
  }
  assert.deepEqual(logged, ["traces cannot be exported"]);
  mood.status = 200;
  exporter.take(span("kept"));
  await exporter.stop();
  assert.deepEqual(got.at(-1)!.names, ["kept"]);
  assert.deepEqual(metric("spans_dropped_total"), [{ reason: "failed", value: 3 }]);
  assert.deepEqual(metric("spans_exported_total"), [{ value: 1 }]);
  close();
});

test("So many spans wait and no more", async () => {
  const { exporter, metric, got, close } = await lab();
  for (let i = 0; i < 5000; i++) exporter.take(span("s"));
  assert.deepEqual(metric("spans_dropped_total"), [{ reason: "queue", value: 904 }]);
  await exporter.stop();
  assert.equal(got.reduce((sum, { names }) => sum + names.length, 0), 4096);
  close();
});
