// The door as strangers meet it: origins, places, tickets, and what a bad one costs.

import { strict as assert } from "node:assert";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import type { Bearer, Verdict, Verifier } from "../../src/admission/verifier.ts";
import { BAD_TICKET, REVOKED } from "../../src/admission/verifier.ts";
import { Revocations } from "../../src/admission/revocations.ts";
import { grantOf, TenantAuth } from "../../src/admission/tenant_auth.ts";
import { DEV_AUTH } from "../../src/admission/verifiers.ts";
import { TenantMetrics } from "../../src/metrics/metrics.ts";
import type { UpgradeAnswer } from "../../src/transport/port.ts";
import { House, type HouseOptions, OPEN_POLICY, settle } from "../session/house.ts";

const TICKET = "0123456789abcdef";
const auth = (more = "") =>
  `auth: { mode: static, static: { tickets: [{ ticket: "${TICKET}", user: ann }] }, failure_delay_ms: 0${more} }`;
const start = (more = "", options: HouseOptions = {}, others: readonly string[] = []) =>
  new House({ tenant: [auth(more), OPEN_POLICY, ...others], ...options }).start();

function brief(answer: UpgradeAnswer): string {
  if ("accept" in answer) return "in";
  const { status, body } = answer.refuse;
  return `${status} ${JSON.parse(body).code}`;
}

test("A page of another origin is refused before its ticket is looked at, and a client without one is not", async () => {
  const house = await start("", {}, ['origins: ["https://app.example"]']);
  const knock = async (headers: Record<string, string>, ticket = TICKET) =>
    brief(await house.knock(`tenant=acme&ticket=${ticket}`, headers));
  assert.equal(await knock({ origin: "https://app.example" }), "in");
  assert.equal(await knock({}), "in");
  for (const origin of ["https://evil.example", "null", "", "https://app.example.evil.example"]) {
    assert.equal(await knock({ origin, host: "evil.example" }, "wrong"), "403 NOT_ALLOWED", origin);
  }
  assert.deepEqual(await house.metric("tickets_total"), ['{tenant="acme",way="query",outcome="ok"} 2']);
  assert.deepEqual(await house.metric("handshake_rejections_total"), ['{tenant="acme",reason="origin"} 4']);
});

test("Origin comes before capacity, and capacity before the ticket", async () => {
  const house = await start("", {}, ["limits: { max_sessions_total: 1 }"]);
  await house.enter(TICKET);
  const evil = { origin: "https://evil.example", host: "ws.example" };
  assert.equal(brief(await house.knock("tenant=acme&ticket=wrong", evil)), "403 NOT_ALLOWED");
  const full = await house.knock("tenant=acme&ticket=wrong", {
    origin: "https://ws.example",
    host: "ws.example",
  });
  assert.equal(brief(full), "503 RESOURCE_EXHAUSTED");
});

test("Where tickets in the query are not taken, the refusal says where they go", async () => {
  const house = await start(", allow_query_ticket: false");
  const answer = await house.knock(`tenant=acme&ticket=${TICKET}`);
  assert.equal(brief(answer), "401 AUTH_FAILED");
  assert.ok("refuse" in answer);
  assert.match(answer.refuse.body, /Authorization: Bearer.*wsprism\.ticket\./);
  assert.equal(brief(await house.knock(`tenant=acme&ticket=x`, { authorization: `Bearer ${TICKET}` })), "in");
  const offered = `wsprism.v1, wsprism.ticket.${Buffer.from(TICKET).toString("base64url")}`;
  assert.equal(brief(await house.knock("tenant=acme", { "sec-websocket-protocol": offered })), "in");
  assert.deepEqual((await house.metric("tickets_total")).sort(), [
    '{tenant="acme",way="header",outcome="ok"} 1',
    '{tenant="acme",way="query",outcome="query_ticket"} 1',
    '{tenant="acme",way="subprotocol",outcome="ok"} 1',
  ]);
});

