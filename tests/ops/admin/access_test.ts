// Who may use which route: every route of the document is here, with the permission that it needs, and is asked by
// those who may and by those who may not.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { OPEN_POLICY } from "../../session/house.ts";
import { type AdminHouse, type Asking, type KeyId, type KEYS, open } from "./admin_house.ts";
import { documentOf, GOOD_BODIES, operationsOf, WEBHOOKS } from "./document.ts";

type Permission = typeof KEYS["root"]["permissions"][number];

/** What a route asks of a key: a permission, or none in particular, for the tenant in its path, for all, or for any; or nothing. */
type Need =
  | { readonly in: "tenant" | "gateway" | "anywhere"; readonly permission: Permission | "any" }
  | null;

const inTenant = (permission: Permission): Need => ({ in: "tenant", permission });

/** The routes, and what they need. */
const ROUTES: Readonly<Record<string, Need>> = {
  "GET /healthz": null,
  "GET /readyz": null,
  "GET /metrics": { in: "gateway", permission: "read" },
  "GET /v1/config": { in: "gateway", permission: "read" },
  "POST /v1/reload": { in: "gateway", permission: "reload" },
  "GET /v1/nodes": { in: "gateway", permission: "read" },
  "GET /v1/events": { in: "anywhere", permission: "read" },
  "GET /v1/config/changes": { in: "gateway", permission: "read" },
  "POST /v1/dry-run": { in: "gateway", permission: "read" },
  "GET /v1/overview": { in: "anywhere", permission: "read" },
  "GET /v1/audit": { in: "anywhere", permission: "read" },
  "GET /v1/me": { in: "anywhere", permission: "any" },
  "GET /v1/tenants": { in: "anywhere", permission: "read" },
  "GET /v1/tenants/{tenant}/stats": inTenant("read"),
  "GET /v1/tenants/{tenant}/metrics": inTenant("read"),
  "POST /v1/tenants/{tenant}/publish": inTenant("publish"),
  "GET /v1/tenants/{tenant}/sessions": inTenant("read"),
  "GET /v1/tenants/{tenant}/sessions/{session}": inTenant("read"),
  "GET /v1/tenants/{tenant}/sessions/{session}/watch": inTenant("read"),
  "GET /v1/tenants/{tenant}/slow": inTenant("read"),
  "GET /v1/tenants/{tenant}/decisions": inTenant("read"),
  "GET /v1/tenants/{tenant}/extensions": inTenant("read"),
  "GET /v1/tenants/{tenant}/revocations": inTenant("read"),
  "GET /v1/tenants/{tenant}/rooms/{room}/watch": inTenant("read"),
  "DELETE /v1/tenants/{tenant}/sessions/{session}": inTenant("disconnect"),
  "POST /v1/tenants/{tenant}/users/{user}/disconnect": inTenant("disconnect"),
  "POST /v1/tenants/{tenant}/users/{user}/ban": inTenant("disconnect"),
  "DELETE /v1/tenants/{tenant}/users/{user}/ban": inTenant("disconnect"),
  "GET /v1/tenants/{tenant}/bans": inTenant("read"),
  "POST /v1/tenants/{tenant}/tickets/revoke": inTenant("disconnect"),
  "POST /v1/tenants/{tenant}/explain": inTenant("read"),
  "POST /v1/tenants/{tenant}/suspend": inTenant("reload"),
  "POST /v1/tenants/{tenant}/resume": inTenant("reload"),
  "GET /v1/tenants/{tenant}/webhooks": inTenant("read"),
  "GET /v1/tenants/{tenant}/webhooks/{webhook}/dead-letters": inTenant("read"),
  "POST /v1/tenants/{tenant}/webhooks/{webhook}/dead-letters/retry": inTenant("reload"),
  "POST /v1/tenants/{tenant}/webhooks/{webhook}/dead-letters/drop": inTenant("reload"),
  "GET /v1/tenants/{tenant}/rooms": inTenant("read"),
  "DELETE /v1/tenants/{tenant}/rooms/{room}": inTenant("publish"),
  "GET /v1/tenants/{tenant}/rooms/{room}/members": inTenant("read"),
  "GET /v1/tenants/{tenant}/rooms/{room}/history": inTenant("read"),
  "DELETE /v1/tenants/{tenant}/rooms/{room}/history": inTenant("publish"),
  "PUT /v1/tenants/{tenant}/rooms/{room}/members/{session}": inTenant("publish"),
  "DELETE /v1/tenants/{tenant}/rooms/{room}/members/{session}": inTenant("publish"),
};

