// `GET /v1/events` of a gateway process: what happens, over a real socket, to those who may see it; and what becomes of
// readers that do not read.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Events } from "../ops/admin/event_reader.ts";
import { RawClient, within } from "../raw_client.ts";
import { Admin, adminConfig } from "./admin_client.ts";
import { Client, target } from "./client.ts";
import { sharedGateway, until } from "./gateway_process.ts";

const tenant = (id: string, more: object = {}) => ({
  id,
  policy: { ext_allowlist: ["room:*"], rate_limit_rps: 1_000_000, rate_limit_burst: 1_000_000 },
  ...more,
});
const gateway = await sharedGateway({
  gateway: { drain_grace_ms: 0 },
  admin: {
    ...adminConfig({
      root: { tenants: ["*"], permissions: ["read", "publish"] },
      acme: { tenants: ["acme"], permissions: ["read"] },
      publisher: { tenants: ["acme"], permissions: ["publish"] },
    }),
    max_body_bytes: 2_000_000,
  },
  tenants: [
    tenant("acme", { limits: { max_frame_bytes: 1_048_576 }, delivery: { lossy: { max_bytes: 4096 } } }),
    tenant("other"),
  ],
});
const root = await Admin.of(gateway, "root");
const acme = await Admin.of(gateway, "acme");

/** Reads events as an administrator. */
async function watch(admin: Admin, query = ""): Promise<Events> {
  const answer = await within(
    fetch(`${admin.origin}/v1/events${query}`, { headers: { authorization: admin.authorization } }),
    "the answer",
  );
  assert.deepEqual([answer.status, answer.headers.get("content-type")], [200, "text/event-stream"]);
  const events = new Events(answer.body!);
  await within(events.expect("open"), "the first event");
  return events;
}

const next = (events: Events, type: string) => within(events.expect(type), type);

test("sessions, rooms, denials and drops are told of as they happen, with who and where", async () => {
  const events = await watch(root);
  const ann = await Client.open(gateway, { user: "ann", sid: "tab" });
  const { session } = ann.authed;
  const about = { tenant: "acme", user: "ann", sid: "tab", session };
  const { time_ms, ...connected } = await next(events, "session.connected");
  assert.deepEqual(connected, { type: "session.connected", ...about });
  assert.ok(Math.abs(time_ms - Date.now()) < 60_000);
  await ann.join("a room/ä");
  assert.equal((await next(events, "room.occupied")).room, "a room/ä");
  assert.deepEqual((await next(events, "room.joined")).data, { member: 1, count: 1 });
  ann.send({ svc: "nobody", type: "asks" });
  const denied = await next(events, "policy.denied");
  assert.deepEqual([denied.user, denied.data.service, denied.data.code], [
    "ann",
    "nobody:asks",
    "NOT_ALLOWED",
  ]);

  const slow = await RawClient.open(gateway.port, target({ user: "slow" }));
  await next(events, "session.connected");
  slow.pause();
  const payload = "A".repeat(4 * 150_000);
  const hot = { to: { users: ["slow"] }, hot: { svc_id: 9, opcode: 1, payload } };
  // The kernel takes some megabytes first.
  const dropped = next(events, "delivery.dropped");
  let over = false;
  void dropped.finally(() => over = true).catch(() => {});
  while (!over) await root.good("POST", "/v1/tenants/acme/publish", hot);
  const { tenant: where, data: { lane, messages } } = await dropped;
  assert.deepEqual([where, lane, messages > 0], ["acme", "lossy", true]);
  slow.destroy();
  await ann.close();
  const gone = new Map<string, string>();
  while (gone.size < 4) {
    const event = (await within(events.next(), "an event"))!;
    if (event.type !== "delivery.dropped") {
      gone.set(`${event.type} ${event.data.user}`, event.data.data?.reason);
    }
  }
  assert.deepEqual([...gone.keys()].toSorted(), [
    "room.left ann",
    "room.vacated ann",
    "session.disconnected ann",
    "session.disconnected slow",
  ]);
  await events.cancel();
});

