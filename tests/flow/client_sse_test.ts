// The client library over plain HTTP: chosen, or because the network breaks WebSockets.

import assert from "node:assert/strict";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { SECRET, ticket as sign } from "../admission/keys.ts";
import { cbor } from "../../clients/typescript/src/cbor.ts";
import { hotLane } from "../../clients/typescript/src/hot.ts";
import { Client, type ClientOptions, type Presence, webSocket } from "../../clients/typescript/src/mod.ts";
import { sse } from "../../clients/typescript/src/sse.ts";
import { within } from "../raw_client.ts";
import { sharedGateway, until } from "./gateway_process.ts";
import { recoverByLibrary } from "./recovery_by_library.ts";

const policy = {
  ext_allowlist: ["room:*", "chat:*"],
  hot_allowlist: ["2:*"],
  rate_limit_rps: 100_000,
  rate_limit_burst: 100_000,
};
const gateway = await sharedGateway({
  gateway: { ping_interval_ms: 5000, idle_timeout_ms: 15_000, drain_grace_ms: 0 },
  tenants: [
    { id: "acme", policy, hot_services: [{ id: 2, kind: "relay" }] },
    { id: "resumes", policy, resume: { window_ms: 30_000 }, hot_services: [{ id: 2, kind: "relay" }] },
    { id: "keeps", policy, rooms: [{ match: "*", history: { max_messages: 2000 } }] },
    {
      id: "signed",
      policy,
      auth: {
        mode: "jwt",
        jwt: { algorithms: ["HS256"], keys: [{ secret: SECRET }] },
        allow_query_ticket: false,
      },
    },
  ],
});

let users = 0;

function clientOf(more: Partial<ClientOptions> = {}, url?: string): Client {
  const backoff = { baseMs: 50, maxMs: 200 };
  const ticket = `dev:sse-${++users}`;
  const options = { tenant: "acme", ticket, hot: hotLane, backoff, transport: sse(), ...more };
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

/** A network that lets HTTP through and breaks every WebSocket's handshake. */
async function prudishNetwork(): Promise<{ origin: string; broken: () => number; close: () => void }> {
  const sockets = new Set<Socket>();
  let broken = 0;
  const server = createServer((client) => {
    const upstream = connect(gateway.port, "127.0.0.1");
    for (const [from, to] of [[client, upstream], [upstream, client]] as const) {
      sockets.add(from);
      from.on("error", () => {});
      from.on("close", () => {
        sockets.delete(from);
        to.destroy();
      });
    }
    client.on("data", (bytes: Uint8Array) => {
      if (!/\r\nupgrade: *websocket/i.test(new TextDecoder().decode(bytes))) {
        return void upstream.write(bytes);
      }
      broken++;
      client.end("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    });
    upstream.on("data", (bytes: Uint8Array) => client.write(bytes));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    broken: () => broken,
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

for (const [tenant, more] of [["acme", {}], ["resumes", {}], ["acme", { codec: cbor }]] as const) {
  test(`Rooms, acks, presence, requests and hot frames are as over WebSockets (${tenant}, ${JSON.stringify(more)})`, async () => {
    await using ann = clientOf({ tenant, ...more });
    await using bob = clientOf({ tenant, transport: webSocket() });
    const room = await ann.join<{ msg: { from: string; msg: string } }>("lobby", { presence: true });
    const came = once<[Presence]>("presence", (run) => room.on("presence", run));
    const theirs = await bob.join<{ msg: { msg: string } }>("lobby");
    assert.equal((await came)[0].event, "join");
    const heard = once<[{ msg: string }]>("bob's message", (run) => room.on("msg", run));
    await theirs.send("send", { msg: "grüße 🙂" });
    assert.equal((await heard)[0].msg, "grüße 🙂");
    const all: string[] = [];
    theirs.on("msg", ({ msg }) => msg !== "grüße 🙂" && all.push(msg));
    await Promise.all(Array.from({ length: 300 }, (_, i) => room.send("send", { msg: String(i) })));
    // Acks and messages come by different doors.
    await until("all of them", () => all.length >= 300 || null);
    assert.deepEqual(all, Array.from({ length: 300 }, (_, i) => String(i)));
    const there = once<[number, number, Uint8Array]>("the frame", (run) => bob.hot.on(2, run));
    const back = once<[number, number, Uint8Array]>("the frame", (run) => ann.hot.on(2, run));
    ann.hot.send(2, 7, Uint8Array.of(200, 1));
    assert.deepEqual([...(await there)[2]], [200, 1]);
    bob.hot.send(2, 8, Uint8Array.of(201));
    assert.deepEqual([...(await back)[2]], [201]);
    await assert.rejects(ann.send("nobody", "x"), { code: "NOT_ALLOWED" });
    const left = once<[Presence]>("presence", (run) => room.on("presence", run));
    await bob.dispose();
    assert.equal((await left)[0].event, "leave");
  });
}

test("Where WebSockets do not come through, the fallback is taken by itself", async () => {
  const network = await prudishNetwork();
  try {
    await using client = clientOf({ transport: webSocket(), fallback: sse() }, network.origin);
    const room = await client.join("blocked");
    const { transport } = client.session as unknown as { transport: string };
    assert.deepEqual([transport, network.broken()], ["sse", 2]);
    await room.send("send", { msg: "hello" });
  } finally {
    network.close();
  }
});

test("Why a ticket was refused is told, as no WebSocket can", async () => {
  await using client = clientOf({ tenant: "signed", ticket: "wrong" });
  client.connect().catch(() => {});
  const [reason] = await within(
    new Promise<[string]>((resolve) =>
      client.status.subscribe((status) => {
        if (status.state === "reconnecting" && status.at !== null) resolve([status.reason]);
      })
    ),
    "a refusal",
  );
  assert.match(reason, /^401 /);
  await using good = clientOf({
    tenant: "signed",
    ticket: () => sign({ sub: "ann", exp: Math.floor(Date.now() / 1000) + 60 }),
  });
  await good.connect();
  assert.equal(good.session?.user, "ann");
});

test("A goodbye ends the session at once, also one that could be resumed", async () => {
  await using ann = clientOf({ tenant: "resumes" });
  const room = await ann.join("goodbye", { presence: true });
  const bob = clientOf({ tenant: "resumes" });
  const came = once<[Presence]>("presence", (run) => room.on("presence", run));
  await bob.join("goodbye");
  await came;
  const left = once<[Presence]>("presence", (run) => room.on("presence", run));
  await bob.dispose();
  assert.equal((await left)[0].event, "leave");
});

for (const [tenant, seed] of [["resumes", 1], ["keeps", 2]] as const) {
  test(`However often the connection is cut, everything arrives once and in order (${tenant})`, async () => {
    const run = { origin: gateway.origin, tenant, seed, messages: 200, cuts: 20, sse: true };
    const { cuts } = await recoverByLibrary(run);
    assert.ok(cuts >= 20);
  });
}

test("at the end nobody is left, nothing was complained of, and the gateway stops with exit code 0", async () => {
  // Rooms with history stay for as long as that is kept.
  await gateway.metricsUntil(
    "sessions to be gone",
    (metrics) => metrics.sum("wsprism_ws_sessions_active") + metrics.sum("wsprism_sessions_detached") === 0,
  );
  await gateway.stop();
});
