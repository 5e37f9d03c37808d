// What a console reads: the last decisions, sessions in detail, who is slow, the last hour, a dry run, what was done.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { ADMIN, type AdminHouse, open } from "./admin_house.ts";

const TENANT = [
  "policy:",
  '  ext_allowlist: ["room:*", "chat:send"]',
  '  hot_allowlist: ["3:*"]',
  "  rules:",
  '    - { id: mods, match: { service: "chat:send", room: mods }, require: [member] }',
  "hot_services: [{ id: 3, kind: relay }]",
  "services: [{ svc: chat, builtin: chat }]",
];
const send = (room: string, more: object = {}) => ({
  v: 1,
  svc: "chat",
  type: "send",
  room,
  data: { msg: "hi" },
  ...more,
});

async function busy(): Promise<{ house: AdminHouse; session: string }> {
  const house = await open({ tenant: TENANT });
  const { client, session } = house.enterAs("ann");
  client.join("lobby");
  client.handler.text(JSON.stringify(send("lobby")));
  client.handler.text(JSON.stringify(send("mods")));
  client.handler.text(JSON.stringify({ v: 1, svc: "secret", type: "x" }));
  house.turn();
  return { house, session };
}

test("The last denials are told with their rule, its line and the message; a key of another tenant sees none", async () => {
  const { house } = await busy();
  const { status, body } = await house.get("/v1/tenants/acme/decisions?denied=true", { key: "reader" });
  assert.equal(status, 200);
  const told = body.decisions.map((
    one: Record<string, unknown>,
  ) => [one["user"], one["rule_id"], one["line"], one["service"]]);
  assert.deepEqual(told, [["ann", "allowlist", 7, "secret:x"], ["ann", "mods", 10, "chat:send"]]);
  assert.deepEqual(JSON.parse(body.decisions[1].message), send("mods"));
  assert.deepEqual([body.decisions[1].allowed, body.decisions[1].room], [false, "lobby"]);
  assert.equal((await house.get("/v1/tenants/acme/decisions", { key: "other" })).status, 403);
  assert.deepEqual((await house.get("/v1/tenants/other/decisions", { key: "other" })).body.decisions, []);
});

test("A flood is kept once a second and rule, with how often", async () => {
  const house = await open({ tenant: TENANT });
  const { client, session } = house.enterAs("ann");
  for (let i = 0; i < 30; i++) client.handler.text(JSON.stringify({ v: 1, svc: "secret", type: "x" }));
  house.clock.advance(1000);
  client.handler.text(JSON.stringify({ v: 1, svc: "secret", type: "x" }));
  const { body } = await house.get(`/v1/tenants/acme/decisions?session=${session}&denied=true`);
  assert.deepEqual(body.decisions.map(({ repeats }: { repeats: number }) => repeats), [0, 29]);
  const { body: slow } = await house.get("/v1/tenants/acme/slow");
  assert.deepEqual(slow.users, [{ name: "ann", count: 31, over: 0 }]);
});

test("What was found without a denial passes, and says so", async () => {
  const rule = TENANT.with(4, "    - { id: trial, match: { room: mods }, max_bytes: 1, dry_run: true }");
  const house = await open({ tenant: rule });
  const { client } = house.enterAs("ann");
  client.join("mods");
  client.handler.text(JSON.stringify(send("mods")));
  const { body } = await house.get("/v1/tenants/acme/decisions?denied=true");
  assert.deepEqual(
    body.decisions.map((one: Record<string, unknown>) => [one["rule_id"], one["allowed"], one["repeats"]]),
    [["trial", true, 1]],
  );
});