test("A bad ticket is answered after the delay, and the gateway's other work goes on", async () => {
  const house = await new House({
    tenant: [auth().replace("failure_delay_ms: 0", "failure_delay_ms: 700"), OPEN_POLICY],
  }).start();
  let told: string | null = null;
  void house.knock("tenant=acme&ticket=wrong").then((answer) => told = brief(answer));
  void house.knock("tenant=acme");
  await settle();
  assert.equal((house.census() as { timers: number }).timers, 2);
  const client = await house.enter(TICKET);
  client.link.read();
  client.join("lobby");
  house.clock.advance(600);
  await settle();
  assert.equal(told, null);
  house.clock.advance(200);
  house.turn();
  await settle();
  assert.equal(told, "401 AUTH_FAILED");
});

test("Bad tickets make an address wait longer than good ones do, whichever way they fail", async () => {
  const limit = "handshake_limit: { enabled: true, per_ip_rps: 1, per_ip_burst: 13, failed_auth_cost: 5 }";
  for (const query of ["tenant=acme&ticket=wrong", "tenant=acme"]) {
    const house = await start("", { gateway: limit });
    const tries = async (query: string, address: string) => {
      let count = 0;
      while (count < 50 && !brief(await house.knock(query, {}, address)).startsWith("429")) count++;
      return count;
    };
    assert.equal(await tries(query, "192.0.2.1"), 3, "6 each, of 13");
    assert.equal(await tries(`tenant=acme&ticket=${TICKET}`, "192.0.2.2"), 13);
    const answer = await house.knock(`tenant=acme&ticket=${TICKET}`, {}, "192.0.2.1");
    assert.ok("refuse" in answer);
    // 18 taken of 13, and one more is wanted.
    assert.equal(JSON.parse(answer.refuse.body).retry_after_ms, 6000);
    assert.equal(answer.refuse.headers["retry-after"], "6");
  }
});

test("A bad ticket in a renewal is charged as well", async () => {
  const limit = "handshake_limit: { enabled: true, per_ip_rps: 1, per_ip_burst: 7, failed_auth_cost: 5 }";
  const house = await start("", { gateway: limit });
  const client = await house.enter(TICKET);
  client.ask("sys", "auth", { data: { ticket: "wrong" } });
  const told: string[] = [];
  for (let i = 0; i < 2; i++) told.push(brief(await house.knock(`tenant=acme&ticket=${TICKET}`)));
  assert.deepEqual(told, ["in", "429 RATE_LIMITED"]);
});

test("Addresses of one IPv6 network count as one, for the limiter and for places", async () => {
  const house = await start("", {
    gateway: "handshake_limit: { enabled: true, per_ip_rps: 1, per_ip_burst: 4 }",
  }, ["limits: { max_sessions_per_ip: 2 }"]);
  const query = `tenant=acme&ticket=${TICKET}`;
  await house.enter(TICKET, query, "2001:db8:0:1::1");
  await house.enter(TICKET, query, "2001:db8:0:1:ffff::2");
  const knock = async (address: string) => brief(await house.knock(query, {}, address));
  assert.equal(await knock("2001:db8:0:1::3"), "503 RESOURCE_EXHAUSTED");
  assert.equal(await knock("2001:db8:0:2::1"), "in", "the network next door");
  assert.equal(await knock("2001:db8:0:1:a:b:c:d"), "503 RESOURCE_EXHAUSTED");
  assert.equal(await knock("2001:db8:0:1::9"), "429 RATE_LIMITED");
  assert.equal(await knock("192.0.2.1"), "in");
  assert.equal(await knock("192.0.2.2"), "in");
  assert.deepEqual(await house.metric("handshake_limiter_entries"), ["4"]);
});

/** An auth with a verifier of the test's own. */
function authWith(verify: (bearer: Bearer) => Verdict | Promise<Verdict>) {
  const charged: string[] = [];
  const metrics = new TenantMetrics(["control"]);
  const revocations = new Revocations();
  const verifier: Verifier = { headers: [], verify, stop() {} };
  const tenantAuth = new TenantAuth({
    verifier,
    config: DEV_AUTH,
    metrics,
    revocations,
    unixMs: () => 1000,
    charge: (group) => charged.push(group),
  });
  const bearer = (ticket: string | null): Bearer => ({
    ticket,
    address: "a",
    origin: null,
    headers: {},
    renews: null,
  });
  return { tenantAuth, charged, metrics, bearer, revocations };
}

