// Traces as a collector gets them: what the gateway does for a message is one trace, which a client may have begun and which
// the backend and a webhook's backend are told of.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, test } from "node:test";
import { readTraceparent } from "../../src/tracing/traceparent.ts";
import { Backend } from "./backend_process.ts";
import { Client } from "./client.ts";
import { WITHOUT_NATS } from "../nats/find.ts";
import { NatsServer } from "../nats/server.ts";
import { acquainted, membersKnown, startNode } from "./cluster_nodes.ts";
import { lastly, sharedGateway, until } from "./gateway_process.ts";
import { KEY, Receiver } from "./webhook_receiver.ts";

interface Told {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly status: { readonly code?: number; readonly message?: string };
  readonly attributes: readonly { readonly key: string; readonly value: Readonly<Record<string, unknown>> }[];
}

const spans: Told[] = [];
const collector = createServer((request, response) => {
  let body = "";
  request.on("data", (chunk) => body += chunk).on("end", () => {
    assert.equal(request.headers["x-collector-key"], "of the collector");
    for (const { scopeSpans } of JSON.parse(body).resourceSpans) {
      for (const { spans: some } of scopeSpans) spans.push(...some as Told[]);
    }
    response.writeHead(200, { "content-type": "application/json" }).end("{}");
  });
});
await new Promise<void>((resolve) => collector.listen(0, "127.0.0.1", resolve));
after(() => collector.close());

const backend = await Backend.start();
after(() => backend.stop());
await backend.set("/orders", { body: { reply: "sold" } });
await backend.set("/hook", {});

const gateway = await sharedGateway({
  gateway: { drain_grace_ms: 0 },
  tracing: {
    otlp_endpoint: `http://127.0.0.1:${(collector.address() as AddressInfo).port}`,
    sample_ratio: 1,
    headers: [{ name: "x-collector-key", value: "of the collector" }],
  },
  tenants: [{
    id: "acme",
    policy: { ext_allowlist: ["orders:buy", "chat:*", "room:*"] },
    services: [{ svc: "chat", builtin: "chat" }, {
      svc: "orders",
      http: { url: `${backend.origin}/orders` },
    }],
    webhooks: [{
      id: "audit",
      url: `${backend.origin}/hook`,
      events: ["message.ext"],
      secret: KEY.secret,
      key_id: KEY.id,
      durable: false,
    }],
  }],
});

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736", SPAN = "00f067aa0ba902b7";

/** The span of a trace with this name, once it is there. */
function span(trace: string, name: string): Promise<Told> {
  return until(
    `the span ${name}`,
    () => spans.find((one) => one.traceId === trace && one.name === name) ?? null,
  );
}

test("a client's trace goes on through policy, service, backend and webhook", async () => {
  const ann = await Client.open(gateway, { user: "ann" });
  ann.send({ svc: "orders", type: "buy", seq: 1, trace: `00-${TRACE}-${SPAN}-01`, data: {} });
  assert.equal((await ann.next("orders.reply")).data, "sold");
  const message = await span(TRACE, "message");
  assert.deepEqual([message.parentSpanId, message.kind, message.status], [SPAN, 2, {}]);
  const attributes = Object.fromEntries(
    message.attributes.map(({ key, value }) => [key, Object.values(value)[0]]),
  );
  assert.equal(attributes["wsprism.user"], "ann");
  assert.equal(attributes["wsprism.svc"], "orders");
  const policy = await span(TRACE, "policy"), service = await span(TRACE, "service orders");
  const post = await span(TRACE, "POST orders"), event = await span(TRACE, "webhook message.ext");
  assert.deepEqual(
    [policy, service, post, event].map(({ parentSpanId }) => parentSpanId),
    [message.spanId, message.spanId, service.spanId, message.spanId],
  );
  for (const { startTimeUnixNano, endTimeUnixNano } of spans) {
    assert.ok(BigInt(startTimeUnixNano) <= BigInt(endTimeUnixNano));
    assert.ok(Math.abs(Number(BigInt(startTimeUnixNano) / 1_000_000n) - Date.now()) < 60_000);
  }
  const asked = await until("the backend's request", async () => {
    return (await backend.asked()).find(({ path }) => path === "/orders") ?? null;
  });
  assert.deepEqual(readTraceparent(asked.headers["traceparent"]!), {
    trace: TRACE,
    span: post.spanId,
    sampled: true,
  });
  ann.close();
});

