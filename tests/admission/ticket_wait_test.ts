// Clients that bring their ticket in their first message: what they cost, and how they end.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { Encoder } from "cbor-x/encode";
import { Client, elsewhere, House, type HouseOptions, OPEN_POLICY } from "../session/house.ts";
import { SECRET, ticket } from "./keys.ts";

// deno-lint-ignore no-explicit-any -- messages, of which a test says what it expects
type Message = any;

const START_S = 1_767_225_601;
const FIXED = `static: { tickets: [{ ticket: "0123456789abcdef", user: ann }] }`;
const lobby = (more = "", mode = `mode: static, ${FIXED}`) =>
  `auth: { ${mode}, first_message: true, failure_delay_ms: 0${more} }`;
const start = (more = "", options: HouseOptions = {}) =>
  new House({ tenant: [lobby(more), OPEN_POLICY], ...options }).start();

const codeOf = (client: Client) => client.link.closed?.code ?? null;
const auth = (client: Client, ticket: unknown = "0123456789abcdef") =>
  client.tell("sys", "auth", { data: { ticket } });
function heard(house: House, client: Client): string[] {
  house.turn();
  return (client.link.read() as Message[]).map(({ type, data }) => type === "error" ? data.code : type);
}
const NOTHING = { sessions: 0, users: 0, rooms: 0, roomUsers: 0, timers: 0 };

test("A client without a ticket is let in, is nobody yet, and becomes a session with its first message", async () => {
  const house = await start();
  const client = await house.enter(null, "tenant=acme&sid=tab");
  assert.deepEqual(heard(house, client), []);
  assert.deepEqual(house.census(), { ...NOTHING, timers: 1 });
  assert.deepEqual(await house.metric("pending_links"), ['{tenant="acme"} 1']);
  auth(client);
  house.turn();
  const [authed] = client.link.read() as [Message];
  assert.deepEqual([authed.type, authed.data.user, authed.data.sid], ["authed", "ann", "tab"]);
  assert.deepEqual(house.census(), { ...NOTHING, sessions: 1, users: 1, timers: 1 });
  assert.deepEqual(await house.metric("pending_links"), ['{tenant="acme"} 0']);
  client.join("lobby");
  assert.equal(
    (client.ask("chat", "send", { room: "lobby", data: { msg: "hi" } }) as Message[])[0].type,
    "msg",
  );
  client.handler.pong();
  house.clock.advance(20_100);
  assert.equal(client.link.pings, 1);
  client.gone();
  assert.deepEqual(house.census(), NOTHING);
});

test("A ticket may still come at the door, and a tenant that does not wait refuses who brings none", async () => {
  const house = await start();
  const client = await house.enter("0123456789abcdef");
  assert.deepEqual(heard(house, client), ["authed"]);
  const answer = await house.knock("tenant=acme&ticket=wrong");
  assert.ok("refuse" in answer && answer.refuse.status === 401);
  const strict = await new House({ tenant: [`auth: { mode: static, ${FIXED}, failure_delay_ms: 0 }`] })
    .start();
  const refused = await strict.knock("tenant=acme");
  assert.ok("refuse" in refused && refused.refuse.status === 401);
  assert.equal(refused.refuse.headers["www-authenticate"], "Bearer");
});

test("In CBOR too", async () => {
  const house = await start();
  const answer = await house.knock("tenant=acme", { "sec-websocket-protocol": "wsprism.v1.cbor" });
  assert.ok("accept" in answer);
  const client = new Client(house, answer.accept, "192.0.2.1");
  answer.accept.open(client.link);
  const encoder = new Encoder({ useRecords: false, variableMapSize: true });
  client.handler.binary(
    encoder.encode({ v: 1, svc: "sys", type: "auth", data: { ticket: "0123456789abcdef" } }),
  );
  assert.deepEqual(heard(house, client), ["authed"]);
  assert.equal(answer.protocol, "wsprism.v1.cbor");
});