/** A key that has this permission only, in the tenant "acme", or one that has all but this there. */
const ONLY: Readonly<Record<Permission, KeyId>> = {
  read: "reader",
  publish: "publisher",
  disconnect: "ender",
  reload: "reloader",
};

interface Setting {
  readonly house: AdminHouse;
  readonly session: string;
}

async function asked({ house, session }: Setting, name: string, asking: Asking, tenant = "acme") {
  const [method, path] = name.split(" ") as [string, string];
  const filled = path.replace("{tenant}", tenant).replace("{session}", session).replace("{room}", "lobby")
    .replace("{user}", "nobody").replace("{webhook}", "audit");
  return await house.ask(method, filled, { body: GOOD_BODIES[name], ...asking });
}

async function setting(route = ""): Promise<Setting> {
  // Only where they are asked for: webhooks come with a thread.
  const kept = "rooms: [{ match: lobby, history: {} }]";
  const tenant = [OPEN_POLICY, kept, ...(route.includes("{webhook}") ? [WEBHOOKS] : [])];
  const house = await open({ tenant });
  const { client, session } = house.enterAs("ann");
  client.join("lobby");
  await house.ask("POST", "/v1/tenants/acme/users/nobody/ban");
  house.logged.length = 0;
  return { house, session };
}

test("Every route of the document is in the table, and no other", async () => {
  const operations = operationsOf(await documentOf(await open()));
  assert.deepEqual(operations.map(({ name }) => name).toSorted(), Object.keys(ROUTES).toSorted());
  for (const { name, security } of operations) {
    assert.deepEqual(security, ROUTES[name] === null ? [] : undefined, `${name}: its security`);
  }
});

for (const [name, need] of Object.entries(ROUTES)) {
  test(`${name} lets in who may use it`, async () => {
    const key = need === null
      ? null
      : need.in === "tenant" && need.permission !== "any"
      ? ONLY[need.permission]
      : "root";
    const at = await setting(name);
    const { status, text } = await asked(at, name, { key });
    assert.equal(status, 200, text);
    await at.house.gateway.stop();
  });
  if (need === null) continue;

  test(`${name} turns away who has no key, or not this permission, or not this tenant`, async () => {
    const at = await setting(name);
    const before = JSON.stringify(at.house.census());
    const none = await asked(at, name, { key: null });
    assert.deepEqual([none.status, none.body.code], [401, "AUTH_FAILED"]);
    assert.equal(none.headers.get("www-authenticate"), "Bearer");
    for (const secret of ["wrong", "x".repeat(10_000), "", "root-0123456789-0123456789-012345678"]) {
      assert.equal((await asked(at, name, { secret, address: secret.slice(0, 5) })).status, 401, secret);
    }
    for (const key of Object.values(ONLY)) {
      if (need.permission === "any" || key === ONLY[need.permission]) continue;
      const { status, body } = await asked(at, name, { key });
      assert.deepEqual([status, body.code], [403, "NOT_ALLOWED"], key);
    }
    if (need.in === "gateway") assert.equal((await asked(at, name, { key: "acme" })).status, 403);
    if (need.in === "tenant") {
      assert.equal((await asked(at, name, { key: "other" })).status, 403);
      // Neither does it say whether a tenant exists.
      assert.equal((await asked(at, name, { key: "other" }, "none")).status, 403);
      const gone = await asked(at, name, {}, "none");
      assert.deepEqual([gone.status, gone.body.msg], [404, "no such tenant"]);
    }
    assert.equal(JSON.stringify(at.house.census()), before, "and nothing has happened");
    await at.house.gateway.stop();
  });
}

