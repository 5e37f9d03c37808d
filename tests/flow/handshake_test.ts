// Who gets in, who doesn't, and what each is told: the HTTP side of `GET /v1/ws`.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { handshake, type HttpHead, RawClient } from "../raw_client.ts";
import { Client, KINDS, target } from "./client.ts";
import { GatewayProcess, lastly, sharedGateway } from "./gateway_process.ts";

const SECRET = "dGhpcyBpcyBzZWNyZXQ.s3cr3t";

const gateway = await sharedGateway({
  gateway: { drain_grace_ms: 0, trusted_proxies: ["127.0.0.1/32"] },
  tenants: [
    { id: "acme" },
    { id: "small", limits: { max_sessions_total: 2 }, policy: { sessions: { max_sessions_per_user: 2 } } },
    { id: "homes", limits: { max_sessions_per_ip: 2 } },
  ],
}, { args: ["--log-level", "debug"] });

interface Refused {
  readonly head: HttpHead;
  // deno-lint-ignore no-explicit-any -- a JSON body
  readonly body: any;
}

/** Asks for an upgrade that is refused. */
async function refused(
  from: GatewayProcess,
  path: string,
  headers: Record<string, string | null> = {},
): Promise<Refused> {
  const client = await RawClient.connect(from.port);
  const head = await client.upgrade(path, headers);
  assert.notEqual(head.status, 101, `${path} was let in`);
  assert.match(head.headers.get("content-type")!, /^application\/json/);
  const body = JSON.parse(await client.body(head));
  client.destroy();
  return { head, body };
}

/** A socket that has its upgrade; it stays open until `destroy`. */
async function entered(
  from: GatewayProcess,
  path: string,
  headers: Record<string, string | null> = {},
): Promise<{ client: RawClient; head: HttpHead; user: string }> {
  const client = await RawClient.connect(from.port);
  const head = await client.upgrade(path, headers);
  assert.equal(head.status, 101, head.text);
  const authed = JSON.parse(await client.nextText());
  assert.equal(authed.type, "authed");
  return { client, head, user: authed.data.user };
}

/** Header and body agree on a time within these bounds; the gateway adds jitter, so it is not said which. */
function assertRetry({ head, body }: Refused, leastMs: number, mostMs: number): void {
  const { retry_after_ms: ms } = body;
  assert.ok(Number.isInteger(ms) && ms >= leastMs && ms <= mostMs, `${ms}`);
  assert.equal(head.headers.get("retry-after"), String(Math.ceil(ms / 1000)));
}

const base64url = (text: string) => Buffer.from(text).toString("base64url");

test("a handshake without a known tenant, with a malformed query or a bad sid is refused with 400", async () => {
  const cases: [string, RegExp][] = [
    ["/v1/ws", /tenant/],
    ["/v1/ws?ticket=dev", /tenant/],
    ["/v1/ws?tenant=&ticket=dev", /tenant/],
    ["/v1/ws?tenant=nobody&ticket=dev", /no such tenant/],
    ["/v1/ws?tenant=ACME&ticket=dev", /no such tenant/],
    ["/v1/ws?tenant=%E9acme&ticket=dev", /query/],
    ["/v1/ws?tenant=acme&ticket=%zz", /query/],
    ["/v1/ws?tenant=acme&tenant=small&ticket=dev", /query/],
    ["/v1/ws?tenant=acme&ticket=dev&ticket=dev", /query/],
    ["/v1/ws?tenant=acme&ticket=dev&sid=", /sid/],
    ["/v1/ws?tenant=acme&ticket=dev&sid=a%20b", /sid/],
    ["/v1/ws?tenant=acme&ticket=dev&sid=a/b", /sid/],
    [`/v1/ws?tenant=acme&ticket=dev&sid=${"x".repeat(65)}`, /sid/],
  ];
  for (const [path, msg] of cases) {
    const { head, body } = await refused(gateway, path);
    assert.equal(head.status, 400, path);
    assert.deepEqual(Object.keys(body), ["code", "msg"]);
    assert.equal(body.code, "BAD_REQUEST");
    assert.match(body.msg, msg, path);
    assert.equal(head.headers.has("retry-after"), false);
  }
});