test("A dry run tells what another file would decide differently, by rule and line, and what it cannot tell", async () => {
  const { house } = await busy();
  const other = [
    "version: 1",
    "tenants:",
    "  - id: acme",
    "    policy:",
    '      ext_allowlist: ["room:*", "chat:send", "secret:x"]',
    "      rules:",
    "        - { id: nobody, match: { room: mods }, require: [member] }",
    '        - { id: short, match: { service: "chat:send" }, max_bytes: 1 }',
    "",
  ].join("\n");
  const { status, body } = await house.ask("POST", "/v1/dry-run", { body: { config: other } });
  assert.equal(status, 200);
  assert.deepEqual([body.left_out, body.missing], [0, ["other"]]);
  const told = body.differences.map((
    { before, after }: Record<string, Record<string, unknown>>,
  ) => [before!["rule_id"], before!["line"], after!["rule_id"], after!["line"]]);
  assert.deepEqual(told, [["allowlist", 7, null, null], ["mods", 10, "nobody", 7]]);
  assert.equal(body.same + body.different, body.compared);
  const bad = await house.ask("POST", "/v1/dry-run", { body: { config: "version: 1\nno: 1\n" } });
  assert.equal(bad.status, 400);
  assert.match(bad.body.failures[0], /^tenants is missing/);
  assert.equal(
    (await house.ask("POST", "/v1/dry-run", { key: "reader", body: { config: other } })).status,
    403,
  );
});

test("A session in detail: lanes, what waits, how long its socket is full, its quotas", async () => {
  const house = await open({
    tenant: [
      ...TENANT.slice(0, 3),
      "  quotas: { session: { messages_per_second: 10, burst: 20 } }",
      ...TENANT.slice(3),
    ],
  });
  const { client, session } = house.enterAs("ann");
  const look = async () => (await house.get(`/v1/tenants/acme/sessions/${session}`)).body;
  client.join("lobby");
  const before = await look();
  assert.deepEqual([before.transport, before.blocked_ms, before.dropped], ["websocket", null, 0]);
  assert.deepEqual(before.quotas, [{ quota: "session", unit: "messages", burst: 20, left: 19 }]);
  client.link.room = 0;
  for (let i = 0; i < 40; i++) {
    await house.publish({ to: { rooms: ["lobby"] }, svc: "a", type: "t", data: "x".repeat(3000) });
    house.turn();
  }
  house.clock.advance(300);
  const after = await look();
  assert.ok(after.waiting_bytes > 100_000, JSON.stringify(after));
  assert.equal(after.blocked_ms, 300);
  const reliable = after.lanes.find(({ lane }: { lane: string }) => lane === "reliable");
  assert.ok(reliable.messages > 0 && reliable.bytes > 3000 * reliable.messages);
  const { body: slow } = await house.get("/v1/tenants/acme/slow");
  assert.deepEqual([slow.waiting[0].session, slow.blocked[0].blocked_ms], [session, 300]);
  assert.deepEqual(slow.rooms[0], { name: "lobby", count: 40, over: 0 });
});

test("Sessions are found by their address", async () => {
  const house = await open({ tenant: TENANT });
  house.connect("ann", { address: "198.51.100.7" });
  house.connect("bob", { address: "198.51.100.8" });
  const { body } = await house.get("/v1/tenants/acme/sessions?address=198.51.100.8");
  assert.deepEqual(body.sessions.map(({ user }: { user: string }) => user), ["bob"]);
});

test("The last hour is sampled every five seconds, each tenant every thirty; only new points come again", async () => {
  const house = await open({ tenant: TENANT });
  const { client } = house.enterAs("ann");
  for (let i = 0; i < 14; i++) {
    client.handler.text(JSON.stringify({ v: 1, svc: "sys", type: "ping" }));
    house.clock.advance(5000);
  }
  const { body } = await house.get("/v1/overview");
  assert.deepEqual([body.history.step_ms, body.history.count, body.now.sessions], [5000, 14, 1]);
  assert.equal(body.history.lines.in_messages[0], 0.2);
  assert.equal(body.history.lines.sessions.length, 14);
  const more = await house.get("/v1/overview?since=13");
  assert.equal(more.body.history.lines.sessions.length, 1);
  const own = await house.get("/v1/overview?tenant=acme", { key: "reader" });
  assert.deepEqual([own.body.history.step_ms, own.body.history.count, own.body.process], [30_000, 2, null]);
  assert.equal(own.body.history.lines.in_messages.at(-1), 0.2);
  const other = await house.get("/v1/overview", { key: "other" });
  assert.deepEqual([other.body.now.in_messages, other.body.now.sessions], [0, 0]);
  assert.equal((await house.get("/v1/overview?tenant=acme", { key: "other" })).status, 403);
});