test("Whoever says anything else first is told so and closed, with everything of it gone", async () => {
  const house = await start();
  const firsts: [(client: Client) => void, code: number, told: string][] = [
    [(c) => c.tell("room", "join"), 4500, "AUTH_FAILED"],
    [(c) => c.tell("sys", "ping"), 4500, "AUTH_FAILED"],
    [(c) => auth(c, "wrong"), 4500, "AUTH_FAILED"],
    [(c) => auth(c, ""), 4500, "BAD_REQUEST"],
    [(c) => auth(c, 7), 4500, "BAD_REQUEST"],
    [(c) => c.tell("sys", "auth"), 4500, "BAD_REQUEST"],
    [(c) => auth(c, "x".repeat(8193)), 4500, "AUTH_FAILED"],
    [(c) => auth(c, "x".repeat(1_000_000)), 4500, "AUTH_FAILED"],
    [(c) => c.handler.text("{"), 4505, "BAD_REQUEST"],
    [(c) => c.handler.text("x".repeat(16_000_000)), 4500, "AUTH_FAILED"],
    [(c) => c.handler.binary(Uint8Array.of(1, 1, 1, 0)), 4500, "AUTH_FAILED"],
    [(c) => c.handler.binary(Uint8Array.of(0xa0)), 4500, "AUTH_FAILED"],
    [(c) => c.handler.text('{"v":2,"svc":"sys","type":"auth"}'), 4506, "UNSUPPORTED_VERSION"],
  ];
  for (const [first, code, told] of firsts) {
    const client = await house.enter(null);
    first(client);
    assert.deepEqual(heard(house, client), [told]);
    assert.equal(codeOf(client), code);
    client.tell("sys", "auth", { data: { ticket: "0123456789abcdef" } });
    assert.deepEqual(heard(house, client), [], "too late");
    assert.deepEqual(await house.metric("pending_links"), ['{tenant="acme"} 0']);
    client.gone();
  }
  assert.deepEqual(house.census(), NOTHING);
});

test("Whoever says nothing is told that it took too long, and dropped when it does not even close", async () => {
  const house = await start("", { gateway: "auth_timeout_ms: 3000" });
  const client = await house.enter(null);
  house.clock.advance(2900);
  assert.deepEqual(heard(house, client), []);
  house.clock.advance(200);
  assert.deepEqual(heard(house, client), ["TIMEOUT"]);
  assert.deepEqual(client.link.closed, { code: 4500, reason: "authentication failed" });
  house.clock.advance(5200);
  assert.ok(client.link.terminated >= 1);
  client.gone();
  assert.deepEqual(house.census(), NOTHING);
  assert.deepEqual(await house.metric("session_closes_total"), ['{tenant="acme",name="auth_failed"} 1']);
});

test("A bad ticket is answered after the delay, and meanwhile nothing else is", async () => {
  const house = await start("", {
    tenant: [lobby().replace("failure_delay_ms: 0", "failure_delay_ms: 500"), OPEN_POLICY],
  });
  const client = await house.enter(null);
  auth(client, "wrong");
  auth(client);
  house.clock.advance(400);
  assert.deepEqual(heard(house, client), []);
  house.clock.advance(200);
  assert.deepEqual(heard(house, client), ["AUTH_FAILED"]);
  assert.equal(codeOf(client), 4500);
});

test("Only so many wait, in all and from one address; who comes too late is sent away at either door", async () => {
  const house = await start(", max_pending: 3, max_pending_per_ip: 2");
  const knock = (address: string) => house.knock("tenant=acme", {}, address);
  const status = async (address: string) => {
    const answer = await knock(address);
    return "accept" in answer ? 101 : answer.refuse.status;
  };
  // Let in, and not open yet: nobody counts as there.
  const early = await knock("192.0.2.1");
  const first = await house.enter(null);
  await house.enter(null);
  const third = await knock("192.0.2.1");
  assert.ok("refuse" in third && third.refuse.status === 503);
  assert.match(third.refuse.body, /RESOURCE_EXHAUSTED.*await their ticket.*retry_after_ms/);
  assert.ok("accept" in early);
  const late = new Client(house, early.accept, "192.0.2.1");
  early.accept.open(late.link);
  assert.deepEqual(heard(house, late), ["RESOURCE_EXHAUSTED"]);
  assert.equal(codeOf(late), 4002);
  await house.enter(null, "tenant=acme", "2001:db8::1");
  assert.equal(await status("2001:db8::2"), 503, "three in all");
  first.gone();
  assert.equal(await status("2001:db8::3"), 101);
  await house.enter(null, "tenant=acme", "2001:db8:0:0:ffff::4");
  assert.equal(await status("2001:db8::5"), 503, "two of a network");
  assert.deepEqual(await house.metric("handshake_rejections_total"), ['{tenant="acme",reason="pending"} 3']);
});