test("a handshake without a ticket or with a bad one is refused with 401, wherever the ticket stands", async () => {
  const none = await refused(gateway, "/v1/ws?tenant=acme");
  assert.equal(none.head.status, 401);
  assert.deepEqual(none.body, { code: "AUTH_FAILED", msg: "a ticket is required" });
  const bad: [string, Record<string, string>][] = [
    [`/v1/ws?tenant=acme&ticket=${SECRET}`, {}],
    ["/v1/ws?tenant=acme&ticket=", {}],
    ["/v1/ws?tenant=acme&ticket=dev:", {}],
    ["/v1/ws?tenant=acme&ticket=DEV", {}],
    [`/v1/ws?tenant=acme&ticket=dev:${"u".repeat(129)}`, {}],
    ["/v1/ws?tenant=acme&ticket=dev:line%0Abreak", {}],
    ["/v1/ws?tenant=acme", { authorization: `Bearer ${SECRET}` }],
    // What comes first counts, even where a good one follows.
    ["/v1/ws?tenant=acme&ticket=dev", { authorization: `Bearer ${SECRET}` }],
    [
      "/v1/ws?tenant=acme&ticket=dev",
      { "sec-websocket-protocol": `wsprism.v1, wsprism.ticket.${base64url(SECRET)}` },
    ],
  ];
  for (const [path, headers] of bad) {
    const { head, body } = await refused(gateway, path, headers);
    assert.equal(head.status, 401, path);
    assert.deepEqual(body, { code: "AUTH_FAILED", msg: "ticket is not valid" });
    assert.ok(!head.text.includes(SECRET) && !head.text.includes(base64url(SECRET)));
  }
});

test("an upgrade on another path is refused with 404, and so is a page that isn't there", async () => {
  const { head, body } = await refused(gateway, "/v1/other?tenant=acme&ticket=dev");
  assert.equal(head.status, 404);
  assert.equal(body.code, "NOT_FOUND");
  assert.match(body.msg, /\/v1\/ws/);
  const page = await gateway.get("/v1/other");
  assert.equal(page.status, 404);
  assert.equal(JSON.parse(page.body).code, "NOT_FOUND");
});

test("a plain GET of the WebSocket's path is answered with 426 and the protocol to change to", async () => {
  const client = await RawClient.connect(gateway.port);
  client.send("GET /v1/ws?tenant=acme&ticket=dev HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n");
  const head = await client.head();
  assert.equal(head.status, 426);
  assert.equal(head.headers.get("upgrade"), "websocket");
  assert.equal(JSON.parse(await client.body(head)).code, "BAD_REQUEST");
  client.destroy();
});

test("a ticket is found in Authorization, else in a subprotocol, else in the query", async () => {
  const offer = (user: string) => `wsprism.v1, wsprism.ticket.${base64url(`dev:${user}`)}`;
  const cases: [string, Record<string, string>, string][] = [
    ["&ticket=dev", {}, "user:dev"],
    ["&ticket=dev:query", {}, "query"],
    ["&ticket=dev%3Az%C3%BCr%20ich", {}, "zür ich"],
    ["", { authorization: "Bearer dev:header" }, "header"],
    ["", { authorization: "bearer dev:lower" }, "lower"],
    ["", { "sec-websocket-protocol": offer("offered") }, "offered"],
    ["", { "sec-websocket-protocol": offer("zoë") }, "zoë"],
    ["&ticket=dev:query", { "sec-websocket-protocol": offer("offered") }, "offered"],
    ["&ticket=dev:query", {
      authorization: "Bearer dev:header",
      "sec-websocket-protocol": offer("offered"),
    }, "header"],
    // Another scheme is somebody else's business.
    ["&ticket=dev:query", { authorization: "Basic ZGV2OmRldg==" }, "query"],
  ];
  for (const [query, headers, expected] of cases) {
    const { client, user } = await entered(gateway, `/v1/ws?tenant=acme${query}`, headers);
    assert.equal(user, expected, `${query} ${JSON.stringify(headers)}`);
    client.destroy();
  }
});

