// Events by the admin API: what readers are told, what it costs when there are none, and what becomes of slow ones.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { TenantMetrics } from "../../../src/metrics/metrics.ts";
import { EventFeed } from "../../../src/ops/admin/event_feed.ts";
import type { AdminContext as Port, AdminTenant, EventSink } from "../../../src/ops/admin/admin_context.ts";
import { AdminKey } from "../../../src/ops/admin/keys.ts";
import { LANE_NAMES } from "../../../src/protocol/frame.ts";
import { accepted } from "../../config/loading.ts";
import { Clock, houseText, OPEN_POLICY, settle } from "../../session/house.ts";
import { ADMIN, type AdminHouse, open } from "./admin_house.ts";
import type { Events } from "./event_reader.ts";

async function watching(
  house: AdminHouse,
  query = "",
  key: "root" | "reader" | "other" | "acme" = "root",
): Promise<Events> {
  const events = await house.watch(`/v1/events${query}`, { key });
  assert.deepEqual(await events.expect("open"), { type: "open" });
  return events;
}

test("Sessions and rooms are told of as they come and go", async () => {
  const house = await open();
  const events = await watching(house);
  const { client, session } = house.enterAs("ann");
  client.join("a");
  client.ask("room", "leave", { room: "a" });
  client.gone(1000);
  const { sid, ...connected } = await events.expect("session.connected");
  const at = house.clock.unixMs();
  assert.deepEqual(connected, {
    type: "session.connected",
    time_ms: at,
    tenant: "acme",
    user: "ann",
    session,
  });
  const subject = { time_ms: at, tenant: "acme", user: "ann", sid, session };
  const room = { ...subject, room: "a" };
  assert.deepEqual(await events.expect("room.occupied"), { type: "room.occupied", ...room });
  assert.deepEqual(await events.expect("room.joined"), {
    type: "room.joined",
    ...room,
    data: { member: 1, count: 1 },
  });
  assert.deepEqual(await events.expect("room.left"), {
    type: "room.left",
    ...room,
    data: { member: 1, count: 0 },
  });
  assert.deepEqual(await events.expect("room.vacated"), { type: "room.vacated", ...room });
  assert.deepEqual(await events.expect("session.disconnected"), {
    type: "session.disconnected",
    ...subject,
    data: { reason: "client_closed", code: 1000, duration_ms: 0 },
  });
});

test("Denials are told of as they happen, and drops once a second", async () => {
  const house = await open({ tenant: [OPEN_POLICY, "delivery: { lossy: { max_bytes: 1024 } }"] });
  const { client } = house.enterAs("ann");
  const events = await watching(house);
  client.ask("nobody", "asks");
  const { data } = await events.expect("policy.denied");
  assert.deepEqual([data.lane, data.code, data.service], ["ext", "NOT_ALLOWED", "nobody:asks"]);
  client.join("a");
  for (const type of ["room.occupied", "room.joined"]) await events.expect(type);
  client.link.room = 0;
  // The first fills what the socket is given, and of the rest two have room on their lane.
  const payload = "A".repeat(4 * 100);
  await house.publish({ to: { all: true }, svc: "a", type: "t", data: "x".repeat(4000) });
  for (let i = 0; i < 20; i++) {
    await house.publish({ to: { all: true }, svc: "a", type: "t", data: "x".repeat(4000) });
  }
  for (let i = 0; i < 5; i++) {
    await house.publish({ to: { all: true }, hot: { svc_id: 1, opcode: 1, payload } });
  }
  house.clock.advance(1000);
  const drops = await events.expect("delivery.dropped");
  assert.deepEqual(drops.data, { lane: "lossy", reason: "full", messages: 2 });
});

test("A reader sees the tenants that its key is good for, and of them what it asks for", async () => {
  const house = await open();
  const [reader, other, rooms, one] = [
    await watching(house, "", "reader"),
    await watching(house, "", "other"),
    await watching(house, "?kind=room"),
    await watching(house, "?tenant=other"),
  ];
  house.enterAs("ann").client.join("a");
  for (const type of ["session.connected", "room.occupied", "room.joined"]) await reader.expect(type);
  assert.equal((await rooms.expect("room.occupied")).tenant, "acme");
  await house.enter("dev:eve", "tenant=other");
  house.enterAs("bob");
  for (const events of [other, one]) assert.equal((await events.expect("session.connected")).user, "eve");
  assert.equal((await reader.expect("session.connected")).user, "bob", "and nothing of eve");
  assert.equal((await house.get("/v1/events?tenant=acme", { key: "other" })).status, 403);
  assert.equal((await house.get("/v1/events?kind=none")).status, 400);
});