test("Those who wait count as connections of the gateway", async () => {
  const house = await start("", { gateway: "max_connections: 2" });
  const waiting = await house.enter(null);
  await house.enter("0123456789abcdef");
  const answer = await house.knock("tenant=acme&ticket=0123456789abcdef");
  assert.ok("refuse" in answer && answer.refuse.status === 503);
  auth(waiting);
  assert.deepEqual(heard(house, waiting), ["authed"], "its place is its own");
});

test("A ticket that takes long is waited for, a message meanwhile is too early, and leaving is leaving", async () => {
  const jwt = `mode: jwt, jwt: { algorithms: [HS256], keys: [{ secret: "${SECRET}" }] }`;
  const house = await new House({ tenant: [lobby("", jwt), OPEN_POLICY] }).start();
  const good = await ticket({ sub: "ann", exp: START_S + 100 });
  const patient = await house.enter(null), hasty = await house.enter(null), gone = await house.enter(null);
  for (const client of [patient, hasty, gone]) auth(client, good);
  hasty.tell("room", "join");
  assert.deepEqual(heard(house, hasty), ["AUTH_FAILED"]);
  assert.equal(codeOf(hasty), 4500);
  gone.gone();
  await elsewhere(() => {
    house.turn();
    return patient.link.got.length > 0;
  });
  assert.deepEqual(heard(house, patient), ["authed"]);
  assert.equal((house.census() as Message).sessions, 1);
  const slow = await house.enter(null);
  auth(slow, good);
  house.clock.advance(5100);
  assert.deepEqual(heard(house, slow), ["TIMEOUT"]);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal((house.census() as Message).sessions, 1);
});

test("A ticket for another sid than asked for is no good here either", async () => {
  const jwt = `mode: jwt, jwt: { algorithms: [HS256], keys: [{ secret: "${SECRET}" }] }`;
  const house = await new House({ tenant: [lobby("", jwt), OPEN_POLICY] }).start();
  const client = await house.enter(null, "tenant=acme&sid=b");
  auth(client, await ticket({ sub: "ann", exp: START_S + 100, sid: "a" }));
  await elsewhere(() => client.link.got.length > 0);
  assert.deepEqual(heard(house, client), ["AUTH_FAILED"]);
});

test("A drain sends those who wait elsewhere at once", async () => {
  const house = await start("", { gateway: "drain_grace_ms: 0" });
  const client = await house.enter(null);
  const drained = house.gateway.drain();
  house.turn();
  assert.deepEqual((client.link.read() as Message[]).map(({ type }) => type), ["draining"]);
  assert.equal(codeOf(client), 1001);
  client.gone();
  house.clock.advance(100);
  await drained;
});

test("Whoever sends frames that are no message in the place of a ticket is closed at once, and not read", async () => {
  for (const send of ["control", "pong"] as const) {
    const house = await start();
    const client = await house.enter(null, "tenant=acme");
    let sent = 0;
    while (client.link.closed === null && sent < 1000) {
      client.handler[send](0);
      sent++;
    }
    assert.equal(sent, 33);
    assert.equal(codeOf(client), 4005);
    assert.ok(client.link.paused);
    client.handler[send](0);
    assert.equal(client.link.terminated, 1);
  }
});

test("A ticket may come in pieces, and after a ping", async () => {
  const house = await start();
  const client = await house.enter(null, "tenant=acme");
  for (let i = 0; i < 20; i++) client.handler.control(0);
  auth(client);
  assert.deepEqual(heard(house, client), ["authed"]);
});