test("the server selects a subprotocol of its own, and never echoes a ticket or a stranger", async () => {
  const ticket = `wsprism.ticket.${base64url("dev:quiet")}`;
  const cases: [string, string | undefined][] = [
    [`wsprism.v1, ${ticket}`, "wsprism.v1"],
    [`${ticket}, wsprism.v1`, "wsprism.v1"],
    [`${ticket}, other, wsprism.v1.cbor`, "wsprism.v1.cbor"],
    [`wsprism.v1.cbor, wsprism.v1, ${ticket}`, "wsprism.v1.cbor"],
    [`wsprism.v1, wsprism.v1.cbor, ${ticket}`, "wsprism.v1"],
    [ticket, undefined],
    [`other, ${ticket}`, undefined],
  ];
  for (const [offered, selected] of cases) {
    const client = await RawClient.connect(gateway.port);
    const head = await client.upgrade("/v1/ws?tenant=acme", { "sec-websocket-protocol": offered });
    assert.equal(head.status, 101);
    assert.equal(head.headers.get("sec-websocket-protocol"), selected, offered);
    assert.ok(!head.text.includes("ticket"));
    client.destroy();
  }
  const client = await RawClient.connect(gateway.port);
  const head = await client.upgrade("/v1/ws?tenant=acme&ticket=dev", {
    "sec-websocket-protocol": "graphql-ws",
  });
  assert.equal(head.status, 101);
  assert.equal(head.headers.has("sec-websocket-protocol"), false);
  client.destroy();
});

for (const kind of KINDS) {
  test(`a session is told who it is, with the sid it brought or one made for it (${kind})`, async () => {
    const before = Date.now();
    const brought = await Client.open(gateway, { user: "ann", sid: "tab-1.a_B", kind });
    const { session, time_ms, ...rest } = brought.authed;
    assert.deepEqual(rest, {
      tenant: "acme",
      user: "ann",
      sid: "tab-1.a_B",
      ping_interval_ms: 20000,
      max_frame_bytes: 4096,
    });
    assert.match(session, /^[0-9a-f]{16}$/);
    assert.ok(time_ms >= before - 1000 && time_ms <= Date.now() + 1000);
    assert.equal(brought.protocol, "");
    const longest = await Client.open(gateway, { sid: "x".repeat(64), kind });
    const [one, other] = [
      await Client.open(gateway, { user: "ann", kind }),
      await Client.open(gateway, { kind }),
    ];
    assert.match(one.authed.sid, /^[A-Za-z0-9._-]{1,64}$/);
    assert.notEqual(one.authed.sid, other.authed.sid);
    assert.notEqual(one.authed.session, session);
    for (const client of [brought, longest, one, other]) await client.close();
  });
}

test("a tenant at max_sessions_total refuses with 503, and takes the next one once a place is free", async () => {
  const first = await Client.open(gateway, { tenant: "small" });
  const second = await Client.open(gateway, { tenant: "small" });
  const { head, body } = await refused(gateway, target({ tenant: "small" }));
  assert.equal(head.status, 503);
  assert.equal(body.code, "RESOURCE_EXHAUSTED");
  assertRetry({ head, body }, 1000, 6000);
  const elsewhere = await Client.open(gateway, { tenant: "acme" });
  await second.close();
  const third = await Client.open(gateway, { tenant: "small" });
  for (const client of [first, third, elsewhere]) await client.close();
});

