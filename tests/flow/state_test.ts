// What a gateway process decides about users, tickets and tenants, and what is left of it after it was killed and started
// again on the same `state_dir`.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { SECRET, ticket } from "../admission/keys.ts";
import { RawClient } from "../raw_client.ts";
import { Admin, adminConfig } from "./admin_client.ts";
import { Client, target } from "./client.ts";
import { Folder, GatewayProcess, until, wsprism } from "./gateway_process.ts";

const acme = {
  id: "acme",
  auth: { mode: "jwt", jwt: { algorithms: ["HS256"], keys: [{ secret: SECRET }] }, failure_delay_ms: 0 },
  policy: {
    ext_allowlist: ["room:*", "notes:*"],
    rules: [{ id: "spam", match: { service: "notes:*" }, then: [{ ban_ms: 3_600_000 }] }],
  },
};
const other = { id: "other", policy: { ext_allowlist: ["room:*"] } };

function configOf(folder: Folder | null, tenants: readonly object[] = [acme, other]) {
  return {
    gateway: { drain_grace_ms: 0, ...(folder === null ? {} : { state_dir: `${folder.path}/state` }) },
    admin: adminConfig({
      root: { tenants: ["*"], permissions: ["read", "publish", "disconnect", "reload"] },
    }),
    tenants,
  };
}

const start = (folder: Folder, tenants?: readonly object[]) =>
  GatewayProcess.start(configOf(folder, tenants), { keeps: folder.path });
const nowS = () => Math.floor(Date.now() / 1000);
const ticketOf = (user: string, more: object = {}) =>
  ticket({ sub: user, iat: nowS(), exp: nowS() + 3600, ...more });

/** The status that a ticket is answered with at the door. */
async function knock(gateway: GatewayProcess, token: string, tenant = "acme"): Promise<number> {
  const client = await RawClient.connect(gateway.port);
  const { status } = await client.upgrade(target({ tenant, ticket: token }));
  client.destroy();
  return status;
}

const ACME = "/v1/tenants/acme";

test("bans, revocations and suspensions hold after a crash right behind the answer, and what was taken back does not", async () => {
  using folder = new Folder();
  const [first, second] = [await ticketOf("bob", { jti: "t-1" }), await ticketOf("bob", { jti: "t-2" })];
  const old = await ticketOf("carl", { iat: nowS() - 60 });
  {
    await using gateway = await start(folder);
    const admin = await Admin.of(gateway, "root");
    await admin.good("POST", `${ACME}/users/dora/ban`);
    await admin.good("POST", `${ACME}/users/short/ban`, { for_ms: 1 });
    await admin.good("DELETE", `${ACME}/users/dora/ban`);
    await admin.good("POST", `${ACME}/tickets/revoke`, { jti: "t-1" });
    await admin.good("POST", `${ACME}/tickets/revoke`, {
      user: "carl",
      issued_before_ms: (nowS() - 30) * 1000,
    });
    await admin.good("POST", "/v1/tenants/other/suspend");
    await admin.good("POST", `${ACME}/users/ann/ban`);
    await gateway.crash();
  }
  {
    await using gateway = await start(folder);
    const admin = await Admin.of(gateway, "root");
    assert.equal(await knock(gateway, await ticketOf("ann")), 403);
    assert.equal(await knock(gateway, await ticketOf("dora")), 101);
    assert.equal(await knock(gateway, first), 401);
    assert.equal(await knock(gateway, second), 101);
    assert.equal(await knock(gateway, old), 401);
    assert.equal(await knock(gateway, await ticketOf("carl")), 101);
    assert.equal(await knock(gateway, "dev:eve", "other"), 403);
    const { bans } = await admin.good("GET", `${ACME}/bans`);
    assert.deepEqual(bans.map(({ user, by }: Record<string, string>) => [user, by]), [["ann", "admin"]]);
    await admin.good("POST", "/v1/tenants/other/resume");
    await admin.good("DELETE", `${ACME}/users/ann/ban`);
    await gateway.crash();
  }
  await using gateway = await start(folder);
  assert.equal(await knock(gateway, await ticketOf("ann")), 101);
  assert.equal(await knock(gateway, "dev:eve", "other"), 101);
  assert.equal(await knock(gateway, first), 401);
  await gateway.stop();
});