test("a webhook's event says of which trace it is a part", async () => {
  const receiver = new Receiver(backend, "/hook");
  const ann = await Client.open(gateway, { user: "ann" });
  ann.send({ svc: "orders", type: "buy", seq: 1 });
  await ann.next("orders.reply");
  const [event] = await receiver.until("an event", (events) => events.length > 0);
  const { trace, span: id } = readTraceparent((event as unknown as { traceparent: string }).traceparent)!;
  assert.equal((await span(trace, "webhook message.ext")).spanId, id);
  ann.close();
});

test("a message's trace goes on at the other nodes that hear it", { skip: WITHOUT_NATS }, async () => {
  await using nats = await NatsServer.start();
  const { port } = collector.address() as AddressInfo;
  const config = (sample_ratio: number) => ({
    gateway: { drain_grace_ms: 0 },
    tracing: {
      otlp_endpoint: `http://127.0.0.1:${port}`,
      sample_ratio,
      headers: [{ name: "x-collector-key", value: "of the collector" }],
    },
    tenants: [{ id: "acme", policy: { ext_allowlist: ["room:*", "chat:send"] } }],
  });
  await using one = await startNode(nats, config(1), { name: "one" });
  // What is traced was decided where the message came in.
  await using two = await startNode(nats, config(0.000001), { name: "two" });
  await acquainted(one, two);
  const ann = await Client.open(one, { user: "ann" }), bob = await Client.open(two, { user: "bob" });
  await ann.join("r");
  await bob.join("r");
  await membersKnown(one, 1);
  const trace = TRACE.replace("4bf9", "5cf9");
  ann.send({ svc: "chat", type: "send", room: "r", trace: `00-${trace}-${SPAN}-01`, data: { msg: "hello" } });
  await bob.next("chat.msg");
  const service = await span(trace, "service chat"), published = await span(trace, "bus publish");
  const delivered = await span(trace, "bus deliver");
  assert.deepEqual([published.parentSpanId, published.kind], [service.spanId, 4]);
  assert.deepEqual([delivered.parentSpanId, delivered.kind], [published.spanId, 5]);
  for (const client of [ann, bob]) await client.close();
  for (const node of [one, two]) await node.stop();
});

test("a refusal is in its trace with the rule behind it, and so is a handshake that failed", async () => {
  const ann = await Client.open(gateway, { user: "ann" });
  ann.send({ svc: "orders", type: "steal", seq: 1 });
  await ann.nextError("NOT_ALLOWED");
  const refused = await until("the refusal", () => {
    return spans.find(({ name, status }) => name === "policy" && status.code === 2) ?? null;
  });
  assert.ok(refused.attributes.some(({ key }) => key === "wsprism.rule"));
  await assert.rejects(Client.open(gateway, { tenant: "nobody" }));
  const handshake = await until("the handshake", () => {
    return spans.find(({ name, status }) => name === "handshake" && status.code === 2) ?? null;
  });
  assert.equal(handshake.status.message, "no such tenant");
  ann.close();
});

test("a trace that is none is refused, and one that nobody records is not recorded", async () => {
  const ann = await Client.open(gateway, { user: "ann" });
  const silent = "11111111111111111111111111111111";
  ann.send({ svc: "orders", type: "buy", seq: 1, trace: `00-${silent}-${SPAN}-00` });
  await ann.next("orders.reply");
  const asked = (await backend.asked()).find(({ headers }) => headers["traceparent"]?.includes(silent));
  assert.equal(
    asked?.headers["traceparent"],
    `00-${silent}-${SPAN}-00`,
    "it is told to the backend all the same",
  );
  ann.send({ svc: "orders", type: "buy", seq: 2, trace: "nonsense" });
  const error = await ann.nextError("BAD_REQUEST");
  assert.match(error.data.msg, /trace must be a W3C traceparent/);
  assert.ok(!spans.some(({ traceId }) => traceId === silent));
  await gateway.metricsUntil("exported spans", (metrics) => metrics.sum("wsprism_spans_exported_total") > 0);
});

lastly(gateway);