test("max_sessions_per_ip counts the address that a trusted proxy names, nearest stranger first", async () => {
  const enter = (forwarded: string) =>
    entered(gateway, target({ tenant: "homes" }), { "x-forwarded-for": forwarded });
  const refuse = async (forwarded: string) => {
    const { head, body } = await refused(gateway, target({ tenant: "homes" }), {
      "x-forwarded-for": forwarded,
    });
    assert.equal(head.status, 503, forwarded);
    assert.equal(body.code, "RESOURCE_EXHAUSTED");
    assert.match(body.msg, /address/);
  };
  const inside = [await enter("203.0.113.7"), await enter("203.0.113.7")];
  await refuse("203.0.113.7");
  // What a client wrote itself stands further left and is not believed.
  await refuse("198.51.100.1, 203.0.113.7");
  // Another proxy of ours in between, ports, spaces and the mapped form change nothing.
  await refuse("203.0.113.7, 127.0.0.1");
  await refuse(" ::ffff:203.0.113.7 ");
  await refuse("203.0.113.7:4711");
  inside.push(await enter("203.0.113.7, 198.51.100.1"));
  inside.push(await enter("2001:db8::1"), await enter("[2001:db8:0::1]:9"));
  await refuse("2001:DB8::0:1");
  for (const { client } of inside) client.destroy();
  await gateway.empty();
  const again = await enter("203.0.113.7");
  again.client.destroy();
});

test("without trusted proxies a forwarded address is not believed", async () => {
  await using plain = await GatewayProcess.start({
    tenants: [{ id: "acme", limits: { max_sessions_per_ip: 1 } }],
  });
  const { client } = await entered(plain, target(), { "x-forwarded-for": "203.0.113.7" });
  const { head } = await refused(plain, target(), { "x-forwarded-for": "198.51.100.1" });
  assert.equal(head.status, 503);
  client.destroy();
});

test("another header can carry the address", async () => {
  await using behind = await GatewayProcess.start({
    gateway: { trusted_proxies: ["127.0.0.0/8"], client_ip_header: "fly-client-ip" },
    tenants: [{ id: "acme", limits: { max_sessions_per_ip: 1 } }],
  });
  const named = (address: string) => ({ "fly-client-ip": address, "x-forwarded-for": "192.0.2.1" });
  const clients = [
    await entered(behind, target(), named("203.0.113.7")),
    await entered(behind, target(), named("203.0.113.8")),
  ];
  assert.equal((await refused(behind, target(), named("203.0.113.8"))).head.status, 503);
  for (const { client } of clients) client.destroy();
});

test("a gateway at max_connections refuses with 503, whichever tenant is asked for", async () => {
  await using full = await GatewayProcess.start({
    gateway: { max_connections: 2 },
    tenants: [{ id: "acme" }, { id: "other" }],
  });
  const clients = [await Client.open(full), await Client.open(full, { tenant: "other" })];
  for (const tenant of ["acme", "other"]) {
    const { head, body } = await refused(full, target({ tenant }));
    assert.equal(head.status, 503);
    assert.equal(body.code, "RESOURCE_EXHAUSTED");
    assertRetry({ head, body }, 1000, 6000);
  }
  await clients[0]!.close();
  const next = await Client.open(full, { tenant: "other" });
  await next.close();
  await clients[1]!.close();
});

/** What came of handshakes that arrive at once. */
async function burst(
  from: GatewayProcess,
  headersOf: (i: number) => Record<string, string>,
  count: number,
): Promise<{ inside: RawClient[]; turnedAway: Refused[] }> {
  const clients = await Promise.all(Array.from({ length: count }, () => RawClient.connect(from.port)));
  clients.forEach((client, i) => client.send(handshake(target(), headersOf(i))));
  const inside: RawClient[] = [], turnedAway: Refused[] = [];
  for (const client of clients) {
    const head = await client.head();
    if (head.status === 101) inside.push(client);
    else turnedAway.push({ head, body: JSON.parse(await client.body(head)) });
  }
  return { inside, turnedAway };
}

function assertLimited({ head, body }: Refused): void {
  assert.equal(head.status, 429);
  assert.equal(body.code, "RATE_LIMITED");
  assert.equal(body.msg, "too many handshakes");
  assertRetry({ head, body }, 1, 6000);
}