test("Whoever watches a session sees each decision, the last ones first; a room, each message", async () => {
  const { house, session } = await busy();
  const events = await house.watch(`/v1/tenants/acme/sessions/${session}/watch`, { key: "reader" });
  await events.expect("open");
  const past = await events.expect("decision");
  assert.deepEqual([past.rule_id, past.line], ["mods", 10]);
  assert.equal((await events.expect("decision")).rule_id, "allowlist");
  const room = await house.watch("/v1/tenants/acme/rooms/lobby/watch", { key: "reader" });
  await room.expect("open");
  house.connect("bob").join("lobby");
  await house.publish({ to: { rooms: ["lobby"] }, svc: "a", type: "t", data: 1 });
  const heard = await room.expect("message");
  assert.deepEqual([heard.lane, heard.deliveries], ["reliable", 2]);
  const { trace_id: _, ...message } = JSON.parse(heard.message);
  assert.deepEqual(message, { v: 1, svc: "a", type: "t", room: "lobby", data: 1 });
});

test("The audit has what was to change something, for the keys of that tenant only", async () => {
  const { house } = await busy();
  await house.ask("POST", "/v1/tenants/acme/users/eve/ban", { key: "ender" });
  await house.ask("POST", "/v1/tenants/other/users/eve/ban", { key: "other" });
  await house.ask("POST", "/v1/tenants/acme/explain", {
    key: "reader",
    body: { lane: "ext", message: "{}" },
  });
  await house.get("/v1/tenants");
  const seen = async (key: "root" | "reader") =>
    (await house.get("/v1/audit", { key })).body.entries.map((
      entry: Record<string, unknown>,
    ) => [entry["key"], entry["path"]]);
  assert.deepEqual(await seen("reader"), [["ender", "/v1/tenants/acme/users/eve/ban"]]);
  assert.deepEqual(await seen("root"), [
    ["other", "/v1/tenants/other/users/eve/ban"],
    ["ender", "/v1/tenants/acme/users/eve/ban"],
  ]);
  const page = await house.get("/v1/audit?limit=1");
  assert.equal((await house.get(`/v1/audit?cursor=${page.body.next}`)).body.entries.length, 1);
});

test("Revocations are listed in pages", async () => {
  const house = await open({ tenant: TENANT });
  for (const jti of ["b", "a"]) await house.ask("POST", "/v1/tenants/acme/tickets/revoke", { body: { jti } });
  await house.ask("POST", "/v1/tenants/acme/tickets/revoke", { body: { user: "ann", issued_before_ms: 5 } });
  const first = await house.get("/v1/tenants/acme/revocations?limit=2");
  assert.deepEqual(first.body.revocations.map(({ jti }: { jti: string }) => jti), ["a", "b"]);
  const second = await house.get(`/v1/tenants/acme/revocations?cursor=${first.body.next}`);
  assert.deepEqual(second.body.revocations, [{
    jti: null,
    user: "ann",
    issued_before_ms: 5,
    expires_at_ms: null,
  }]);
});

test("What the file would change is told, and nothing changes", async () => {
  const house = await open({ tenant: TENANT });
  const next = await open({ tenant: [...TENANT, "limits: { max_frame_bytes: 999 }"] });
  house.next = next.next;
  const { body } = await house.get("/v1/config/changes");
  assert.deepEqual(body.changes.map(({ key }: { key: string }) => key), ["limits.max_frame_bytes"]);
  assert.equal((await house.get("/v1/config/changes")).body.changes.length, 1);
});

test("Without a console nothing is recorded, and a reload that has one begins to", async () => {
  const none = ADMIN.replace("console: true, ", "");
  const house = await open({ tenant: TENANT, admin: none });
  const tasks = house.clock.tasks;
  const { client } = house.enterAs("ann");
  client.handler.text(JSON.stringify({ v: 1, svc: "secret", type: "x" }));
  assert.equal((await house.get("/v1/tenants/acme/decisions")).status, 503);
  assert.equal((await house.get("/v1/overview")).body.history, null);
  await house.reload({ tenant: TENANT, admin: ADMIN });
  assert.equal(house.clock.tasks, tasks + 1);
  client.handler.text(JSON.stringify({ v: 1, svc: "secret", type: "x" }));
  assert.equal((await house.get("/v1/tenants/acme/decisions")).body.decisions.length, 1);
  await house.reload({ tenant: TENANT, admin: none });
  assert.equal(house.clock.tasks, tasks);
  assert.equal((await house.get("/v1/tenants/acme/slow")).status, 503);
});
