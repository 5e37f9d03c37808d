// `wsprism webhooks` against a running gateway: dead letters listed, sent again and dropped, and what is said where that
// cannot be.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { adminConfig } from "./admin_client.ts";
import { Backend } from "./backend_process.ts";
import { Client } from "./client.ts";
import { type Ended, Folder, GatewayProcess, until, wsprism } from "./gateway_process.ts";
import { KEY, Receiver } from "./webhook_receiver.ts";

const backend = await Backend.start();
after(() => backend.stop());
const folder = new Folder();
after(() => folder[Symbol.dispose]());

const ROOT = "root-secret-0123456789-0123456789";
const READER = "reader-secret-0123456789-0123456789";
const OTHER = "other-secret-0123456789-0123456789";

const config = {
  gateway: { state_dir: `${folder.path}/state`, drain_grace_ms: 0 },
  admin: adminConfig({
    reader: { tenants: ["acme"], permissions: ["read"] },
    other: { tenants: ["other"], permissions: ["read", "reload"] },
    root: { tenants: ["*"], permissions: ["read", "reload"] },
  }),
  tenants: [{
    id: "acme",
    policy: { ext_allowlist: ["room:*", "chat:*"] },
    webhooks: [{
      id: "audit",
      url: `${backend.origin}/hook?token=hidden`,
      events: ["message.ext"],
      keys: [KEY],
      batch: { max_events: 10, max_wait_ms: 0 },
    }],
  }, { id: "other" }],
};
const PATH = "/hook?token=hidden";

await backend.set(PATH, { refuses: "poison" });
const gateway = await GatewayProcess.start(config, { keeps: folder.path });
after(() => gateway.kill());
const url = `http://127.0.0.1:${(await gateway.logged("admin listening"))["port"]}`;
const receiver = new Receiver(backend, PATH);

/** Runs the verb at the gateway. */
async function webhooks(args: string, key: string | null = ROOT): Promise<Ended> {
  const env = key === null ? {} : { WSPRISM_ADMIN_KEY: key };
  return await wsprism(["webhooks", ...args.split(" "), "--url", url], { folder: folder.path, env });
}

async function good(args: string, key?: string): Promise<string> {
  const { code, stdout, stderr } = await webhooks(args, key);
  assert.deepEqual([code, stderr], [0, ""]);
  return stdout;
}

const AUDIT = "--tenant acme --webhook audit";

test("what a backend refuses is listed, sent again and dropped", async () => {
  const client = await Client.open(gateway, { user: "ann" });
  await client.join("a");
  for (const msg of ["one", "poison 1", "two", "poison 2", "poison 3"]) {
    client.send({ svc: "chat", type: "send", room: "a", data: { msg } });
    await client.next("chat.msg");
  }
  const dead = async (count: number) => {
    const [row] = (await good("list --json")).trim().split("\n").map((line) => JSON.parse(line));
    return row.dead_letters === count && row.events === 0 ? row : null;
  };
  const row = await until("the dead letters", async () => await dead(3), 30_000);
  assert.deepEqual([row.tenant, row.id, row.url], ["acme", "audit", `${backend.origin}/hook`]);
  const [head, line, ...more] = (await good("list", READER)).trim().split("\n");
  assert.deepEqual([head!.split(/ +/).slice(0, 2), more], [["TENANT", "WEBHOOK"], []]);
  assert.match(line!, /^acme +audit +0 +0 +- +3 /);
  const letters = (await good(`list ${AUDIT} --json`)).trim().split("\n").map((one) => JSON.parse(one));
  assert.deepEqual(letters.map(({ event }) => event.data.data.msg), ["poison 1", "poison 2", "poison 3"]);
  const [first, second] = letters.map(({ seq }) => String(seq));
  assert.match(
    await good(`list ${AUDIT}`),
    new RegExp(`^${first}  \\d{4}-.*Z  status 422  message.ext ann a$`, "m"),
  );

  await backend.set(PATH, {});
  assert.equal(await good(`drop ${AUDIT} --seq ${first} 999999`), "1 dead letter dropped\n");
  assert.equal(await good(`retry ${AUDIT} --seq ${second} --json`), '{"retried":1}\n');
  assert.equal(await good(`retry ${AUDIT} --all`), "1 dead letter sent again\n");
  const events = await receiver.until(
    "the events",
    (all) => all.some(({ data }) => data.data?.msg === "poison 3"),
  );
  const taken = events.filter(({ type }) => type === "message.ext").map(({ data }) => data.data?.msg);
  assert.ok(taken.includes("poison 2") && !taken.includes("poison 1"), taken.join());
  assert.equal(await good(`list ${AUDIT}`), "There are no dead letters.\n");
  assert.equal(await good("list --tenant other"), "There are no webhooks.\n");
  await client.close();
});

