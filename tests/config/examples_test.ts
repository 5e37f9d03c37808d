import { strict as assert } from "node:assert";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { readConfig } from "../../src/config/load.ts";
import { accepted, warned } from "./loading.ts";

const root = new URL("../../", import.meta.url);
const examples = readdirSync(new URL("config/examples/", root)).filter((name) => name.endsWith(".yaml"))
  .map((name) => `config/examples/${name}`);
const read = (path: string) => readFileSync(new URL(path, root), "utf8");

test("There are the three examples, and each is among the files tested below", () => {
  assert.deepEqual(
    examples.sort(),
    ["chat-saas", "game", "trading-dashboard"].map((name) => `config/examples/${name}.yaml`),
  );
});

/** What the examples take from the environment. */
const env = Object.fromEntries(
  ["WSPRISM_GAME_SECRET", "WSPRISM_CHAT_SECRET", "WSPRISM_SECRET", "WSPRISM_ADMIN_SECRET"]
    .map((name) => [name, "0123456789-abcdefghijklmnopqrstuv"]),
);

for (
  const path of [...examples, "config/examples/backend/wsprism.yaml", "config/examples/chat/wsprism.yaml"]
) {
  test(`${path} loads from disk without --dev, with no warning`, async () => {
    const result = await readConfig(fileURLToPath(new URL(path, root)), { env, dev: false });
    assert.ok(result.ok, JSON.stringify(result));
    assert.deepEqual(result.warnings, []);
  });
}

test("config/wsprism.yaml loads from disk with --dev, with no warning but that of --dev", async () => {
  const result = await readConfig(fileURLToPath(new URL("config/wsprism.yaml", root)), {
    env: {},
    dev: true,
  });
  assert.ok(result.ok);
  assert.deepEqual(warned(read("config/wsprism.yaml")), []);
  assert.equal(result.warnings.length, 1);
});

test("The shipped file's commented auth is one, once the comments are taken away", () => {
  const text = read("config/wsprism.yaml").replace(/^ {4}# ((auth|origins):| {2,}[a-z-].*$)/gm, "    $1");
  const lines = text.split("\n").filter((line) => !/^ +(export|wsprism token) /.test(line)).join("\n");
  const { config } = accepted(lines, {
    env: { WSPRISM_ACME_SECRET: "0123456789-abcdefghijklmnopqrstuv" },
    dev: false,
  });
  assert.equal(config.tenants[0]!.auth!.jwt!.keys[0]!.kid, "2026-01");
  assert.deepEqual(config.tenants[0]!.origins, ["https://app.example"]);
});

test("The shipped file opens rooms, chat and the three hot services to tenant acme", () => {
  const [acme, ...others] = accepted(read("config/wsprism.yaml")).config.tenants;
  assert.deepEqual(others, []);
  assert.equal(acme?.id, "acme");
  assert.deepEqual(acme.policy.ext_allowlist, ["room:*", "chat:send"]);
  assert.deepEqual(acme.policy.hot_allowlist, ["1:*", "2:*", "3:*"]);
  assert.deepEqual(acme.services, [{ svc: "chat", builtin: "chat" }]);
  assert.deepEqual(acme.hot_services, [
    { id: 1, kind: "echo", lane: "lossy" },
    { id: 2, kind: "relay", lane: "lossy" },
    { id: 3, kind: "state", lane: "latest", tick_ms: 50 },
  ]);
});

test("A file written for v1 loads unchanged, with warnings for the services that it doesn't have", () => {
  const text = read("tests/config/fixtures/v1.yaml");
  assert.deepEqual(warned(text).map((line) => line.replace(/ names .*/, "")), [
    'tenants[1].policy.ext_allowlist[1] "match:*"',
    'tenants[1].policy.hot_allowlist[1] "2:10"',
    'tenants[2].policy.ext_allowlist[1] "metrics:subscribe"',
  ]);
  const { config } = accepted(text);
  assert.deepEqual(config.gateway.handshake_limit, {
    enabled: true,
    global_rps: 300,
    global_burst: 900,
    per_ip_rps: 8,
    per_ip_burst: 24,
    max_ip_entries: 20000,
    failed_auth_cost: 5,
  });
  assert.equal(config.gateway.listen, "0.0.0.0:9001");
  assert.deepEqual(config.tenants.map((tenant) => tenant.limits.max_frame_bytes), [2048, 32768, 524288]);
  assert.deepEqual(config.tenants[0]?.policy.sessions, {
    mode: "single",
    max_sessions_per_user: 1,
    on_exceed: "kick_oldest",
  });
  assert.equal(config.tenants[1]?.policy.hot_error_mode, "silent");
});
