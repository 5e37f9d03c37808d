// Webhooks of a real gateway at a real backend: what it is told, in which order, and what it is told after a crash.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Backend } from "./backend_process.ts";
import { Client } from "./client.ts";
import { Folder, GatewayProcess } from "./gateway_process.ts";
import { distinct, type Event, KEY, Receiver } from "./webhook_receiver.ts";

const backend = await Backend.start();
after(() => backend.stop());
const folder = new Folder();
after(() => folder[Symbol.dispose]());

const ALL = [
  "session.connected",
  "session.disconnected",
  "room.joined",
  "room.left",
  "room.occupied",
  "room.vacated",
  "message.ext",
  "policy.denied",
];

/** A configuration with one webhook, and a state of its own. */
function config(path: string, keeps: string, more: object = {}) {
  return {
    gateway: { state_dir: `${keeps}${path}`, drain_grace_ms: 0 },
    tenants: [{
      id: "acme",
      policy: { ext_allowlist: ["room:*", "chat:*"] },
      webhooks: [{
        id: "audit",
        url: `${backend.origin}${path}`,
        events: ALL,
        keys: [KEY],
        batch: { max_wait_ms: 0 },
        ...more,
      }],
    }],
  };
}

test("A session's life is told in its order, in a sequence without holes, and signed", async () => {
  await backend.set("/life", {});
  const receiver = new Receiver(backend, "/life");
  await using gateway = await GatewayProcess.start(config("/life", folder.path), { keeps: folder.path });
  const ann = await Client.open(gateway, { user: "ann", sid: "tab" });
  await ann.join("lobby");
  ann.send({ svc: "chat", type: "send", room: "lobby", seq: 7, data: { msg: "hello" } });
  await ann.next("chat.msg");
  ann.send({ svc: "other", type: "thing", seq: 5 });
  await ann.nextError("NOT_ALLOWED");
  ann.close();
  const events = await receiver.until("the end of a session", (all) => all.length >= 9);
  const told = events.map(({ type, room, data }) => ({ type, room, data }));
  const { duration_ms: duration, ...ended } = told.at(-1)!.data;
  assert.deepEqual(told.slice(0, -1), [
    { type: "session.connected", room: undefined, data: undefined },
    { type: "message.ext", room: "lobby", data: { svc: "room", type: "join", data: null } },
    { type: "room.occupied", room: "lobby", data: undefined },
    { type: "room.joined", room: "lobby", data: { member: 1, count: 1 } },
    {
      type: "message.ext",
      room: "lobby",
      data: { svc: "chat", type: "send", seq: 7, data: { msg: "hello" } },
    },
    {
      type: "policy.denied",
      room: undefined,
      data: {
        lane: "ext",
        action: "reject",
        rule_id: "allowlist",
        code: "NOT_ALLOWED",
        service: "other:thing",
        untold: 0,
      },
    },
    { type: "room.left", room: "lobby", data: { member: 1, count: 0 } },
    { type: "room.vacated", room: "lobby", data: undefined },
  ]);
  assert.deepEqual(ended, { reason: "client_closed", code: 1000 });
  assert.ok(duration >= 0);
  assert.deepEqual(events.map(({ seq }) => seq), events.map((_, i) => i + 1));
  assert.equal(new Set(events.map(({ id }) => id)).size, events.length);
  for (const { tenant, user, sid, session, time_ms } of events) {
    assert.deepEqual([tenant, user, sid, session], ["acme", "ann", "tab", ann.authed.session]);
    assert.ok(Math.abs(Date.now() - time_ms) < 60_000);
  }
  await gateway.stop();
});

test("After a crash every session that was open gets its end, and the sequence goes on", async () => {
  await backend.set("/crash", {});
  const receiver = new Receiver(backend, "/crash");
  const crashing = config("/crash", folder.path);
  const open = new Set<string>();
  for (let round = 0; round < 3; round++) {
    await using gateway = await GatewayProcess.start(crashing, { keeps: folder.path });
    for (let i = 0; i < 5; i++) open.add((await Client.open(gateway)).authed.session);
    await gateway.crash();
  }
  {
    await using gateway = await GatewayProcess.start(crashing, { keeps: folder.path });
    const lost = ({ type, data }: Event) => type === "session.disconnected" && data.reason === "node_lost";
    const events = await receiver.until("the ends of all", (all) => all.filter(lost).length >= open.size);
    await gateway.stop();
    const once = distinct(events);
    assert.deepEqual(new Set(once.filter(lost).map(({ session }) => session)), open);
    assert.deepEqual(
      new Set(once.filter(({ type }) => type === "session.connected").map(({ session }) => session)),
      open,
    );
    assert.deepEqual(once.map(({ seq }) => seq), once.map((_, i) => i + 1));
    assert.equal(once.length, 2 * open.size);
  }
});

test("A backend that fails gets everything once it is well again, and a second gateway is kept out meanwhile", async () => {
  await backend.set("/down", { status: 503 });
  const receiver = new Receiver(backend, "/down");
  const down = config("/down", folder.path);
  await using gateway = await GatewayProcess.start(down, { keeps: folder.path });
  await assert.rejects(GatewayProcess.start(down, { keeps: folder.path }), /another gateway uses it/);
  for (let i = 0; i < 3; i++) (await Client.open(gateway)).close();
  await gateway.logged("webhook failed");
  await backend.set("/down", {});
  const events = await receiver.until("all of it", (all) => distinct(all).length >= 6);
  assert.deepEqual(distinct(events).map(({ seq }) => seq), [1, 2, 3, 4, 5, 6]);
  await gateway.stop();
});

test("One event that the backend refuses is set aside, with a gap in its place; the others go on", async () => {
  await backend.set("/poison", { refuses: "user-evil" });
  const receiver = new Receiver(backend, "/poison");
  const poison = config("/poison", folder.path, {
    events: ["session.connected"],
    batch: { max_wait_ms: 200 },
  });
  await using gateway = await GatewayProcess.start(poison, { keeps: folder.path });
  for (let i = 0; i < 9; i++) await Client.open(gateway, { user: i === 4 ? "user-evil" : `user-${i}` });
  const all = await receiver.until("the last one", (events) => events.some(({ user }) => user === "user-8"));
  const taken = distinct(all);
  const gap = taken.find(({ type }) => type === "gap")!;
  assert.deepEqual(gap.data, { first_seq: 5, last_seq: 5, events: 1, reason: "dead_letter" });
  assert.deepEqual(taken.map(({ seq }) => seq), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
  await gateway.logged("webhook event is set aside", (line) => line["seq"] === 5);
  const metrics = await gateway.metricsUntil(
    "the dead letter",
    (found) => found.sum("wsprism_webhook_dead_letters") === 1,
  );
  assert.equal(metrics.sum("wsprism_webhook_lost_total"), 1);
  await gateway.stop();
});

test("Without a state_dir a webhook is refused at load, unless it says that it may lose events", async () => {
  const { gateway: _, ...others } = config("/volatile", folder.path);
  await assert.rejects(GatewayProcess.start(others), /webhooks\[0\] needs gateway.state_dir/);
  await backend.set("/volatile", {});
  const receiver = new Receiver(backend, "/volatile");
  const volatile = config("/volatile", folder.path, { durable: false });
  await using gateway = await GatewayProcess.start({ tenants: volatile.tenants });
  (await Client.open(gateway, { user: "ann" })).close();
  const events = await receiver.until("both", (all) => all.length >= 2);
  assert.deepEqual(events.map(({ type }) => type), ["session.connected", "session.disconnected"]);
  await gateway.stop();
});
