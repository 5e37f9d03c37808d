// Rate limits of messages: per connection, per tenant, both. A token comes back each second only, so that none does
// while a test counts what it sent at once.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Client, hex, hot, type Message } from "./client.ts";
import { lastly, sharedGateway } from "./gateway_process.ts";
import type { Metrics } from "./metrics_text.ts";

const BURST = 10;
const tenant = (id: string, rate_limit_scope: string, more: object = {}) => ({
  id,
  policy: {
    rate_limit_rps: 1,
    rate_limit_burst: BURST,
    rate_limit_scope,
    ext_allowlist: ["room:*", "chat:send"],
    hot_allowlist: ["1:1"],
    hot_requires_active_room: false,
    ...more,
  },
});

const gateway = await sharedGateway({
  gateway: { drain_grace_ms: 0 },
  tenants: [
    tenant("each", "connection"),
    tenant("each-hot", "connection"),
    tenant("each-silent", "connection", { hot_error_mode: "silent" }),
    tenant("each-denied", "connection"),
    tenant("all", "tenant"),
    tenant("all-denied", "tenant"),
    tenant("both", "both"),
    tenant("both-denied", "both"),
  ],
});

type LaneName = "ext" | "hot";

/**
 * Waits until the tenant's clients have been heard this often on a lane, and each message has been decided on: a scrape is
 * written in slices, between which more is heard.
 */
function heard(id: string, lane: LaneName, messages: number): Promise<Metrics> {
  const names = ["wsprism_messages_in_total", "wsprism_policy_decisions_total"];
  return gateway.metricsUntil(
    `${messages} messages to be heard`,
    (metrics) => names.every((name) => metrics.sum(name, { tenant: id, lane }) === messages),
  );
}

function decisions(metrics: Metrics, id: string, lane: LaneName): Record<string, number> {
  const samples = metrics.samples("wsprism_policy_decisions_total", { tenant: id, lane });
  return Object.fromEntries(
    samples.map(({ labels, value }) => [`${labels.get("decision")} ${labels.get("reason")}`, value]),
  );
}

function ping(client: Client, count: number, from = 0): void {
  for (let seq = from; seq < from + count; seq++) client.send({ svc: "sys", type: "ping", seq });
}

/** Closes and returns all that had been sent: a limited client can ask for nothing more. */
async function all(client: Client): Promise<string[]> {
  await client.close();
  return client.waiting.map((message) => message instanceof Uint8Array ? hex(message) : brief(message));
}

function brief({ type, seq, data }: Message): string {
  if (type !== "error") return `${type} ${seq}`;
  const { code, retry_after_ms } = data;
  if (code !== "RATE_LIMITED") return `${code} ${seq}`;
  assert.ok(
    Number.isInteger(retry_after_ms) && retry_after_ms >= 1 && retry_after_ms <= 1000,
    `${retry_after_ms}`,
  );
  return `limited ${seq}`;
}

const pongs = (count: number, from = 0) => Array.from({ length: count }, (_, i) => `pong ${from + i}`);

test("each connection has its burst; the first drop is told with its seq, the rest are counted", async () => {
  const ann = await Client.open(gateway, { tenant: "each", user: "ann" });
  const too = await Client.open(gateway, { tenant: "each", user: "ann" });
  ping(ann, 50);
  await heard("each", "ext", 50);
  ping(too, BURST, 100);
  const metrics = await heard("each", "ext", 50 + BURST);
  assert.deepEqual(decisions(metrics, "each", "ext"), { "pass ok": 2 * BURST, "drop session_rate": 40 });
  assert.deepEqual(await all(ann), [...pongs(BURST), `limited ${BURST}`]);
  assert.deepEqual(await all(too), pongs(BURST, 100));
});

test("a client that waits as long as it was told gets through again", async () => {
  const ann = await Client.open(gateway, { tenant: "each" });
  ping(ann, BURST + 1);
  for (let seq = 0; seq < BURST; seq++) await ann.next("sys.pong");
  const { data } = await ann.nextError("RATE_LIMITED");
  await new Promise((resolve) => setTimeout(resolve, data.retry_after_ms));
  ping(ann, 1, 500);
  assert.equal((await ann.next("sys.pong")).seq, 500);
  await ann.close();
});

test("what is dropped isn't read: a malformed message over the rate closes nothing", async () => {
  const ann = await Client.open(gateway, { tenant: "each" });
  ping(ann, BURST + 1);
  for (let seq = 0; seq < BURST; seq++) await ann.next("sys.pong");
  await ann.nextError("RATE_LIMITED");
  const before = (await gateway.metrics()).sum("wsprism_messages_in_total", { tenant: "each", lane: "ext" });
  ann.send("not even JSON");
  await heard("each", "ext", before + 1);
  assert.deepEqual(await all(ann), []);
  await ann.closed.then(({ code }) => assert.equal(code, 1000));
});

