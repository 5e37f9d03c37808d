// The client library against a real gateway: what an application does, on the runtime's own WebSocket and on `ws`.

import assert from "node:assert/strict";
import { test } from "node:test";
import { WebSocket as WsWebSocket } from "ws";
import { SECRET, ticket as sign } from "../admission/keys.ts";
import {
  Client,
  type ClientOptions,
  type Incoming,
  type Presence,
  webSocket,
  type WebSocketLike,
} from "../../clients/typescript/src/mod.ts";
import { cbor } from "../../clients/typescript/src/cbor.ts";
import { hotLane } from "../../clients/typescript/src/hot.ts";
import { within } from "../raw_client.ts";
import { lastly, sharedGateway } from "./gateway_process.ts";
import { TcpProxy } from "./tcp_proxy.ts";

const policy = { ext_allowlist: ["room:*", "chat:*"], hot_allowlist: ["1:*", "2:*", "3:*"] };
const gateway = await sharedGateway({
  gateway: { ping_interval_ms: 5000, idle_timeout_ms: 15000, drain_grace_ms: 500 },
  tenants: [
    {
      id: "acme",
      policy,
      services: [{ svc: "chat", builtin: "chat" }],
      hot_services: [{ id: 1, kind: "echo" }, { id: 2, kind: "relay" }, {
        id: 3,
        kind: "state",
        tick_ms: 20,
      }],
    },
    {
      id: "signed",
      policy,
      auth: {
        mode: "jwt",
        jwt: { algorithms: ["HS256"], keys: [{ secret: SECRET }], leeway_s: 0 },
        allow_query_ticket: false,
        expiry_warning_ms: 1500,
        failure_delay_ms: 50,
      },
    },
  ],
});

const KINDS: readonly [string, Partial<ClientOptions>][] = [
  ["the runtime's WebSocket", {}],
  ["ws", { transport: webSocket({ WebSocket: WsWebSocket as unknown as WebSocketLike }) }],
  ["CBOR", { codec: cbor }],
];

let users = 0;

function clientOf(more: Partial<ClientOptions> = {}, url?: string): Client {
  const backoff = { baseMs: 50, maxMs: 200 };
  const options = { tenant: "acme", ticket: `dev:client-${++users}`, hot: hotLane, backoff, ...more };
  return new Client(url ?? gateway.origin, options);
}

/** The next call of something that takes one function. */
function once<T extends readonly unknown[]>(
  what: string,
  on: (run: (...args: T) => void) => () => void,
): Promise<T> {
  return within(
    new Promise<T>((resolve) => {
      const off = on((...args) => {
        off();
        resolve(args);
      });
    }),
    what,
  );
}

function becomes(client: Client, state: string, deadlineMs?: number): Promise<unknown> {
  return within(
    new Promise<void>((resolve) => {
      const off = client.status.subscribe((status) => {
        if (status.state !== state) return;
        queueMicrotask(() => off());
        resolve();
      });
    }),
    `the state ${state}`,
    deadlineMs,
  );
}

for (const [name, more] of KINDS) {
  test(`Two clients join, chat and see each other come and go, by ${name}`, async () => {
    await using ann = clientOf({ ticket: "dev:ann", ...more });
    await using bob = clientOf({ ticket: "dev:bob", ...more });
    const room = await ann.join<{ msg: { from: string; msg: string } }>("lobby", { presence: true });
    const joined = once<[Presence]>("presence", (run) => room.on("presence", run));
    const theirs = await bob.join("lobby");
    assert.equal((await joined)[0].user, "bob");
    const heard = once<[object, Incoming]>("the message", (run) => room.on("msg", run));
    const receipt = await theirs.send("send", { msg: "grüße 🙂" });
    assert.equal(receipt.duplicate, false);
    const [data, message] = await heard;
    assert.deepEqual([data, message.svc, message.room], [{ from: "bob", msg: "grüße 🙂" }, "chat", "lobby"]);
    assert.deepEqual((await theirs.members()).map(({ user }) => user).sort(), ["ann", "bob"]);
    const left = once<[Presence]>("presence", (run) => room.on("presence", run));
    await theirs.leave();
    assert.equal((await left)[0].event, "leave");
    assert.deepEqual([...room.presence.get().values()].map(({ user }) => user), ["ann"]);
    await assert.rejects(theirs.send("send", { msg: "x" }), { code: "CLOSED" });
    await assert.rejects(ann.send("nobody", "x"), { code: "NOT_ALLOWED", ruleId: "allowlist" });
    await assert.rejects(ann.request("chat", "send", { msg: 1 }, { room: "lobby" }), { code: "BAD_REQUEST" });
  });

  test(`Hot frames arrive, by ${name}`, async () => {
    await using ann = clientOf(more);
    await using bob = clientOf(more);
    const room = await ann.join("hot");
    await bob.join("hot");
    const relayed = once<[number, number, Uint8Array]>("the frame", (run) => bob.hot.on(2, run));
    const kept = once<[number, number, Uint8Array]>("the state", (run) => bob.hot.on(3, run));
    const echoed = once<[Uint8Array]>("the echo", (run) => ann.hot.onBare(run));
    const payload = Uint8Array.of(200, 2, 3);
    ann.hot.send(2, 10, payload);
    ann.hot.send(3, 11, payload);
    ann.hot.send(1, 1, payload);
    payload.fill(0);
    for (const [got, opcode] of [[await relayed, 10], [await kept, 11]] as const) {
      assert.deepEqual([got[0], got[1], [...got[2]]], [opcode, room.member, [200, 2, 3]]);
    }
    assert.deepEqual([...(await echoed)[0]], [200, 2, 3]);
  });
}

