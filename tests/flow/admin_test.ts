// The admin API of a gateway process: on its own listener, over real sockets, seen by real clients.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { RawClient, statusOf, within } from "../raw_client.ts";
import { Admin, adminConfig } from "./admin_client.ts";
import { Client, target } from "./client.ts";
import { GatewayProcess, sharedGateway, until } from "./gateway_process.ts";

const EVERYTHING = ["read", "publish", "disconnect", "reload"];
const config = {
  gateway: { drain_grace_ms: 0 },
  admin: adminConfig({
    root: { tenants: ["*"], permissions: EVERYTHING },
    acme: { tenants: ["acme"], permissions: EVERYTHING },
  }),
  tenants: [
    { id: "acme", policy: { ext_allowlist: ["room:*"], sessions: { max_sessions_per_user: 100_000 } } },
    { id: "other", policy: { ext_allowlist: ["room:*"] } },
  ],
};
const gateway = await sharedGateway(config);
const root = await Admin.of(gateway, "root");
const acme = await Admin.of(gateway, "acme");
const ACME = "/v1/tenants/acme";

test("the API is on its own listener, and on no other, metrics included", async () => {
  assert.notEqual(root.port, gateway.port);
  assert.equal((await root.ask("GET", "/v1/tenants")).status, 200);
  for (const path of ["/v1/tenants", "/v1/openapi.json", "/metrics"]) {
    assert.equal((await gateway.get(path)).status, 404, path);
  }
  assert.match((await root.ask("GET", "/metrics")).text, /^wsprism_ws_sessions_active\{tenant="other"\} 0$/m);
  for (const path of ["/healthz", "/readyz", "/v1/openapi.json"]) {
    assert.equal(
      (await fetch(`${root.origin}${path}`).then((answer) => answer.text().then(() => answer))).status,
      200,
    );
  }
  const socket = await RawClient.connect(root.port);
  assert.equal((await socket.upgrade(target())).status, 404, "and no WebSocket is served there");
  socket.destroy();
});

test("a key opens what it is good for, and nothing else", async () => {
  assert.deepEqual((await acme.good("GET", "/v1/tenants")).tenants.map(({ id }: { id: string }) => id), [
    "acme",
  ]);
  for (const path of ["/v1/tenants/other/stats", "/v1/config", "/metrics"]) {
    assert.equal((await acme.ask("GET", path)).status, 403, path);
  }
  assert.equal((await new Admin(root.port, "x".repeat(40)).ask("GET", "/v1/tenants")).status, 401);
  assert.ok(!gateway.logText.includes("secret-0123456789"));
});

test("a message reaches clients of either form and lane, and only those it is for", async () => {
  const [ann, bob, eve] = [
    await Client.open(gateway, { user: "ann" }),
    await Client.open(gateway, { user: "bob", cbor: true }),
    await Client.open(gateway, { user: "eve", tenant: "other" }),
  ];
  await ann.join("a room/ä");
  await bob.join("a room/ä");
  const data = { text: "grüß", n: 1.5, list: [null, true] };
  const message = { svc: "orders", type: "news", data };
  assert.deepEqual(await acme.good("POST", `${ACME}/publish`, { to: { rooms: ["a room/ä"] }, ...message }), {
    deliveries: 2,
  });
  for (const client of [ann, bob]) {
    const news = await client.next("orders.news");
    assert.deepEqual([news.room, news.data], ["a room/ä", data]);
  }
  const payload = Buffer.from([0, 255, 7]).toString("base64");
  const hot = { to: { users: ["bob"] }, hot: { svc_id: 9, opcode: 1, payload } };
  assert.deepEqual(await acme.good("POST", `${ACME}/publish`, hot), { deliveries: 1 });
  assert.deepEqual([...await bob.nextBytes()], [1, 9, 1, 0, 0, 255, 7]);
  assert.deepEqual(await acme.good("POST", `${ACME}/publish`, { to: { all: true }, ...message }), {
    deliveries: 2,
  });
  await ann.next("orders.news");
  await bob.next("orders.news");
  for (const client of [ann, bob, eve]) await client.hearsNothing();
  for (const client of [ann, bob, eve]) await client.close();
});