test("both lanes draw from one bucket, and a hot drop is told with its seq", async () => {
  const ann = await Client.open(gateway, { tenant: "each-hot" });
  for (let seq = 0; seq < 30; seq++) ann.binary(hot(1, 1, { seq, payload: [seq] }));
  await heard("each-hot", "hot", 30);
  ping(ann, 5);
  const metrics = await heard("each-hot", "ext", 5);
  assert.deepEqual(decisions(metrics, "each-hot", "hot"), { "pass ok": BURST, "drop session_rate": 20 });
  assert.deepEqual(decisions(metrics, "each-hot", "ext"), { "pass ok": 0, "drop session_rate": 5 });
  const echoes = Array.from({ length: BURST }, (_, i) => hex(Uint8Array.of(i)));
  assert.deepEqual((await all(ann)).sort(), [...echoes, `limited ${BURST}`].sort());
});

test("in silent mode a hot drop is counted only, an ext drop is told", async () => {
  const ann = await Client.open(gateway, { tenant: "each-silent" });
  for (let seq = 0; seq < BURST + 5; seq++) ann.binary(hot(1, 1, { seq, payload: [seq] }));
  await heard("each-silent", "hot", BURST + 5);
  ping(ann, 3, 70);
  const metrics = await heard("each-silent", "ext", 3);
  assert.equal(decisions(metrics, "each-silent", "hot")["drop session_rate"], 5);
  assert.deepEqual((await all(ann)).slice(BURST), ["limited 70"]);
});

test("all connections of a tenant share its burst, and each is told of its first drop", async () => {
  const ann = await Client.open(gateway, { tenant: "all" });
  const bob = await Client.open(gateway, { tenant: "all" });
  ping(ann, 20);
  await heard("all", "ext", 20);
  ping(bob, 20);
  const metrics = await heard("all", "ext", 40);
  assert.deepEqual(decisions(metrics, "all", "ext"), { "pass ok": BURST, "drop tenant_rate": 30 });
  assert.deepEqual(await all(ann), [...pongs(BURST), `limited ${BURST}`]);
  assert.deepEqual(await all(bob), ["limited 0"]);
});

test("a refused message takes nothing from what the tenant's clients share", async () => {
  for (const id of ["all-denied", "both-denied"]) {
    const eve = await Client.open(gateway, { tenant: id });
    const count = 30;
    for (let seq = 0; seq < count / 2; seq++) {
      eve.send({ svc: "chat", type: "shout", seq });
      eve.binary(hot(1, 2, { seq: 100 + seq }));
    }
    await heard(id, "ext", count / 2);
    await heard(id, "hot", count / 2);
    const ann = await Client.open(gateway, { tenant: id });
    ping(ann, BURST);
    const metrics = await heard(id, "ext", count / 2 + BURST);
    assert.equal(decisions(metrics, id, "ext")["pass ok"], BURST);
    assert.deepEqual(await all(ann), pongs(BURST));
    // Refusals are told as long as the client is within its rate, and all are counted.
    const told = await all(eve);
    assert.equal(told.filter((line) => line.startsWith("NOT_ALLOWED")).length, BURST);
    const counted = ["ext", "hot"].map((lane) => decisions(metrics, id, lane as LaneName));
    const sum = (reason: string) => counted.reduce((all, of) => all + (of[reason] ?? 0), 0);
    assert.equal(sum("reject allowlist"), id === "all-denied" ? count : BURST);
    assert.equal(sum("drop session_rate"), id === "all-denied" ? 0 : count - BURST);
  }
});

test("a refused message takes from its own connection's bucket", async () => {
  const eve = await Client.open(gateway, { tenant: "each-denied" });
  for (let seq = 0; seq < BURST; seq++) eve.send({ svc: "chat", type: "shout", seq });
  ping(eve, 2, 50);
  const metrics = await heard("each-denied", "ext", BURST + 2);
  assert.deepEqual(decisions(metrics, "each-denied", "ext"), {
    "pass ok": 0,
    "reject allowlist": BURST,
    "drop session_rate": 2,
  });
  assert.equal((await all(eve)).at(-1), "limited 50");
});

test("with both scopes a message has to pass the connection's rate and then the tenant's", async () => {
  const ann = await Client.open(gateway, { tenant: "both" });
  const bob = await Client.open(gateway, { tenant: "both" });
  ping(ann, 30);
  await heard("both", "ext", 30);
  ping(bob, 15);
  const metrics = await heard("both", "ext", 45);
  assert.deepEqual(decisions(metrics, "both", "ext"), {
    "pass ok": BURST,
    "drop session_rate": 20 + 5,
    "drop tenant_rate": BURST,
  });
  assert.deepEqual(await all(ann), [...pongs(BURST), `limited ${BURST}`]);
  // One of each limiter.
  assert.deepEqual(await all(bob), ["limited 0", `limited ${BURST}`]);
});

lastly(gateway);
