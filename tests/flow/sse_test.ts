// Streams of events as their users have them: `curl`, pages, readers that stall, and messages that come twice.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { within } from "../raw_client.ts";
import { type HttpAnswer, Requests, SseClient, type StreamAsked } from "../sse_client.ts";
import { fuzzPosts } from "./sse_fuzz.ts";
import { Client, hot } from "./client.ts";
import { GatewayProcess, lastly, sharedGateway, until } from "./gateway_process.ts";

const PAGE = "https://app.example";
const policy = {
  ext_allowlist: ["room:*", "chat:*"],
  hot_allowlist: ["1:*"],
  rate_limit_rps: 100_000,
  rate_limit_burst: 100_000,
  rules: [{ id: "no-sse-shouts", match: { transport: "sse", service: "chat:send", room: "quiet" } }],
};
const tenants = [
  { id: "acme", policy, resume: { window_ms: 30_000 }, origins: [PAGE] },
  { id: "open", policy, origins: ["*"] },
  {
    id: "late",
    policy,
    auth: {
      mode: "static",
      first_message: true,
      static: { tickets: [{ ticket: "secret-ticket-1", user: "ann" }] },
    },
  },
];
const gateway = await sharedGateway({
  gateway: {
    drain_grace_ms: 0,
    ping_interval_ms: 5000,
    auth_timeout_ms: 2000,
    handshake_limit: { per_ip_rps: 1000, per_ip_burst: 1000, global_rps: 1000, global_burst: 1000 },
  },
  tenants,
});

const open = (user: string, { query, headers }: StreamAsked = {}) =>
  SseClient.open(gateway.peer, {
    query: { tenant: "acme", ticket: `dev:${user}`, ...query },
    ...(headers === undefined ? {} : { headers }),
  });

async function refused(
  query: Record<string, string>,
  headers: Record<string, string> = {},
): Promise<HttpAnswer> {
  const answer = await SseClient.ask(gateway.peer, { query, headers });
  if (answer instanceof SseClient) assert.fail(`${JSON.stringify(query)} got a stream`);
  assert.equal(answer.headers.get("content-type"), "application/json");
  return answer;
}

const chat = (room: string, msg: string, more: object = {}) => ({
  svc: "chat",
  type: "send",
  room,
  data: { msg },
  ...more,
});

async function joined(client: SseClient, room: string): Promise<void> {
  await client.message("sys.authed");
  assert.equal((await client.say({ svc: "room", type: "join", room })).status, 202);
  await client.message("sys.joined");
}

test("a client on a stream and one on a WebSocket are in one room", async () => {
  const ann = await open("ann", { query: { hot: "1" } });
  assert.match(ann.headers.get("content-type")!, /^text\/event-stream/);
  const authed = await ann.message("sys.authed");
  assert.equal(authed.data.transport, "sse");
  assert.equal((await ann.say({ svc: "room", type: "join", room: "r" })).status, 202);
  await ann.message("sys.joined");
  const bob = await Client.open(gateway, { user: "bob" });
  await bob.join("r");
  assert.deepEqual(JSON.parse((await ann.say(chat("r", "hello"))).body), { taken: 1 });
  assert.deepEqual((await bob.next("chat.msg")).data, { from: "ann", msg: "hello" });
  assert.deepEqual((await ann.message("chat.msg")).data, { from: "ann", msg: "hello" });
  // Line breaks that a client has put between its tokens.
  bob.send('{"v":1,"svc":"chat","type":"send","room":"r",\r\n "data":{\n"msg":\n"line\\nbreaks"}}');
  assert.equal((await ann.message("chat.msg")).data.msg, "line\nbreaks");
  assert.equal((await bob.next("chat.msg")).data.msg, "line\nbreaks");
  await ann.say(chat("quiet", "hush", { seq: 7 }));
  const denied = await ann.message("sys.error");
  assert.deepEqual([denied.seq, denied.data.rule_id], [7, "no-sse-shouts"]);
  bob.binary(hot(1, 1, { payload: [1, 2] }));
  assert.deepEqual([...await bob.nextBytes()], [1, 2]);
  assert.deepEqual([...Buffer.from((await ann.next("hot")).data, "base64")], [1, 2]);
  assert.equal(
    (await ann.say(hot(1, 1, { payload: [7, 8, 9] }), { "content-type": "application/octet-stream" })).status,
    202,
  );
  assert.deepEqual([...Buffer.from((await ann.next("hot")).data, "base64")], [7, 8, 9]);
  assert.deepEqual([...await bob.nextBytes()], [7, 8, 9]);
  await gateway.metricsUntil(
    "one connection by each transport",
    (metrics) =>
      metrics.sum("wsprism_connections", { tenant: "acme", transport: "sse" }) === 1 &&
      metrics.sum("wsprism_connections", { tenant: "acme", transport: "websocket" }) === 1,
  );
  assert.equal((await ann.goodbye()).status, 204);
  await within(ann.ended, "the stream's end");
  const gone = await ann.say(chat("r", "x"));
  assert.deepEqual([gone.status, JSON.parse(gone.body).resume], [410, false]);
  ann.drop();
  await bob.close();
});