test("An empty or oversized ticket is refused unread", () => {
  const { tenantAuth, bearer, charged } = authWith(() => assert.fail("it was read"));
  for (const ticket of ["", "x".repeat(8193), "é".repeat(8193)]) {
    assert.equal(tenantAuth.check(bearer(ticket), "header", "group"), BAD_TICKET);
  }
  assert.deepEqual(charged, ["group", "group", "group"]);
});

test("So many tickets are verified at once, and one more is told to come again, at nobody's cost", async () => {
  const answers: ((verdict: Verdict) => void)[] = [];
  const { tenantAuth, bearer, charged } = authWith(() => new Promise((resolve) => answers.push(resolve)));
  const outcomes = Array.from({ length: 1024 }, () => tenantAuth.check(bearer("t"), "header", "g"));
  const late = tenantAuth.check(bearer("t"), "header", "g");
  assert.ok(!(late instanceof Promise) && !late.ok && late.reason === "busy");
  answers.forEach((answer) => answer(BAD_TICKET));
  await Promise.all(outcomes);
  assert.ok(tenantAuth.check(bearer("t"), "header", "g") instanceof Promise, "there is room again");
  assert.equal(charged.length, 1024);
});

test("A ticket that was revoked is refused like a bad one, whatever it says besides", () => {
  const verdict = {
    ok: true,
    user: "ann",
    claims: {},
    expiresAtMs: null,
    ticketId: "t-1",
    issuedAtMs: 500,
  } as const;
  const { tenantAuth, bearer, charged, revocations } = authWith(() => verdict);
  const check = () => tenantAuth.check(bearer("t"), "header", "group");
  assert.ok(!(check() instanceof Promise) && (check() as { ok: boolean }).ok);
  revocations.revoke({ jti: "t-1" }, 2000, 1000);
  assert.equal(check(), REVOKED);
  assert.deepEqual(charged, ["group"]);
});

test("A verified ticket without a good user or id is refused all the same", () => {
  const verdict = { ok: true, claims: { sub: "x" }, expiresAtMs: null, issuedAtMs: null } as const;
  for (const user of [undefined, null, "", 7, {}, "a\nb", "\ud800", "x".repeat(129), "\u2028"]) {
    const outcome = grantOf({ ...verdict, user, ticketId: null });
    assert.ok(!outcome.ok && outcome.reason === "bad_claims", String(user));
  }
  for (const ticketId of [7, {}, "x".repeat(257), [], true]) {
    const outcome = grantOf({ ...verdict, user: "ann", ticketId });
    assert.ok(!outcome.ok && outcome.reason === "bad_claims");
  }
  const good = grantOf({ ...verdict, user: "片🎲", ticketId: "t-1" });
  assert.ok(good.ok && good.user === "片🎲" && good.ticketId === "t-1");
});

test("A hundred thousand random tickets leave nothing behind", async () => {
  const house = await start("", {
    gateway:
      "handshake_limit: { enabled: true, max_ip_entries: 1000, global_rps: 1000000000, global_burst: 1000000000 }",
  });
  const random = () => Math.random().toString(36);
  for (let i = 0; i < 100_000; i++) {
    const address = `${i >> 16}.${i >> 8 & 255}.${i & 255}.7`;
    assert.ok("refuse" in await house.knock(`tenant=acme&ticket=${random()}`, {}, address));
  }
  assert.deepEqual(house.census(), { sessions: 0, users: 0, rooms: 0, roomUsers: 0, timers: 0 });
  assert.deepEqual(await house.metric("handshake_limiter_entries"), ["1000"]);
  assert.deepEqual(await house.metric("tickets_total"), [
    '{tenant="acme",way="query",outcome="bad_ticket"} 100000',
  ]);
});