test("who may not is told so, and so is who asks for what is not there", async () => {
  const all = `${AUDIT} --all`;
  const cases = [
    [`retry ${all}`, READER, 4, /key has no permission "reload"/],
    [`list ${AUDIT}`, OTHER, 4, /key is not for this tenant/],
    [`drop ${all}`, "x".repeat(40), 4, /answered 401/],
    ["list --tenant acme --webhook none", ROOT, 1, /no such webhook/],
    ["drop --tenant none --webhook audit --all", ROOT, 1, /no such tenant/],
    ["list", null, 2, /^No key: set WSPRISM_ADMIN_KEY/],
    ["list --tenant acme", "not a key", 2, /printable ASCII/],
    [`drop ${AUDIT}`, ROOT, 2, /^Say which/],
    [`drop ${all} --seq 1`, ROOT, 2, /^Say which/],
    ["retry --tenant acme --all", ROOT, 2, /--webhook/],
  ] as const;
  for (const [args, key, code, message] of cases) {
    const ended = await webhooks(args, key);
    assert.deepEqual([ended.code, ended.stdout], [code, ""], args);
    assert.match(ended.stderr, message, args);
    assert.ok(!ended.stderr.includes("secret-0123"), args);
  }
});

test("a key is found in the configuration, and so is the address where it stands there", async () => {
  const run = (args: readonly string[]) => wsprism(["webhooks", ...args], { folder: folder.path });
  const write = (listen: string, name: string) => {
    const admin = { ...config.admin, listen };
    return folder.write(name, JSON.stringify({ ...config, version: 1, admin }));
  };
  const file = write(url.replace("http://", ""), "there.yaml");
  assert.equal(
    (await run(["retry", "--config", file, ...AUDIT.split(" "), "--all"])).stdout,
    "0 dead letters sent again\n",
  );
  assert.match((await run(["list", "--config", file])).stdout, /^acme +audit/m);
  const any = write("127.0.0.1:0", "any.yaml");
  assert.equal((await run(["list", "--config", any, "--url", url])).code, 0);
  const lost = await run(["list", "--config", any]);
  assert.deepEqual([lost.code, /name the address with --url/.test(lost.stderr)], [1, true], lost.stderr);
  const none = folder.write("none.yaml", JSON.stringify({ version: 1, tenants: [{ id: "acme" }] }));
  const without = await run(["list", "--config", none]);
  assert.deepEqual([without.code, /has no admin section/.test(without.stderr)], [1, true], without.stderr);
  const bad = folder.write("bad.yaml", "version: 2");
  assert.equal((await run(["list", "--config", bad])).code, 3);
});

test("where no gateway answers, that is said", async () => {
  await gateway.stop();
  const { code, stderr } = await webhooks("list");
  assert.equal(code, 1);
  assert.match(
    stderr,
    /^Cannot reach the admin API at http:\/\/127\.0\.0\.1:\d+: .*; is the gateway running\?\n$/,
  );
});