test("without hot=1 no hot frame comes, and what follows does", async () => {
  const ann = await open("ann");
  await joined(ann, "cold");
  await ann.say(hot(1, 1, { payload: [1] }), { "content-type": "application/octet-stream" });
  await ann.say({ svc: "sys", type: "ping" });
  await ann.message("sys.pong");
  await ann.goodbye();
  ann.drop();
});

test("what is no handshake is refused as at any door, with a body that says why", async () => {
  const cases: [Record<string, string>, Record<string, string>, number, string][] = [
    [{}, {}, 400, "BAD_REQUEST"],
    [{ tenant: "nobody", ticket: "dev" }, {}, 400, "BAD_REQUEST"],
    [{ tenant: "acme" }, {}, 401, "AUTH_FAILED"],
    [{ tenant: "acme", ticket: "bad" }, {}, 401, "AUTH_FAILED"],
    [{ tenant: "acme", ticket: "dev", sid: "a b" }, {}, 400, "BAD_REQUEST"],
    [{ tenant: "acme", ticket: "dev", hot: "yes" }, {}, 400, "BAD_REQUEST"],
    [{ tenant: "acme", ticket: "dev", resume: "x" }, {}, 400, "BAD_REQUEST"],
    [{ tenant: "acme", ticket: "dev" }, { origin: "https://evil.example" }, 403, "NOT_ALLOWED"],
    [{ tenant: "acme" }, { "last-event-id": "0123456789abcdef.4" }, 401, "AUTH_FAILED"],
  ];
  for (const [query, headers, status, code] of cases) {
    const answer = await refused(query, headers);
    assert.deepEqual([answer.status, JSON.parse(answer.body).code], [status, code], JSON.stringify(query));
  }
  const requests = new Requests(gateway.peer);
  assert.equal((await requests.send("POST", "/v1/sse?tenant=acme&ticket=dev", { body: "" })).status, 405);
  requests.end();
});

test("pages may connect that origins names, and read what they are answered", async () => {
  const requests = new Requests(gateway.peer);
  const asks = (origin: string, method: string) => ({
    headers: {
      origin,
      "access-control-request-method": method,
      "access-control-request-headers": "authorization",
    },
  });
  const page = { origin: PAGE };
  const stream = "/v1/sse?tenant=acme";
  const may = await requests.send("OPTIONS", stream, asks(PAGE, "GET"));
  assert.equal(may.status, 204);
  assert.equal(may.headers.get("access-control-allow-origin"), PAGE);
  const mayNot = await requests.send("OPTIONS", stream, asks("https://evil.example", "GET"));
  assert.equal(mayNot.headers.has("access-control-allow-origin"), false);
  // A refusal can be read as well.
  const denied = await refused({ tenant: "acme", ticket: "bad" }, page);
  assert.equal(denied.headers.get("access-control-allow-origin"), PAGE);

  const ann = await open("ann", { headers: page });
  assert.equal(ann.headers.get("access-control-allow-origin"), PAGE);
  assert.equal(ann.headers.get("access-control-allow-credentials"), "true");
  assert.match(ann.headers.get("vary")!, /origin/i);
  const post = await requests.send("OPTIONS", ann.post, asks(PAGE, "POST"));
  assert.match(post.headers.get("access-control-allow-methods")!, /POST/);
  assert.match(post.headers.get("access-control-allow-headers")!, /authorization/);
  assert.equal(
    (await requests.send("OPTIONS", ann.post, asks("https://evil.example", "POST"))).headers.has(
      "access-control-allow-origin",
    ),
    false,
  );
  assert.equal((await ann.say({ svc: "sys", type: "ping" }, { origin: "https://evil.example" })).status, 403);
  const taken = await ann.say({ svc: "sys", type: "ping" }, page);
  assert.deepEqual([taken.status, taken.headers.get("access-control-allow-origin")], [202, PAGE]);
  ann.socket.destroy();
  const gone = await until("the stream's end", async () => {
    const answer = await ann.say({ svc: "sys", type: "ping" }, page);
    return answer.status === 202 ? null : answer;
  });
  assert.deepEqual([gone.status, gone.headers.get("access-control-allow-origin")], [410, PAGE]);
  assert.equal(JSON.parse(gone.body).resume, false, "it did not ask for it");

  const any = await open("bob", { query: { tenant: "open" }, headers: { origin: "https://any.example" } });
  assert.equal(any.headers.get("access-control-allow-origin"), "*");
  assert.equal(any.headers.has("access-control-allow-credentials"), false);
  for (const client of [any, ann]) client.drop();
  requests.end();
});

