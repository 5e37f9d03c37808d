// Why a message would be refused, asked over the admin API of a gateway that runs.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { type AdminHouse, open } from "./admin_house.ts";

const TENANT = [
  "limits: { max_frame_bytes: 400 }",
  "policy:",
  '  ext_allowlist: ["room:*", "chat:send"]',
  '  hot_allowlist: ["2:10"]',
  "  rules:",
  '    - { id: mods, match: { service: "chat:send", room: mods }, require: [member, "claim:role=mod"] }',
  '    - { id: short, match: { service: "chat:send" }, schema_text: "{ \\"maxProperties\\": 1 }" }',
];
const say = (room: string, data: unknown) => ({ v: 1, svc: "chat", type: "send", room, data });

async function ask(house: AdminHouse, body: unknown) {
  return await house.ask("POST", "/v1/tenants/acme/explain", { key: "reader", body });
}

test("Each check says its verdict, and where the file says so", async () => {
  const house = await open({ tenant: TENANT });
  const { status, body } = await ask(house, {
    lane: "ext",
    message: say("mods", {}),
    user: "ann",
    member: true,
  });
  assert.equal(status, 200);
  assert.deepEqual([body.allowed, body.rule_id], [false, "mods"]);
  const told = body.steps.map((
    step: Record<string, unknown>,
  ) => [step["check"], step["verdict"], step["line"]]);
  assert.deepEqual(told, [
    ["size", "pass", 6],
    ["quota.session", "pass", null],
    ["decode", "pass", null],
    ["allowlist", "pass", 8],
    ["mods", "deny", 11],
  ]);
  assert.match(body.steps.at(-1).why, /^NOT_ALLOWED/);
  assert.equal(body.steps.at(-1).path, "tenants[0].policy.rules[0]");
});

test("Claims, membership and the message's data change the verdict; asking takes nothing from anybody", async () => {
  const house = await open({ tenant: TENANT });
  const mod = { lane: "ext", claims: { role: "mod" }, room: "mods" };
  for (let i = 0; i < 3; i++) {
    const good = await ask(house, { ...mod, message: say("mods", {}) });
    assert.deepEqual([good.body.allowed, good.body.rule_id], [true, null]);
  }
  const long = await ask(house, { ...mod, message: JSON.stringify(say("mods", { a: 1, b: 2 })) });
  assert.deepEqual([long.body.allowed, long.body.rule_id], [false, "short"]);
  const narrowed = await ask(house, { ...mod, claims: { services: ["room:*"] }, message: say("x", {}) });
  assert.equal(narrowed.body.rule_id, "ticket");
});

test("Hot messages are told in hexadecimal digits", async () => {
  const house = await open({ tenant: TENANT });
  const hot = (message: unknown) => ask(house, { lane: "hot", message, room: "a" });
  assert.equal((await hot("01 02 0a 00")).body.allowed, true);
  assert.equal((await hot("01030a00")).body.rule_id, "allowlist");
  for (const bad of ["zz", "1", {}]) {
    const { status, body } = await hot(bad);
    assert.equal(status, 400);
    assert.match(body.msg, /^body.message/);
  }
});

test("After a reload the lines are those of the new file", async () => {
  const house = await open({ tenant: TENANT });
  await house.reload({
    tenant: ["# a comment", ...TENANT],
    admin: 'listen: "127.0.0.1:0", keys: [{ id: reader, ' +
      'secret: "reader-0123456789-0123456789-0123456789", tenants: [acme], permissions: [read] }]',
  });
  const { body } = await ask(house, { lane: "ext", message: say("mods", {}) });
  assert.equal(body.steps.at(-1).line, 12);
});

test("Claims that no ticket could have are refused", async () => {
  const house = await open({ tenant: TENANT });
  const { status, body } = await ask(house, { lane: "ext", message: "{}", claims: { rooms: 1 } });
  assert.equal(status, 400);
  assert.match(body.msg, /^body.claims: rooms must be/);
});

test("A session is asked about as it is: who it is, its rooms, and what it has taken", async () => {
  const house = await open({
    tenant: [
      "policy:",
      '  ext_allowlist: ["room:*", "chat:send"]',
      "  quotas: { session: { messages_per_second: 1, burst: 3 } }",
      '  rules: [{ id: members, match: { service: "chat:send" }, require: [member] }]',
    ],
  });
  const { client, session } = house.enterAs("ann");
  const about = async (room: string, more = {}) =>
    await ask(house, { lane: "ext", message: say(room, {}), session, ...more });
  assert.equal((await about("mods")).body.rule_id, "members");
  client.join("mods");
  assert.equal((await about("mods")).body.allowed, true);
  assert.equal((await about("others")).body.rule_id, "members");
  for (let i = 0; i < 2; i++) client.tell("chat", "send", { room: "mods", data: {} });
  for (let i = 0; i < 2; i++) {
    const { body } = await about("mods");
    assert.equal(body.rule_id, "quota.session", "and asking takes nothing");
    assert.ok(body.steps.at(-1).retry_after_ms > 0);
  }
  house.clock.advance(1000);
  for (let i = 0; i < 3; i++) assert.equal((await about("mods")).body.allowed, true);
  const both = await about("mods", { user: "bob" });
  assert.deepEqual([both.status, both.body.msg], [
    400,
    "body: session says user, claims, room, member already",
  ]);
  assert.equal((await about("mods", { session: "nobody" })).status, 404);
});

test("A key learns nothing of another tenant's session by asking about it", async () => {
  const house = await open({ tenant: TENANT });
  const { session } = house.enterAs("ann");
  const body = { lane: "ext", message: say("a", {}), session };
  for (const tenant of ["acme", "other"]) {
    const { status } = await house.ask("POST", `/v1/tenants/${tenant}/explain`, { key: "other", body });
    assert.ok(status === 403 || status === 404, `${tenant}: ${status}`);
  }
});