test("the handshake limiter counts each address by itself, and lets it in again after Retry-After", async () => {
  await using limited = await GatewayProcess.start({
    gateway: {
      trusted_proxies: ["127.0.0.1/32"],
      handshake_limit: {
        enabled: true,
        per_ip_rps: 1,
        per_ip_burst: 2,
        global_rps: 1000,
        global_burst: 1000,
      },
    },
    tenants: [{ id: "acme" }],
  });
  const of = (address: string) => ({ "x-forwarded-for": address });
  const { inside, turnedAway } = await burst(limited, (i) => of(`203.0.113.${i % 2}`), 10);
  assert.equal(inside.length, 4);
  turnedAway.forEach(assertLimited);
  const metrics = await limited.metrics();
  assert.equal(
    metrics.sum("wsprism_handshake_rejections_total", { tenant: "acme", reason: "address_rate" }),
    6,
  );
  assert.equal(metrics.sum("wsprism_handshake_limiter_entries"), 2);
  // A client that waits as long as it was told is let in.
  const wait = Math.max(...turnedAway.map(({ body }) => body.retry_after_ms as number));
  await new Promise((resolve) => setTimeout(resolve, wait));
  inside.push((await entered(limited, target(), of("203.0.113.0"))).client);
  for (const client of inside) client.destroy();
});

test("the handshake limiter counts all addresses together, and before anything else is looked at", async () => {
  await using limited = await GatewayProcess.start({
    gateway: {
      trusted_proxies: ["127.0.0.1/32"],
      handshake_limit: { enabled: true, per_ip_rps: 100, per_ip_burst: 100, global_rps: 1, global_burst: 3 },
    },
    tenants: [{ id: "acme" }],
  });
  const { inside, turnedAway } = await burst(limited, (i) => ({ "x-forwarded-for": `203.0.113.${i}` }), 8);
  assert.equal(inside.length, 3);
  turnedAway.forEach(assertLimited);
  assertLimited(await refused(limited, "/v1/ws?tenant=nobody"));
  const metrics = await limited.metrics();
  const reason = "global_rate";
  assert.equal(metrics.sum("wsprism_handshake_rejections_total", { tenant: "acme", reason }), 5);
  assert.equal(metrics.sum("wsprism_handshake_rejections_total", { tenant: "", reason }), 1);
  for (const client of inside) client.destroy();
});

test("an HTTP request that isn't a handshake has the same bounds, and is none of the handshakes", async () => {
  await using limited = await GatewayProcess.start({
    gateway: {
      handshake_limit: { enabled: true, per_ip_rps: 1, per_ip_burst: 1, global_rps: 1, global_burst: 1 },
    },
    tenants: [{ id: "acme" }],
  });
  assert.equal((await limited.get("/healthz")).status, 200);
  const { status, headers, body } = await limited.get("/healthz");
  assert.equal(status, 429);
  assert.equal(headers.get("retry-after"), "1");
  assert.equal(JSON.parse(body).code, "RATE_LIMITED");
  const client = await RawClient.open(limited.port, "/v1/ws?tenant=acme&ticket=dev:ann");
  client.destroy();
});

test("a handshake that comes a byte at a time is answered like any other", async () => {
  const client = await RawClient.connect(gateway.port);
  for (const byte of handshake(target({ user: "slow" }))) {
    client.send(byte);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal((await client.head()).status, 101);
  assert.equal(JSON.parse(await client.nextText()).data.user, "slow");
  client.destroy();
});

// Last, so that it sees what all tests before have made the gateway write.
test("the log names users and refusals at every level, and no ticket", async () => {
  await gateway.logged("session opened", (line) => line["user"] === "zür ich");
  await gateway.logged("handshake refused", (line) => line["reason"] === "bad_ticket");
  const log = gateway.logText;
  // The warning about --dev says what such a ticket looks like.
  const lines = gateway.lines.filter(({ message }) => !message.includes("accepts development tickets"));
  assert.deepEqual(lines.filter((line) => JSON.stringify(line).includes("dev:")), []);
  for (
    const ticket of [SECRET, base64url(SECRET), base64url("dev:quiet"), base64url("dev:offered"), "ticket="]
  ) {
    assert.ok(!log.includes(ticket), `the log tells ${ticket}`);
  }
  assert.ok(!gateway.stderr.includes(SECRET));
});

lastly(gateway);