test("a session is found, moved between rooms, and ended", async () => {
  const ann = await Client.open(gateway, { user: "ann/1", sid: "tab" });
  const { session } = ann.authed;
  const [found] = (await acme.good("GET", `${ACME}/sessions?user=ann%2F1`)).sessions;
  assert.deepEqual([found.session, found.sid, found.address], [session, "tab", "127.0.0.1"]);
  assert.ok(Math.abs(found.connected_at_ms - Date.now()) < 60_000);
  await acme.good("PUT", `${ACME}/rooms/vip%20%2F/members/${session}`);
  assert.equal((await ann.next("sys.joined")).room, "vip /");
  const { members } = await acme.good("GET", `${ACME}/rooms/vip%20%2F/members`);
  assert.deepEqual(members, [{ session, user: "ann/1", member: 1 }]);
  await acme.good("DELETE", `${ACME}/rooms/vip%20%2F`);
  assert.equal((await ann.next("sys.left")).room, "vip /");
  await acme.good("DELETE", `${ACME}/sessions/${session}?reason=bye`);
  assert.deepEqual((await ann.next("sys.kicked")).data, { reason: "bye" });
  await ann.ended(4501);
  assert.equal((await acme.ask("GET", `${ACME}/sessions/${session}`)).status, 404);
});

test("a banned user is out, and in again when the ban is taken back", async () => {
  const mallory = await Client.open(gateway, { user: "mallory" });
  await acme.good("POST", `${ACME}/users/mallory/ban`, { for_ms: 3_600_000 });
  await mallory.next("sys.kicked");
  await mallory.ended(4504);
  const knock = async () => {
    const client = await RawClient.connect(gateway.port);
    const { status } = await client.upgrade(target({ user: "mallory" }));
    client.destroy();
    return status;
  };
  assert.equal(await knock(), 403);
  await acme.good("DELETE", `${ACME}/users/mallory/ban`);
  assert.equal(await knock(), 101);
});

test("heads and bodies are bounded, and what is no HTTP is refused", async () => {
  const raw = async (text: string) => await statusOf(root.port, text);
  const head = `POST ${ACME}/publish HTTP/1.1\r\nhost: x\r\nauthorization: ${root.authorization}\r\n`;
  const json = "content-type: application/json\r\n";
  assert.equal(await raw(`GET /healthz HTTP/1.1\r\nhost: x\r\nx: ${"y".repeat(20_000)}\r\n\r\n`), 431);
  assert.equal(await raw(`${head}${json}content-length: 2000000\r\n\r\n`), 413);
  const chunk = `10000\r\n${"x".repeat(65_536)}\r\n`;
  assert.equal(await raw(`${head}${json}transfer-encoding: chunked\r\n\r\n${chunk.repeat(17)}`), 413);
  assert.equal(await raw(`${head}${json}content-length: 1\r\n\r\n{`), 400);
  assert.equal(await raw("nonsense\r\n\r\n"), 400);
  assert.equal((await root.ask("GET", "/healthz")).status, 200);
});

