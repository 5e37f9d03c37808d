// Users by the admin API: ending their sessions, keeping them out, taking back their tickets.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { SECRET, ticket } from "../../admission/keys.ts";
import { OPEN_POLICY } from "../../session/house.ts";
import { type AdminHouse, open, told } from "./admin_house.ts";

const USERS = "/v1/tenants/acme/users";
const REVOKE = "/v1/tenants/acme/tickets/revoke";

test("Ending a user ends all of the user's sessions and no other", async () => {
  const house = await open();
  const anns = [house.enterAs("ann/1"), house.enterAs("ann/1")], bob = house.enterAs("bob");
  const path = `${USERS}/ann%2F1/disconnect`;
  assert.deepEqual((await house.ask("POST", path, { body: { reason: "enough" } })).body, { disconnected: 2 });
  const kicked = { v: 1, svc: "sys", type: "kicked", data: { reason: "enough" } };
  assert.deepEqual(anns.map(({ client }) => told(client)), [[kicked], [kicked]]);
  assert.deepEqual(anns.map(({ client }) => client.link.closed?.code), [4501, 4501]);
  assert.equal(bob.client.link.closed, null);
  assert.deepEqual((await house.ask("POST", path)).body, { disconnected: 0 });
});

test("A ban that is over before its sessions have ended is told like any other", async () => {
  const house = await open();
  const { link } = house.enterAs("ann").client;
  const close = link.close.bind(link);
  link.close = (code, reason) => {
    house.clock.advance(5);
    close(code, reason);
  };
  const now = house.clock.unixMs();
  const { status, body } = await house.ask("POST", `${USERS}/ann/ban`, { body: { for_ms: 1 } });
  assert.deepEqual([status, body.until_ms, body.disconnected], [200, now + 1, 1]);
  assert.ok(house.clock.unixMs() > body.until_ms);
});

test("A banned user's sessions end, and no new one begins until the ban is over or taken back", async () => {
  const house = await open();
  const ann = house.enterAs("ann");
  const ban = async (forMs: number) => {
    const { body } = await house.ask("POST", `${USERS}/ann/ban`, { body: { for_ms: forMs } });
    return body;
  };
  const now = house.clock.unixMs();
  assert.deepEqual(await ban(60_000), { user: "ann", until_ms: now + 60_000, by: "admin", disconnected: 1 });
  assert.equal(ann.client.link.closed?.code, 4504);
  const knock = () => house.upgrade("tenant=acme&ticket=dev:ann");
  const refused = knock();
  assert.ok("refuse" in refused && refused.refuse.status === 403, "at the door");
  assert.equal((await ban(1000)).until_ms, now + 60_000, "the longer one stays");
  assert.deepEqual((await house.get("/v1/tenants/acme/bans")).body, {
    bans: [{ user: "ann", until_ms: now + 60_000, by: "admin" }],
    next: null,
  });
  house.enterAs("bob");
  assert.deepEqual((await house.ask("DELETE", `${USERS}/ann/ban`)).body, { unbanned: 1 });
  assert.ok("accept" in knock());
  assert.equal((await house.ask("DELETE", `${USERS}/ann/ban`)).status, 404);
  await ban(1000);
  house.clock.advance(1000);
  assert.ok("accept" in knock());
  assert.deepEqual((await house.get("/v1/tenants/acme/bans")).body.bans, []);
});

test("A ban that is over by the time it is answered was one all the same", async () => {
  const house = await open();
  const { client } = house.enterAs("ann");
  // Ending a session takes its time.
  client.link.close = () => house.clock.advance(5);
  const { status, body, text } = await house.ask("POST", `${USERS}/ann/ban`, { body: { for_ms: 1 } });
  assert.deepEqual([status, body.disconnected], [200, 1], text);
});

test("A ban without a time is for good, and lists of bans are paged", async () => {
  const house = await open();
  for (const user of ["c", "a", "b"]) await house.ask("POST", `${USERS}/${user}/ban`);
  const { body } = await house.get("/v1/tenants/acme/bans?limit=2");
  assert.deepEqual([body.bans.map(({ user }: { user: string }) => user), body.next], [["a", "b"], "b"]);
  assert.equal(body.bans[0].until_ms, house.clock.unixMs() + 3650 * 86_400_000);
});