test("who is banned by a rule stays so after a restart", async () => {
  using folder = new Folder();
  {
    await using gateway = await start(folder);
    const client = await Client.open(gateway, { ticket: await ticketOf("mallory") });
    client.send({ svc: "notes", type: "send" });
    await client.ended(4504);
    await gateway.stop();
  }
  await using gateway = await start(folder);
  const admin = await Admin.of(gateway, "root");
  const { bans: [ban] } = await admin.good("GET", `${ACME}/bans`);
  assert.deepEqual([ban.user, ban.by], ["mallory", "spam"]);
  assert.equal(await knock(gateway, await ticketOf("mallory")), 403);
  await gateway.stop();
});

for (const kept of [true, false]) {
  const where = kept ? "with a state_dir" : "without one";
  test(`a tenant that is removed and comes back finds what was decided about it, ${where}`, async () => {
    using folder = new Folder();
    const config = (tenants?: readonly object[]) => configOf(kept ? folder : null, tenants);
    await using gateway = await GatewayProcess.start(config(), { keeps: folder.path });
    const admin = await Admin.of(gateway, "root");
    await admin.good("POST", `${ACME}/users/ann/ban`);
    await admin.good("POST", "/v1/tenants/other/suspend");
    assert.equal(
      (await gateway.reload(config([{ ...other, id: "third" }]))).message,
      "configuration reloaded",
    );
    await until("the tenants to be gone", async () => {
      return /tenant="(acme|other)"/.test((await admin.ask("GET", "/metrics")).text) ? null : true;
    });
    assert.equal((await gateway.reload(config())).message, "configuration reloaded");
    assert.equal(await knock(gateway, await ticketOf("ann")), 403);
    assert.equal(await knock(gateway, await ticketOf("bob")), 101);
    assert.equal(await knock(gateway, "dev:eve", "other"), 403);
    await gateway.stop();
  });
}

test("without a state_dir a ban ends with the process", async () => {
  const config = configOf(null);
  {
    await using gateway = await GatewayProcess.start(config);
    await (await Admin.of(gateway, "root")).good("POST", `${ACME}/users/ann/ban`);
    await gateway.stop();
  }
  await using gateway = await GatewayProcess.start(config);
  assert.equal(await knock(gateway, await ticketOf("ann")), 101);
  await gateway.stop();
});

test("two hundred bans at once are all kept, in far fewer writes than one each", async () => {
  using folder = new Folder();
  const users = Array.from({ length: 200 }, (_, i) => `user-${i}`);
  {
    await using gateway = await start(folder);
    const admin = await Admin.of(gateway, "root");
    await Promise.all(users.map((user) => admin.good("POST", `${ACME}/users/${user}/ban`)));
    await gateway.crash();
  }
  await using gateway = await start(folder);
  const admin = await Admin.of(gateway, "root");
  const bans = await admin.all(`${ACME}/bans`, "bans", 50);
  assert.deepEqual(bans.map(({ user }) => user), users.toSorted());
  await gateway.stop();
});

const DAMAGES: Readonly<Record<string, (db: DatabaseSync) => void>> = {
  "a table that is gone": (db) => db.exec("DROP TABLE kv"),
  "a key that is no name": (db) => db.exec("UPDATE kv SET key = 'x' WHERE tab = 'bans:acme'"),
  "a ban that is none": (db) => db.exec("UPDATE kv SET value = '{' WHERE tab = 'bans:acme'"),
};

test("a damaged state ends the start with a sentence and exit code 1", async () => {
  for (const [name, damage] of Object.entries(DAMAGES)) {
    using folder = new Folder();
    {
      await using gateway = await start(folder);
      await (await Admin.of(gateway, "root")).good("POST", `${ACME}/users/ann/ban`);
      await gateway.stop();
    }
    const db = new DatabaseSync(`${folder.path}/state/wsprism.db`);
    damage(db);
    db.close();
    const file = `${folder.path}/gateway.json`;
    writeFileSync(file, JSON.stringify({ version: 1, ...configOf(folder) }));
    const { code, stderr } = await wsprism(["start", "--config", file, "--dev"], { folder: folder.path });
    assert.equal(code, 1, name);
    assert.match(stderr, /^Cannot start: Cannot (?:open|read) the state[^\n]*\n$/m, name);
  }
});