test("What is no route is a JSON 404 for who has a key, and nothing for who has none", async () => {
  const { house } = await setting();
  for (const [method, path] of [["GET", "/"], ["GET", "/v1"], ["PATCH", "/v1/tenant"]] as const) {
    const { status, body } = await house.ask(method, path);
    assert.deepEqual([status, body.code], [404, "NOT_FOUND"], path);
    assert.equal((await house.ask(method, path, { key: null, address: path })).status, 401, path);
  }
});

test("A key's requests are counted: above its rate they are refused, until time has passed", async () => {
  const { house } = await setting();
  const statuses = async (count: number, key: KeyId) => {
    const all: number[] = [];
    for (let i = 0; i < count; i++) all.push((await house.get("/v1/tenants", { key })).status);
    return all;
  };
  assert.deepEqual(await statuses(5, "slow"), [200, 200, 200, 429, 429]);
  const { headers, body } = await house.get("/v1/tenants", { key: "slow" });
  assert.deepEqual([body.code, body.retry_after_ms, headers.get("retry-after")], ["RATE_LIMITED", 1000, "1"]);
  assert.deepEqual(await statuses(5, "reader"), [200, 200, 200, 200, 200], "others are not");
  house.clock.advance(1000);
  assert.deepEqual(await statuses(2, "slow"), [200, 429]);
});

test("Bad keys from one address are limited and no longer logged, while good ones still pass", async () => {
  const { house } = await setting();
  const statuses: number[] = [];
  for (let i = 0; i < 12; i++) statuses.push((await house.get("/v1/tenants", { secret: `bad-${i}` })).status);
  assert.deepEqual(statuses, [...Array(10).fill(401), 429, 429]);
  const refused = () => house.logged.filter(({ message }) => message === "admin request refused");
  assert.equal(refused().length, 10);
  assert.equal((await house.get("/v1/tenants")).status, 200);
  assert.equal((await house.get("/v1/tenants", { key: null, address: "192.0.2.10" })).status, 401);
  house.clock.advance(1000);
  assert.equal((await house.get("/v1/tenants", { secret: "bad" })).status, 401);
  assert.ok(!JSON.stringify(house.logged).includes("bad-"), "no secret is logged, not even a wrong one");
});

test("Each write is a line in the log: who, what, from where, and what came of it; reading is none", async () => {
  const at = await setting();
  const { house, session } = at;
  await house.get("/v1/tenants");
  await house.ask("DELETE", `/v1/tenants/acme/sessions/${session}?reason=x`, { key: "ender" });
  await house.publish({}, { key: "publisher" });
  const lines = house.logged.filter(({ message }) => message.startsWith("admin request"));
  assert.deepEqual(lines.map(({ level, fields }) => [level, fields]), [
    ["info", {
      method: "DELETE",
      path: `/v1/tenants/acme/sessions/${session}`,
      address: "192.0.2.9",
      key: "ender",
      status: 200,
    }],
    ["info", {
      method: "POST",
      path: "/v1/tenants/acme/publish",
      address: "192.0.2.9",
      key: "publisher",
      status: 400,
    }],
  ]);
});

test("A route asked by a method that it does not take says which it takes", async () => {
  const house = await open();
  const expected: Readonly<Record<string, string>> = {
    "POST /healthz": "GET, HEAD",
    "OPTIONS /v1/tenants/acme/stats": "GET, HEAD",
    "PATCH /v1/tenants/acme/users/a%2Fb/ban": "POST, DELETE",
    "GET /v1/tenants/acme/rooms/lobby": "DELETE",
  };
  for (const [name, allow] of Object.entries(expected)) {
    const [method, path] = name.split(" ") as [string, string];
    const { status, headers, body } = await house.ask(method, path);
    assert.deepEqual([status, headers.get("allow"), body], [405, allow, {
      code: "NOT_FOUND",
      msg: `this route takes ${allow}`,
    }]);
  }
  for (const path of ["/v1/tenants/acme", "/v1/tenants/acme/rooms/a/b", "/v1"]) {
    assert.equal((await house.ask("GET", path)).status, 404, path);
  }
});