test("a key of one tenant sees that tenant only, whatever it asks for", async () => {
  const mine = await watch(acme),
    rooms = await watch(root, "?kind=room&tenant=other"),
    all = await watch(root);
  const eve = await Client.open(gateway, { user: "eve", tenant: "other" });
  await eve.join("x");
  const bob = await Client.open(gateway, { user: "bob" });
  assert.equal((await next(mine, "session.connected")).user, "bob", "and nothing of eve");
  assert.deepEqual([(await next(all, "session.connected")).user, (await next(rooms, "room.occupied")).user], [
    "eve",
    "eve",
  ]);
  for (
    const [path, admin, status] of [
      ["/v1/events?tenant=other", acme, 403],
      ["/v1/events", await Admin.of(gateway, "publisher"), 403],
      ["/v1/events", new Admin(root.port, "x".repeat(40)), 401],
      ["/v1/events?kind=nothing", root, 400],
      ["/v1/events?tenant=%00", root, 400],
    ] as const
  ) {
    assert.equal((await admin.ask("GET", path)).status, status, path);
  }
  await eve.close();
  await bob.close();
  for (const events of [mine, rooms, all]) await events.cancel();
});

/** Readers that stall, messages of each client, and how much of the gateway's memory all of it may cost. */
const STALLED = 14, CLIENTS = 4, ROUNDS = 30, PAIRS = 100, BYTES_MAX = 128 * 1024 * 1024;

test("readers that stall cost bounded memory, are told so and dropped, while others read on", async () => {
  const quick = await watch(root, "?kind=room");
  const readers = await Promise.all(Array.from({ length: STALLED }, async () => {
    const reader = await RawClient.connect(root.port);
    const head = `host: x\r\nconnection: close\r\nauthorization: ${root.authorization}`;
    reader.send(`GET /v1/events HTTP/1.1\r\n${head}\r\n\r\n`);
    assert.equal((await reader.head()).status, 200);
    reader.pause();
    return reader;
  }));
  const before = gateway.residentBytes();
  const total = CLIENTS * ROUNDS * PAIRS * 4;
  const read = (async () => {
    for (let count = 0; count < total; count++) await within(quick.next(), `event ${count}`);
  })();
  await Promise.all(Array.from({ length: CLIENTS }, async (_, i) => {
    const client = await RawClient.open(gateway.port, target({ user: `mover-${i}` }));
    for (let round = 0; round < ROUNDS; round++) {
      for (let pair = 0; pair < PAIRS; pair++) {
        for (const type of ["join", "leave"]) {
          client.text(
            JSON.stringify({ v: 1, svc: "room", type, room: `a-room-with-a-rather-long-name-${i}` }),
          );
        }
      }
      for (let left = 0; left < PAIRS;) if ((await client.nextText()).includes('"left"')) left++;
    }
    client.destroy();
  }));
  await read;
  const grown = gateway.residentBytes() - before;
  assert.ok(grown < BYTES_MAX, `${grown} bytes more for ${STALLED} stalled readers`);
  for (const reader of readers) {
    reader.resume();
    const text = await reader.rest();
    const end = /event: end\ndata: (.*)\n/.exec(text);
    assert.ok(end !== null, `no end in ${text.length} characters`);
    const { reason, dropped } = JSON.parse(end[1]!);
    assert.deepEqual([reason, dropped > 0 && dropped <= 10_000], ["too slow", true]);
    assert.ok(text.split("\nevent: ").length < total, "what was dropped did not come");
  }
  await quick.cancel();
  await until("all clients to be gone", async () => {
    const { tenants } = await root.good("GET", "/v1/tenants");
    return tenants.every(({ sessions }: { sessions: number }) => sessions === 0) || null;
  });
});

test("at the end nothing was complained of, and the gateway stops with exit code 0", async () => {
  await gateway.stop();
});
