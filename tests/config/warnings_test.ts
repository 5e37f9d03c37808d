import { strict as assert } from "node:assert";
import { test } from "node:test";
import { accepted, oneTenant, warned } from "./loading.ts";

test("With --dev every tenant is warned of, and by default of nothing else", () => {
  const { warnings } = accepted("version: 1\ntenants:\n  - id: a\n  - id: b\n");
  assert.deepEqual(warnings.map((issue) => [issue.path, issue.line, issue.column]), [
    ["tenants[0].id", 3, 9],
    ["tenants[1].id", 4, 9],
  ]);
  for (const issue of warnings) assert.match(issue.message, /development tickets .* because of --dev$/);
});

test("An allowlist entry for a service that the tenant doesn't have is a warning at the entry", () => {
  assert.deepEqual(warned(oneTenant('policy: { ext_allowlist: ["room:*", "sys:x", "chat:*", "match:*"] }')), [
    `tenants[0].policy.ext_allowlist[3] "match:*" names a service that this tenant doesn't have (4, 60)`,
  ]);
  assert.deepEqual(
    warned(oneTenant('policy: { ext_allowlist: ["room:join"], hot_allowlist: ["1:*", "2:10"] }')),
    [
      `tenants[0].policy.hot_allowlist[1] "2:10" names a hot service that this tenant doesn't have (4, 68)`,
    ],
  );
});

test("Entries as loose as v1 took them load, and those that can match nothing are warned of", () => {
  const entries = ["*:*", "a b:c", "chat:", "chat:a:b", ":x"];
  const lines = warned(oneTenant(`policy: { ext_allowlist: ${JSON.stringify(["chat:send", ...entries])} }`));
  assert.equal(lines.length, entries.length);
  for (const line of lines) assert.match(line, /matches no message: /);
  assert.deepEqual(
    warned(oneTenant('policy: { ext_allowlist: ["room:join"], hot_allowlist: ["+1:007"] }')),
    [],
  );
});

test("An empty ext_allowlist is a warning, an empty hot_allowlist is not", () => {
  const empty =
    "tenants[0].policy.ext_allowlist is empty: clients may send no text messages but those of sys (4, 30)";
  assert.deepEqual(warned(oneTenant("policy: { ext_allowlist: [], hot_allowlist: [] }")), [empty]);
});

test("A service that the file names and no entry reaches is a warning", () => {
  assert.deepEqual(warned(oneTenant("services: [{ svc: talk, builtin: chat }]")), [
    "tenants[0].services[0].svc is reached by no entry of policy.ext_allowlist (4, 23)",
  ]);
  assert.deepEqual(warned(oneTenant("hot_services: [{ id: 7, kind: relay }]")), [
    "tenants[0].hot_services[0].id is reached by no entry of policy.hot_allowlist (4, 26)",
  ]);
});

test("Hot messages that need a room nobody can join are a warning", () => {
  const policy = (more: string) =>
    warned(oneTenant(`policy: { ext_allowlist: ["chat:send"], hot_allowlist: ["1:*"]${more} }`));
  assert.match(policy("").join("\n"), /^tenants\[0\]\.policy\.hot_allowlist lets nothing through: [^\n]*$/);
  assert.deepEqual(policy(", hot_requires_active_room: false"), []);
});

test("Bounds that other bounds make pointless are warnings", () => {
  const paths = (text: string) => warned(text).map((line) => line.split(" ")[0]);
  assert.deepEqual(paths(oneTenant("policy: { rate_limit_rps: 10, rate_limit_burst: 9 }")), [
    "tenants[0].policy.rate_limit_burst",
  ]);
  assert.deepEqual(paths(oneTenant("policy: { rate_limit_rps: 10, rate_limit_burst: 10 }")), []);
  assert.deepEqual(
    paths(`gateway: { max_connections: 5 }\n${oneTenant("limits: { max_sessions_total: 6 }")}`),
    [
      "tenants[0].limits.max_sessions_total",
    ],
  );
  assert.deepEqual(paths(oneTenant("limits: { max_sessions_total: 3 }")).length, 1);
  const handshake = (enabled: boolean) =>
    paths(
      `gateway: { handshake_limit: { enabled: ${enabled}, global_rps: 9, global_burst: 8, per_ip_rps: 60 } }\n${oneTenant()}`,
    );
  assert.deepEqual(handshake(false), []);
  assert.deepEqual(
    handshake(true).sort(),
    ["global_burst", "per_ip_burst", "per_ip_rps"].map((key) => `gateway.handshake_limit.${key}`),
  );
  assert.deepEqual(
    paths(`gateway: { trusted_proxies: ["10.0.0.0/8", "0.0.0.0/0", "::/0"] }\n${oneTenant()}`),
    [
      "gateway.trusted_proxies[1]",
      "gateway.trusted_proxies[2]",
    ],
  );
});
