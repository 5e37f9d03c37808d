// The gateway and its tenants by the admin API: numbers, configuration, reload, suspension.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { LoadResult } from "../../../src/config/load.ts";
import { accepted, refused } from "../../config/loading.ts";
import { houseText, OPEN_POLICY } from "../../session/house.ts";
import { ADMIN, type AdminHouse, open, told } from "./admin_house.ts";

/** What the next reload finds. */
function rewrite(house: AdminHouse, options: Parameters<typeof houseText>[0]): void {
  const { config, warnings } = accepted(houseText({ tenant: [OPEN_POLICY], admin: ADMIN, ...options }));
  house.next = () => Promise.resolve({ ok: true, config, warnings } as LoadResult);
}

test("A key sees the tenants that it is good for, with their numbers", async () => {
  const house = await open();
  house.enterAs("ann").client.join("a");
  house.enterAs("ann");
  const acme = { id: "acme", suspended: false, sessions: 2, users: 1, rooms: 1 };
  const other = { id: "other", suspended: false, sessions: 0, users: 0, rooms: 0 };
  assert.deepEqual((await house.get("/v1/tenants")).body, { tenants: [acme, other] });
  assert.deepEqual((await house.get("/v1/tenants", { key: "reader" })).body, { tenants: [acme] });
  const { body } = await house.get("/v1/tenants/acme/stats");
  const { in: inbound, out, ...rest } = body;
  assert.deepEqual(rest, { ...acme, pending: 0, dropped: 0, denied: 0 });
  assert.equal(inbound.ext.messages, 1);
  assert.equal(out.control.messages, 3, "two greetings and a join");
});

test("Metrics are served to who may see all, a tenant's own to its keys, and no longer to the public", async () => {
  const house = await open();
  const { text, headers } = await house.get("/metrics");
  assert.match(text, /wsprism_ws_sessions_active\{tenant="other"\} 0/);
  assert.match(headers.get("content-type")!, /^text\/plain; version=0\.0\.4/);
  const own = await house.get("/v1/tenants/acme/metrics", { key: "reader" });
  assert.match(own.text, /wsprism_ws_sessions_active\{tenant="acme"\} 0/);
  assert.ok(!own.text.includes("other") && !own.text.includes("process_"));
  const open_ = await house.transport.door!.request(new Request("http://gateway/metrics"), "192.0.2.1");
  assert.equal(open_.status, 404);
});

test("The configuration is shown with its defaults, and with no secret in it", async () => {
  const house = await open({
    tenant: [
      OPEN_POLICY,
      'auth: { mode: static, static: { tickets: [{ ticket: "t1cket-0123456789", user: bot }] } }',
    ],
  });
  const { text, body } = await house.get("/v1/config");
  assert.deepEqual([body.version, body.gateway.ping_interval_ms, body.tenants[0].id], [1, 20_000, "acme"]);
  assert.ok(!text.includes("t1cket") && !text.includes("0123456789-0123456789"), text);
});

test("A reload is answered with what it changed, and what waits for a restart", async () => {
  const house = await open();
  assert.equal((await house.ask("POST", "/v1/reload")).body.outcome, "unchanged");
  rewrite(house, {
    tenant: [OPEN_POLICY, "limits: { max_rooms_total: 7 }"],
    gateway: 'listen: "127.0.0.1:1"',
  });
  const { status, body } = await house.ask("POST", "/v1/reload");
  assert.equal(status, 200);
  assert.deepEqual([body.outcome, body.changes], ["applied", [
    {
      tenant: null,
      key: "gateway.listen",
      before: '"127.0.0.1:8080"',
      after: '"127.0.0.1:1"',
      restart: true,
    },
    { tenant: "acme", key: "limits.max_rooms_total", before: "0", after: "7", restart: false },
  ]]);
  assert.equal((await house.get("/v1/config")).body.tenants[0].limits.max_rooms_total, 7);
});

test("A reload of a file that is not good changes nothing, and the answer tells why", async () => {
  const house = await open();
  const failures = refused("version: 2\ntenants: [{ id: acme }]\n");
  house.next = () => Promise.resolve({ ok: false, failures });
  const { status, body } = await house.ask("POST", "/v1/reload");
  assert.equal(status, 409);
  assert.equal(body.msg, "the configuration has failures");
  assert.match(body.failures[0], /^version must be 1, got 2/);
});