const JWT =
  `auth: { mode: jwt, jwt: { algorithms: [HS256], keys: [{ secret: "${SECRET}" }] }, failure_delay_ms: 0 }`;

/** A house of tickets, and a way to come in with one. */
async function tickets() {
  const house = await open({ tenant: [OPEN_POLICY, JWT] });
  const nowS = () => Math.round(house.clock.unixMs() / 1000);
  const enter = async (claims: Record<string, unknown>) => {
    const token = await ticket({ exp: nowS() + 1000, iat: nowS(), ...claims });
    return await house.enter(token);
  };
  const refused = async (claims: Record<string, unknown>) => {
    const token = await ticket({ exp: nowS() + 1000, iat: nowS(), ...claims });
    const answer = await house.knock("tenant=acme", { authorization: `Bearer ${token}` });
    return "refuse" in answer ? JSON.parse(answer.refuse.body).msg : null;
  };
  return { house, nowS, enter, refused };
}

const revoke = async (house: AdminHouse, body: object) => (await house.ask("POST", REVOKE, { body })).body;

test("A revoked ticket ends its session and opens no other; the user's other tickets are as good as before", async () => {
  const { house, enter, refused } = await tickets();
  const one = await enter({ sub: "ann", jti: "t-1" }), two = await enter({ sub: "ann", jti: "t-2" });
  one.link.read();
  assert.deepEqual(await revoke(house, { jti: "t-1" }), { disconnected: 1 });
  assert.deepEqual(told(one), [{
    v: 1,
    svc: "sys",
    type: "error",
    data: { code: "AUTH_FAILED", msg: "ticket was revoked" },
  }]);
  assert.deepEqual([one.link.closed?.code, two.link.closed], [4500, null]);
  assert.equal(await refused({ sub: "ann", jti: "t-1" }), "ticket was revoked");
  assert.equal(await refused({ sub: "ann", jti: "t-3" }), null);
});

test("A user's tickets are revoked by when they were issued; those that do not say it are old", async () => {
  const { house, nowS, enter, refused } = await tickets();
  const old = await enter({ sub: "ann", iat: nowS() - 60 });
  const mute = await enter({ sub: "ann", iat: undefined });
  const late = await enter({ sub: "ann", iat: nowS() });
  const bob = await enter({ sub: "bob", iat: nowS() - 60 });
  const before = { user: "ann", issued_before_ms: (nowS() - 30) * 1000 };
  assert.deepEqual(await revoke(house, before), { disconnected: 2 });
  const closes = [old, mute, late, bob].map(({ link }) => link.closed?.code);
  assert.deepEqual(closes, [4500, 4500, undefined, undefined]);
  assert.equal(await refused({ sub: "ann", iat: nowS() - 31 }), "ticket was revoked");
  assert.equal(await refused({ sub: "ann", iat: nowS() - 30 }), null);
  assert.equal(await refused({ sub: "bob", iat: nowS() - 31 }), null);
  // Now, when nothing is said; and an earlier moment takes nothing back.
  house.clock.advance(2000);
  assert.deepEqual(await revoke(house, { user: "ann" }), { disconnected: 1 });
  await revoke(house, before);
  assert.equal(await refused({ sub: "ann", iat: nowS() - 1 }), "ticket was revoked");
});

test("A session cannot be renewed with a revoked ticket", async () => {
  const { house, nowS, enter } = await tickets();
  const client = await enter({ sub: "ann", jti: "t-1" });
  await revoke(house, { jti: "t-2" });
  client.link.read();
  const next = await ticket({ sub: "ann", jti: "t-2", exp: nowS() + 1000 });
  client.tell("sys", "auth", { data: { ticket: next } });
  while (client.link.got.length === 0) {
    await new Promise((resolve) => setTimeout(resolve, 1));
    house.turn();
  }
  assert.deepEqual((told(client)[0] as { data: unknown }).data, {
    code: "AUTH_FAILED",
    msg: "ticket was revoked",
  });
  assert.equal(client.link.closed, null, "its own ticket is still good");
});

test("What is no revocation is refused", async () => {
  const house = await open();
  for (const body of [{}, { jti: "" }, { jti: "a", user: "b" }, { user: "a", issued_before_ms: -1 }, []]) {
    assert.equal((await house.ask("POST", REVOKE, { body })).status, 400, JSON.stringify(body));
  }
});