test("thousands of sessions are listed whole, spoken to and ended, each once", async () => {
  const COUNT = 2000, ROOM = "everybody";
  const clients: RawClient[] = [];
  for (let from = 0; from < COUNT; from += 100) {
    clients.push(
      ...await Promise.all(Array.from({ length: 100 }, async (_, i) => {
        const client = await RawClient.open(gateway.port, target({ user: `many-${(from + i) % 500}` }));
        client.text(JSON.stringify({ v: 1, svc: "room", type: "join", room: ROOM }));
        for (;;) if ((await client.nextText()).includes('"joined"')) return client;
      })),
    );
  }
  assert.equal((await acme.good("GET", `${ACME}/stats`)).sessions, COUNT);
  const ids = (items: readonly Record<string, unknown>[]) => items.map(({ session }) => session as string);
  const listed = ids(await acme.all(`${ACME}/sessions`, "sessions", 300));
  assert.deepEqual([listed.length, new Set(listed).size], [COUNT, COUNT]);
  assert.deepEqual(ids(await acme.all(`${ACME}/rooms/${ROOM}/members`, "members", 700)).toSorted(), listed);
  assert.equal((await acme.good("GET", `${ACME}/sessions?user=many-7`)).sessions.length, COUNT / 500);
  const messages = [0, 1, 2].map((n) => ({
    to: n === 1 ? { rooms: [ROOM] } : { all: true },
    svc: "a",
    type: `m${n}`,
  }));
  const { deliveries } = await acme.good("POST", `${ACME}/publish`, { messages });
  assert.equal(deliveries, 3 * COUNT);
  await Promise.all(clients.map(async (client) => {
    for (const n of [0, 1, 2]) assert.equal(JSON.parse(await client.nextText()).type, `m${n}`);
  }));
  assert.equal((await acme.good("DELETE", `${ACME}/rooms/${ROOM}`)).removed, COUNT);
  await Promise.all(clients.map(async (client) => assert.match(await client.nextText(), /"left"/)));
  await acme.good("POST", `${ACME}/suspend`);
  await Promise.all(clients.map(async (client) => {
    assert.equal((await client.nextClose()).code, 4509);
    client.destroy();
  }));
  assert.equal((await acme.good("POST", `${ACME}/resume`)).suspended, false);
  assert.equal((await acme.good("GET", `${ACME}/stats`)).sessions, 0);
});

test("a reload by the API changes its keys, and the former secret opens nothing any more", async () => {
  await using own = await GatewayProcess.start(config, { mayComplain: true });
  const admin = await Admin.of(own, "root");
  assert.equal((await admin.good("POST", "/v1/reload")).outcome, "unchanged");
  const text = JSON.stringify({
    version: 1,
    ...config,
    gateway: { listen: "127.0.0.1:0", drain_grace_ms: 0 },
  });
  own.rewrite(text.replaceAll("root-secret", "next-secret"));
  assert.equal((await admin.good("POST", "/v1/reload")).outcome, "applied");
  assert.equal((await admin.ask("GET", "/v1/tenants")).status, 401);
  const next = new Admin(admin.port, "next-secret-0123456789-0123456789");
  assert.equal((await next.ask("GET", "/v1/tenants")).status, 200);
  own.rewrite("version: 2");
  const refused = await next.ask("POST", "/v1/reload");
  assert.equal(refused.status, 409);
  assert.ok(refused.body.failures.length > 0, refused.text);
  assert.equal((await next.ask("GET", "/v1/tenants")).status, 200);
});

test("while the gateway drains the API is still there, and afterwards it is gone", async () => {
  await using own = await GatewayProcess.start({ ...config, gateway: { drain_grace_ms: 60_000 } });
  const admin = await Admin.of(own, "root");
  const client = await Client.open(own, { user: "ann" });
  own.signal("SIGTERM");
  await client.next("sys.draining");
  assert.equal((await admin.ask("GET", "/readyz")).status, 503);
  const [{ session }] = (await admin.good("GET", `${ACME}/sessions`)).sessions;
  await admin.good("DELETE", `${ACME}/sessions/${session}`);
  await client.next("sys.kicked");
  await client.ended(4501);
  assert.equal(await within(own.exited, "the gateway's end"), 0);
  own.assertNoComplaint();
  await assert.rejects(fetch(`${admin.origin}/healthz`));
});

test("at the end nobody is left, every write is in the log, and the gateway stops with exit code 0", async () => {
  await until("all sessions to be gone", async () => {
    const { tenants } = await root.good("GET", "/v1/tenants");
    return tenants.every(({ sessions, rooms }: Record<string, number>) => sessions! + rooms! === 0) || null;
  });
  const writes = gateway.lines.filter(({ message }) => message === "admin request");
  assert.ok(
    writes.some(({ key, method, path, status }) =>
      key === "acme" && method === "POST" && path === `${ACME}/suspend` && status === 200
    ),
  );
  assert.ok(writes.every(({ method }) => method !== "GET"));
  await gateway.stop();
});
