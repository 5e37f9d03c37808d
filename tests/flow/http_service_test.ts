// Services of a real backend process that answers well, hangs, errs, answers garbage or 100 MB, or dies midway.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Backend } from "./backend_process.ts";
import { Client } from "./client.ts";
import { lastly, sharedGateway } from "./gateway_process.ts";

const backend = await Backend.start();
after(() => backend.stop());

const service = (svc: string, more: object = {}) => ({
  svc,
  http: { url: `${backend.origin}/${svc}`, timeout_ms: 300, ...more },
});
const gateway = await sharedGateway({
  gateway: { drain_grace_ms: 0 },
  tenants: [{
    id: "acme",
    limits: { max_pending_per_session: 1000 },
    policy: {
      ext_allowlist: ["room:*", "chat:*", "orders:*", "slow:*", "bad:*", "dying:*"],
      rate_limit_rps: 1_000_000,
      rate_limit_burst: 1_000_000,
    },
    services: [
      { svc: "chat", builtin: "chat" },
      service("orders"),
      service("slow", { timeout_ms: 5000, max_concurrent: 400 }),
      service("bad"),
    ],
  }],
}, { mayComplain: true });

test("A backend that answers is heard, in the order of asking", async () => {
  await backend.set("/orders", { echoes: true });
  const ann = await Client.open(gateway, { user: "ann" });
  for (let seq = 1; seq <= 50; seq++) ann.send({ svc: "orders", type: "buy", seq, data: { seq } });
  for (let seq = 1; seq <= 50; seq++) {
    const reply = await ann.next("orders.reply");
    assert.deepEqual([reply.seq, reply.data.data, reply.data.user], [seq, { seq }, "ann"]);
  }
  ann.close();
});

test("A backend that hangs, errs or lies is told to the client as UNAVAILABLE, in time, and holds no memory", async () => {
  const ann = await Client.open(gateway);
  const fails = ["silent", "head", "reset", "midway", "garbage", "huge"] as const;
  const before = gateway.residentBytes();
  for (const [i, one] of fails.entries()) {
    await backend.set("/bad", { fails: one });
    ann.send({ svc: "bad", type: "ask", seq: 2 * i });
    const error = await ann.nextError("UNAVAILABLE");
    assert.deepEqual([error.seq, error.data.msg], [2 * i, "service did not answer"], one);
    // So that it is not left alone.
    await backend.set("/bad", { body: { reply: one } });
    ann.send({ svc: "bad", type: "ask", seq: 2 * i + 1 });
    assert.equal((await ann.next("bad.reply")).data, one);
  }
  assert.ok(gateway.residentBytes() - before < 60_000_000, "of 100 MB, little has come");
  ann.close();
});

test("A backend that is slow delays its own service only", async () => {
  await backend.set("/slow", { fails: "silent" });
  await backend.set("/orders", { body: { reply: 1 } });
  const [ann, bob] = [await Client.open(gateway), await Client.open(gateway)];
  for (let seq = 0; seq < 20; seq++) ann.send({ svc: "slow", type: "ask", seq });
  for (let seq = 100; seq < 120; seq++) {
    ann.send({ svc: "orders", type: "buy", seq });
    assert.equal((await ann.next("orders.reply")).seq, seq, "the same session");
    bob.send({ svc: "orders", type: "buy", seq });
    assert.equal((await bob.next("orders.reply")).seq, seq, "another");
  }
  const asked = (await backend.asked()).filter(({ path }) => path === "/slow");
  assert.equal(asked.length, 1, "one at a time of a session");
  ann.close();
  bob.close();
});

test("300 hanging requests to one service hold up no other", async () => {
  await backend.set("/slow", { fails: "silent" });
  const crowd = await Promise.all(Array.from({ length: 300 }, () => Client.open(gateway)));
  for (const client of crowd) client.send({ svc: "slow", type: "ask", seq: 1 });
  // Bun's own client would stop at 256, those of all services together.
  await gateway.metricsUntil(
    "the crowd's requests",
    (metrics) => metrics.sum("wsprism_backend_in_flight") >= 300,
  );
  const ann = await Client.open(gateway);
  ann.send({ svc: "orders", type: "buy", seq: 1 });
  assert.equal((await ann.next("orders.reply")).seq, 1);
  await backend.set("/slow", { body: {} });
  for (const client of [...crowd, ann]) client.close();
});

test("A backend that dies midway is left alone after a few failures, and asked again once it is back", async () => {
  const dying = await Backend.start();
  await dying.set("/orders", { fails: "dies" });
  const answer = await gateway.get("/metrics");
  assert.equal(answer.status, 200);
  await using other = await sharedGateway({
    gateway: { drain_grace_ms: 0 },
    tenants: [{
      id: "acme",
      policy: { ext_allowlist: ["orders:*"] },
      services: [{ svc: "orders", http: { url: `${dying.origin}/orders`, timeout_ms: 1000 } }],
    }],
  }, { mayComplain: true });
  const ann = await Client.open(other);
  const msgs: string[] = [];
  for (let seq = 0; seq < 7; seq++) {
    ann.send({ svc: "orders", type: "buy", seq });
    msgs.push((await ann.nextError("UNAVAILABLE")).data.msg);
  }
  assert.deepEqual(msgs, [
    ...Array(5).fill("service did not answer"),
    ...Array(2).fill("service is not available now"),
  ]);
  await other.logged("service backend is left alone for a while");
  dying.stop();
});

lastly(gateway);