test("A proxy that cuts: the client is back, in its rooms, and says what may have been missed", async () => {
  await using proxy = await TcpProxy.to(gateway.port);
  await using client = clientOf({}, proxy.origin);
  const room = await client.join("cut");
  const gap = once<[{ reason: string }]>("the gap", (run) => room.on("gap", run));
  const { sid, session } = client.session!;
  proxy.cut();
  assert.equal((await gap)[0].reason, "no_history");
  assert.deepEqual([room.recovered, client.session!.sid, client.session!.session === session], [
    false,
    sid,
    false,
  ]);
  await room.send("send", { msg: "back" });
});

test("A proxy that swallows: the connection is found dead within a ping interval", async () => {
  await using proxy = await TcpProxy.to(gateway.port);
  await using client = clientOf({}, proxy.origin);
  await client.join("swallowed");
  proxy.swallow();
  const since = performance.now();
  await becomes(client, "reconnecting", 9000);
  // The interval is five seconds; timers of a busy machine are late.
  assert.ok(performance.now() - since < 8000);
  await becomes(client, "connected");
});

test("A proxy that delays: nothing is lost, nothing is taken for dead", async () => {
  await using proxy = await TcpProxy.to(gateway.port, { delayMs: 200 });
  await using client = clientOf({}, proxy.origin);
  const room = await client.join("slow");
  const states: string[] = [];
  client.status.subscribe(({ state }) => states.push(state));
  for (let i = 0; i < 8; i++) await room.send("send", { msg: String(i) });
  assert.deepEqual(states, ["connected"]);
});

test("A ticket is renewed before it expires, and a fixed one ends the client with a remedy", async () => {
  const nowS = () => Math.floor(Date.now() / 1000);
  let tickets = 0;
  const fresh = () => sign({ sub: "ann", exp: nowS() + 2 + 60 * tickets++ });
  await using renewed = clientOf({ tenant: "signed", ticket: fresh });
  await using fixed = clientOf({ tenant: "signed", ticket: await sign({ sub: "bob", exp: nowS() + 2 }) });
  await renewed.connect();
  await fixed.connect();
  const again = once<[{ expires_in_ms: number }]>("the renewal", (run) => renewed.on("sys", "authed", run));
  assert.ok((await again)[0].expires_in_ms > 30_000);
  await becomes(fixed, "closed");
  const status = fixed.status.get();
  assert.ok(
    status.state === "closed" && status.code === 4004 && status.remedy !== "",
    JSON.stringify(status),
  );
  assert.equal(renewed.status.get().state, "connected");
});

test("A bad ticket is tried again, later and later, and the status says what to look at", async () => {
  await using client = clientOf({ tenant: "signed", ticket: "wrong" });
  const up = client.connect();
  up.catch(() => {});
  await becomes(client, "reconnecting");
  const status = client.status.get();
  assert.match(status.state === "reconnecting" ? status.remedy : "", /ticket/);
});

test("The same sid: the older client is closed, and does not fight for it", async () => {
  await using older = clientOf({ ticket: "dev:same", sid: "tab" });
  await older.connect();
  await using newer = clientOf({ ticket: "dev:same", sid: "tab" });
  await newer.connect();
  await becomes(older, "closed");
  const status = older.status.get();
  assert.deepEqual([status.state === "closed" && status.code, newer.status.get().state], [4502, "connected"]);
});

test("A message larger than allowed is refused by the client, and the session lives on", async () => {
  await using client = clientOf();
  const room = await client.join("large");
  await assert.rejects(room.send("send", { msg: "x".repeat(client.session!.max_frame_bytes) }), {
    code: "PAYLOAD_TOO_LARGE",
  });
  await room.send("send", { msg: "small" });
});

lastly(gateway);