test("a POST needs its stream's key, and one that cannot be read is refused whole and ends nothing", async () => {
  const [ann, bob] = [await open("ann"), await open("bob")];
  await joined(ann, "strict");
  const requests = new Requests(gateway.peer);
  const body = JSON.stringify({ v: 1, ...chat("strict", "x") });
  const status = async (headers: Record<string, string>, path = ann.post) =>
    (await requests.send("POST", path, { headers, body })).status;
  assert.equal(await status({}), 401);
  assert.equal(await status({ authorization: `Bearer ${bob.key}` }), 401);
  assert.equal(await status({ authorization: `Bearer ${ann.key}` }, `${ann.post}x`), 404);
  assert.equal(await status({ authorization: `Bearer ${ann.key}` }, "/v1/sse/"), 404);
  assert.equal((await requests.send("PUT", ann.post, { body })).status, 405);
  const cases: [string | Uint8Array, number][] = [
    ["", 400],
    ["{", 400],
    ["[]", 400],
    [`${body}\n{"v":1`, 400],
    [Uint8Array.of(0x7b, 0xff, 0x7d), 400],
    ["x".repeat(200_000), 413],
    [`${JSON.stringify({ v: 1, svc: "sys", type: "ping" })}\n`.repeat(1001), 413],
  ];
  for (const [bytes, expected] of cases) {
    const answer = await ann.say(bytes);
    assert.equal(answer.status, expected, String(bytes).slice(0, 80));
    assert.equal(typeof JSON.parse(answer.body).msg, "string");
  }
  await ann.say(chat("strict", "whole"));
  assert.equal((await ann.message("chat.msg")).data.msg, "whole");
  for (const client of [ann, bob]) client.drop();
  requests.end();
});

test("messages are taken in the order in which they came, several at a time too, and those with a key once", async () => {
  const ann = await open("ann");
  await joined(ann, "order");
  const lines = [0, 1, 2].map((i) =>
    JSON.stringify({ v: 1, ...chat("order", `${i}`, { key: `k${i}`, seq: i }) })
  );
  assert.deepEqual(JSON.parse((await ann.say(lines.join("\n"))).body), { taken: 3 });
  // The answer was lost, say: the same again, and one more.
  const again = await ann.say([...lines, JSON.stringify({ v: 1, ...chat("order", "3") })].join("\r\n"), {
    "content-type": "application/x-ndjson",
  });
  assert.deepEqual(JSON.parse(again.body), { taken: 1, duplicates: 3 });
  for (const msg of ["0", "1", "2", "3"]) assert.equal((await ann.message("chat.msg")).data.msg, msg);
  // A message on more lines than one.
  assert.equal((await ann.say(JSON.stringify({ v: 1, ...chat("order", "pretty") }, null, 2))).status, 202);
  assert.equal((await ann.message("chat.msg")).data.msg, "pretty");
  // What was refused can be said again.
  const refusedOnce = chat("quiet", "x", { key: "again", seq: 9 });
  for (let i = 0; i < 2; i++) {
    assert.deepEqual(JSON.parse((await ann.say(refusedOnce)).body), { taken: 1 });
    assert.equal((await ann.message("sys.error")).seq, 9);
  }
  ann.drop();
});