test("A reload changes keys, the largest body and the metrics' path, but not where the API listens", async () => {
  const house = await open();
  const secret = "another-0123456789-0123456789-0123456789";
  const key = `{ id: root, secret: "${secret}", tenants: ["*"], permissions: [read, publish, reload] }`;
  rewrite(house, { admin: `listen: "127.0.0.1:7", max_body_bytes: 1024, keys: [${key}]` });
  const { config } = accepted(
    `metrics: { path: /m }\n${
      houseText({
        tenant: [OPEN_POLICY],
        admin: `listen: "127.0.0.1:7", max_body_bytes: 1024, keys: [${key}]`,
      })
    }`,
  );
  house.next = () => Promise.resolve({ ok: true, config, warnings: [], schemas: new Map(), text: "" });
  const { body } = await house.ask("POST", "/v1/reload");
  const restart = body.changes.filter((change: { restart: boolean }) => change.restart);
  assert.deepEqual(restart.map((change: { key: string }) => change.key), ["admin.listen"]);
  assert.ok(!JSON.stringify(body).includes("0123456789"), "no secret is told");
  assert.equal((await house.get("/v1/tenants")).status, 401, "the former secret");
  assert.equal((await house.get("/v1/tenants", { secret })).status, 200);
  assert.equal((await house.get("/metrics", { secret })).status, 404);
  assert.equal((await house.get("/m", { secret })).status, 200);
  assert.equal((await house.get("/v1/config", { secret })).body.admin.listen, "127.0.0.1:0");
  const large = { to: { all: true }, svc: "a", type: "t", data: "x".repeat(2000) };
  assert.equal((await house.publish(large, { secret })).status, 413);
});

test("The API stays where a reload would take it away, until a restart", async () => {
  const house = await open();
  const { config } = accepted(houseText({ tenant: [OPEN_POLICY] }));
  house.next = () => Promise.resolve({ ok: true, config, warnings: [], schemas: new Map(), text: "" });
  const { body } = await house.ask("POST", "/v1/reload");
  assert.ok(body.changes.length > 0 && body.changes.every((change: { restart: boolean }) => change.restart));
  assert.equal((await house.get("/v1/tenants")).status, 200);
});

test("A suspended tenant's sessions end and nobody comes in, until it is resumed", async () => {
  const house = await open({ gateway: "drain_grace_ms: 1000" });
  const entered = [house.enterAs("ann"), house.enterAs("bob")];
  const suspended = await house.ask("POST", "/v1/tenants/acme/suspend", { key: "reloader" });
  assert.equal(suspended.body.suspended, true);
  house.clock.advance(1100);
  house.turn();
  assert.deepEqual(entered.map(({ client }) => client.link.closed?.code), [4509, 4509]);
  assert.match(JSON.stringify(told(entered[0]!.client)), /"SUSPENDED"/);
  const knock = () => house.upgrade("tenant=acme&ticket=dev:ann");
  const answer = knock();
  assert.ok("refuse" in answer && answer.refuse.status === 403);
  // A reload leaves it so.
  await house.ask("POST", "/v1/reload");
  rewrite(house, { tenant: [OPEN_POLICY, "limits: { max_rooms_total: 7 }"] });
  await house.ask("POST", "/v1/reload");
  assert.ok("refuse" in knock());
  assert.equal((await house.ask("POST", "/v1/tenants/acme/resume")).body.suspended, false);
  assert.ok("accept" in knock());
});

test("A suspension by the configuration is not an administrator's to take back", async () => {
  const house = await open({ tenant: [OPEN_POLICY, "suspended: true"] });
  const { status, body } = await house.ask("POST", "/v1/tenants/acme/resume");
  assert.deepEqual([status, body.code], [409, "SUSPENDED"]);
  assert.equal((await house.get("/v1/tenants")).body.tenants[0].suspended, true);
});

test("A tenant that leaves with a reload is gone from the API at once", async () => {
  const house = await open({ gateway: "drain_grace_ms: 1000" });
  house.enterAs("ann");
  const { config } = accepted(`version: 1\nadmin: { ${ADMIN} }\ntenants:\n  - id: other\n`);
  house.next = () => Promise.resolve({ ok: true, config, warnings: [], schemas: new Map(), text: "" });
  assert.deepEqual((await house.ask("POST", "/v1/reload")).body.removed, ["acme"]);
  assert.equal((await house.get("/v1/tenants/acme/stats")).status, 404);
  assert.deepEqual((await house.get("/v1/tenants")).body.tenants.map(({ id }: { id: string }) => id), [
    "other",
  ]);
});
