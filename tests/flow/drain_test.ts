// The end of a gateway: told by a signal, it sends everybody elsewhere, one after the other, and exits.

import assert from "node:assert/strict";
import { test } from "node:test";
import { within } from "../raw_client.ts";
import { OP, RawClient } from "../raw_client.ts";
import { Client, hot, target } from "./client.ts";
import { GatewayProcess, until } from "./gateway_process.ts";

const start = (drain_grace_ms: number, more: object = {}) =>
  GatewayProcess.start({
    gateway: { drain_grace_ms, ...more },
    tenants: [{
      id: "acme",
      limits: { max_frame_bytes: 65_536 },
      hot_services: [{ id: 2, kind: "relay" }],
      policy: {
        ext_allowlist: ["room:*", "chat:*"],
        hot_allowlist: ["2:*"],
        rate_limit_rps: 1_000_000,
        rate_limit_burst: 1_000_000,
      },
    }, { id: "other" }],
  });

const exitCode = (gateway: GatewayProcess) => within(gateway.exited, "the exit", 10_000);

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  test(`at ${signal} sessions are told when, served on, and closed with 1001 one after the other`, async () => {
    const graceMs = 1000, count = 10;
    await using gateway = await start(graceMs);
    const clients: Client[] = [];
    for (let i = 0; i < count; i++) {
      clients.push(await Client.open(gateway, { tenant: i % 3 ? "acme" : "other", cbor: i % 2 === 1 }));
    }
    const closed: number[] = [];
    clients.forEach((client, i) => void client.closed.then(() => closed.push(i)));
    gateway.signal(signal);
    assert.equal((await gateway.logged("signal received"))["signal"], signal);
    assert.equal((await gateway.logged("draining"))["sessions"], count);
    const told: number[] = [];
    for (const client of clients) told.push((await client.next("sys.draining")).data.retry_after_ms);
    assert.deepEqual(
      told.toSorted((a, b) => a - b),
      Array.from({ length: count }, (_, i) => Math.ceil(graceMs * (i + 1) / count)),
    );
    // Nobody else gets in, and the load balancer knows.
    assert.deepEqual([(await gateway.get("/readyz")).status, (await gateway.get("/healthz")).status], [
      503,
      200,
    ]);
    assert.equal((await gateway.metrics()).sum("wsprism_draining"), 1);
    const late = await RawClient.connect(gateway.port);
    const head = await late.upgrade(target());
    assert.equal(head.status, 503);
    assert.equal(head.headers.get("retry-after"), String(graceMs / 1000));
    const body = JSON.parse(await late.body(head));
    assert.deepEqual([body.code, body.retry_after_ms], ["DRAINING", graceMs]);
    late.destroy();
    // Who has to go last is served until then.
    const last = clients[told.indexOf(Math.max(...told))]!;
    await until("half of the closes", () => closed.length >= count / 2 ? true : null);
    assert.ok(closed.length < count, "all were closed at once");
    await last.hearsNothing();
    for (const client of clients) await client.ended(1001, "gateway is draining");
    // In the order told, give or take a neighbour: two closes can be read in either order.
    const order = closed.map((i) => told[i]!);
    const rank = order.toSorted((a, b) => a - b);
    order.forEach((at, i) => assert.ok(Math.abs(rank.indexOf(at) - i) <= 2, `${order}`));
    assert.equal(await exitCode(gateway), 0);
    assert.equal(gateway.lines.at(-1)!.message, "drained");
    gateway.assertNoComplaint();
  });
}

test("a second signal ends the process at once, with sessions and all", async () => {
  for (const [first, second] of [["SIGTERM", "SIGTERM"], ["SIGINT", "SIGTERM"]] as const) {
    await using gateway = await start(600_000);
    const client = await Client.open(gateway);
    gateway.signal(first);
    await client.next("sys.draining");
    gateway.signal(second);
    assert.equal(await exitCode(gateway), 1);
    await client.ended(1006);
  }
});

test("without sessions a drain is over at once, however long its grace", async () => {
  await using gateway = await start(600_000);
  gateway.signal("SIGTERM");
  assert.equal(await exitCode(gateway), 0);
  gateway.assertNoComplaint();
});

test("a drain is over when the last session has left by itself", async () => {
  await using gateway = await start(600_000);
  const clients = await Promise.all(Array.from({ length: 5 }, () => Client.open(gateway)));
  gateway.signal("SIGTERM");
  for (const client of clients) {
    await client.next("sys.draining");
    await client.close();
  }
  assert.equal(await exitCode(gateway), 0);
});

test("without a grace all are closed at once", async () => {
  await using gateway = await start(0);
  const clients = await Promise.all(Array.from({ length: 5 }, () => Client.open(gateway)));
  gateway.signal("SIGTERM");
  for (const client of clients) {
    await client.next("sys.draining");
    await client.ended(1001);
  }
  assert.equal(await exitCode(gateway), 0);
});

test("what was sent before the close is delivered before it", async () => {
  await using gateway = await start(0);
  const ann = await Client.open(gateway), bob = await Client.open(gateway);
  await ann.join("last words");
  await bob.join("last words");
  const said = 200;
  for (let i = 0; i < said; i++) {
    ann.send({ svc: "chat", type: "send", room: "last words", data: { msg: `${i}` } });
  }
  await ann.settled();
  gateway.signal("SIGTERM");
  await bob.ended(1001);
  const messages = bob.waiting.map((message) => (message as { type: string }).type);
  assert.equal(messages.filter((type) => type === "msg").length, said);
  assert.equal(await exitCode(gateway), 0);
});

test("peers that stall, that never answer the close and that never asked for one hold up no exit", async () => {
  await using gateway = await start(300, { writer_send_timeout_ms: 60_000 });
  const mute = await RawClient.open(gateway.port, target());
  const waiting = await RawClient.connect(gateway.port);
  waiting.send("GET /healthz HTTP/1.1\r\n");
  const idle = await RawClient.connect(gateway.port);
  // One that stopped reading, with more on its way than the kernel holds.
  const stalled = await RawClient.open(gateway.port, target());
  stalled.text('{"v":1,"svc":"room","type":"join","room":"flood"}');
  assert.match(await stalled.nextText(), /authed/);
  assert.match(await stalled.nextText(), /joined/);
  stalled.pause();
  const flooder = await Client.open(gateway);
  await flooder.join("flood");
  const payload = new Uint8Array(60_000);
  await until("the peer to stall", async () => {
    for (let i = 0; i < 50; i++) flooder.binary(hot(2, 1, { payload }));
    await flooder.settled();
    const metrics = await gateway.metrics();
    return metrics.sum("wsprism_drops_total", { lane: "lossy", reason: "full" }) > 0 ? true : null;
  }, 20_000);
  gateway.signal("SIGTERM");
  await flooder.ended(1001);
  assert.equal(await exitCode(gateway), 0);
  assert.equal(gateway.lines.at(-1)!.message, "drained");
  for (const client of [mute, waiting, idle, stalled]) client.destroy();
});

test("a peer that never answers the close frame has got one all the same", async () => {
  await using gateway = await start(0);
  const mute = await RawClient.open(gateway.port, target());
  assert.match(await mute.nextText(), /authed/);
  gateway.signal("SIGTERM");
  assert.match(await mute.nextText(), /"draining"/);
  const frame = await mute.frame();
  assert.equal(frame.opcode, OP.close);
  assert.equal(frame.payload.readUInt16BE(0), 1001);
  assert.equal(await exitCode(gateway), 0);
  mute.destroy();
});