test("what comes back with Last-Event-ID goes on where it was", async () => {
  const ann = await open("ann", { query: { resume: "1" } });
  await joined(ann, "back");
  await ann.say(chat("back", "heard"));
  await ann.message("chat.msg");
  assert.match(ann.lastEventId, /^[A-Za-z0-9_-]+\.2$/);
  const bob = await Client.open(gateway, { user: "bob" });
  await bob.join("back", { presence: false });
  ann.socket.destroy();
  const gone = await until("the loss to be seen", async () => {
    const answer = await ann.say({ svc: "sys", type: "ack" });
    return answer.status === 410 ? answer : null;
  });
  assert.equal(JSON.parse(gone.body).resume, true);
  bob.send({ svc: "chat", type: "send", room: "back", data: { msg: "missed" } });
  await bob.next("chat.msg");
  // As a browser does: the same address, the ticket in it.
  const back = await open("ann", { query: { resume: "1" }, headers: { "last-event-id": ann.lastEventId } });
  const resumed = await back.message("sys.resumed");
  assert.equal(resumed.data.replay, 1);
  assert.equal((await back.message("chat.msg")).data.msg, "missed");
  assert.match(back.lastEventId, /\.3$/);
  assert.equal((await back.goodbye()).status, 204);
  const late = await open("ann", { query: { resume: "1" }, headers: { "last-event-id": back.lastEventId } });
  assert.deepEqual((await late.message("sys.authed")).data.resumed, { ok: false, reason: "ended" });
  for (const client of [ann, back, late]) client.drop();
  await bob.close();
});

test("a ticket may come as the first message", async () => {
  const late = await SseClient.open(gateway.peer, { query: { tenant: "late" } });
  await late.say({ svc: "sys", type: "auth", data: { ticket: "secret-ticket-1" } });
  assert.equal((await late.message("sys.authed")).data.user, "ann");
  const never = await SseClient.open(gateway.peer, { query: { tenant: "late" } });
  await never.message("sys.error");
  assert.equal(JSON.parse((await never.next("close")).data).code, 4500);
  await within(never.ended, "the stream's end");
  for (const client of [late, never]) client.drop();
});

test("a stream lives through silence: heartbeats keep it, and no runtime ends it", async () => {
  const ann = await open("ann");
  await ann.message("sys.authed");
  await until("a heartbeat", () => ann.comments >= 3 || null, 30_000);
  await ann.say({ svc: "sys", type: "ping" });
  await ann.message("sys.pong");
  ann.drop();
});

test("a reader that stalls is a slow consumer, whom the others do not wait for", async () => {
  await using own = await GatewayProcess.start({
    gateway: { drain_grace_ms: 0 },
    tenants: [{
      id: "acme",
      policy,
      limits: { max_frame_bytes: 65_536 },
      delivery: { reliable: { max_bytes: 65_536 } },
    }],
  });
  const ask = (user: string) =>
    SseClient.open(own.peer, { query: { tenant: "acme", ticket: `dev:${user}` } });
  const [slow, fast] = [await ask("slow"), await ask("fast")];
  for (const client of [slow, fast]) await joined(client, "r");
  slow.socket.pause();
  let over = false;
  void own.logged("session too slow").then(() => over = true);
  for (let i = 0; !over && i < 1000; i++) {
    assert.equal((await fast.say(chat("r", "x".repeat(60_000)))).status, 202);
    await fast.message("chat.msg");
  }
  assert.ok(over);
  const gone = await slow.say(chat("r", "x"));
  assert.deepEqual([gone.status, JSON.parse(gone.body).resume], [410, false]);
  own.signal("SIGTERM");
  await fast.message("sys.draining");
  assert.equal(JSON.parse((await fast.next("close")).data).code, 1001);
  await within(fast.ended, "the stream's end");
  assert.equal(await within(own.exited, "the gateway's end"), 0);
  own.assertNoComplaint();
  for (const client of [slow, fast]) client.drop();
});

test("2,000 mutated POSTs are answered, and end nothing but what they should", async () => {
  await fuzzPosts(gateway, 2_000);
});

lastly(gateway);