/** A house with nothing in it but a tenant, which can be watched. */
function bareHouse() {
  const clock = new Clock();
  const tellers = new Set<EventSink>();
  const seat = {
    tenant: { id: "acme", metrics: new TenantMetrics(LANE_NAMES) },
    watch: (teller: EventSink) => {
      tellers.add(teller);
      return () => void tellers.delete(teller);
    },
  } as unknown as AdminTenant;
  const seats = [seat];
  const house = { every: clock.every, unixMs: clock.unixMs, tenants: () => seats } as unknown as Port;
  const key = new AdminKey(accepted(houseText({ admin: ADMIN })).config.admin!.keys[0]!);
  const feed = new EventFeed(house);
  const read = () => feed.open({ key, tenant: null, types: new Set(["session.connected"]) })!;
  return { clock, tellers, seats, seat, feed, read };
}

test("Nobody is followed unless somebody reads, and soon after the last reader has left nobody is any more", async () => {
  const { clock, tellers, seats, seat, read } = bareHouse();
  assert.deepEqual([tellers.size, clock.tasks], [0, 0]);
  const one = read(), two = read();
  assert.equal(tellers.size, 1, "once for all readers");
  await one.cancel();
  clock.advance(1000);
  assert.equal(tellers.size, 1);
  seats.pop();
  clock.advance(1000);
  assert.equal(tellers.size, 0, "the tenant has left");
  seats.push(seat);
  clock.advance(1000);
  assert.equal(tellers.size, 1, "and come back");
  await two.cancel();
  clock.advance(1000);
  assert.deepEqual([tellers.size, clock.tasks], [0, 0]);
  read();
  assert.deepEqual([tellers.size, clock.tasks], [1, 1]);
});

test("A reader that does not read is told so and dropped, and others go on", async () => {
  const house = await open();
  const slow = await watching(house), quick = await watching(house);
  const { client } = house.enterAs("ann");
  await quick.expect("session.connected");
  for (let i = 0; i < 5_100; i++) {
    for (const action of ["join", "leave"]) client.ask("room", action, { room: "a" });
    for (const type of ["room.occupied", "room.joined", "room.left", "room.vacated"]) {
      await quick.expect(type);
    }
  }
  const end = await slow.expect("end");
  assert.deepEqual([end.reason, end.dropped], ["too slow", 10_000]);
  assert.equal(await slow.next(), null);
  client.gone();
  await quick.expect("session.disconnected");
});

test("A reader that hears nothing is given a sign of life every five seconds", async () => {
  const house = await open();
  const events = await watching(house);
  const connected = events.expect("session.connected");
  for (let seconds = 0; seconds < 11; seconds++) {
    house.clock.advance(1000);
    await settle();
  }
  house.enterAs("ann");
  await connected;
  assert.equal(events.beats, 2);
});

test("No more than 16 of one key read at the same time, and other keys read all the same", async () => {
  const house = await open();
  const readers = await Promise.all(Array.from({ length: 16 }, () => watching(house, "", "reader")));
  assert.equal((await house.get("/v1/events", { key: "reader" })).status, 409);
  await watching(house);
  await readers[0]!.cancel();
  await watching(house, "", "reader");
});

test("Keys that have readers leave room for those that have none, 64 in all", async () => {
  const house = await open();
  for (const key of ["reader", "acme", "other"] as const) {
    await Promise.all(Array.from({ length: 16 }, () => watching(house, "", key)));
  }
  await watching(house);
  assert.equal((await house.get("/v1/events")).status, 409);
});

test("A reader is ended when a reload takes its key away, and when the gateway stops", async () => {
  const house = await open();
  const [reader, root] = [await watching(house, "", "reader"), await watching(house)];
  const keys = ADMIN.replace('id: reader, secret: "reader', 'id: reader, secret: "another');
  const { config } = accepted(houseText({ tenant: [OPEN_POLICY], admin: keys }));
  house.next = () => Promise.resolve({ ok: true, config, warnings: [], schemas: new Map(), text: "" });
  await house.ask("POST", "/v1/reload");
  assert.equal((await reader.expect("end")).reason, "key is not valid any more");
  house.enterAs("ann");
  await root.expect("session.connected");
  await house.gateway.stop();
  assert.equal((await root.expect("end")).reason, "gateway stops");
  assert.equal(await root.next(), null);
});
