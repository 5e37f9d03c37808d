import { strict as assert } from "node:assert";
import { test } from "node:test";
import { VALUES_MAX } from "../../src/config/tree.ts";
import { accepted, oneTenant, refusals } from "./loading.ts";

const LISTEN = "gateway: { listen: ";

test("A variable stands for its value in quotes, in a block and in the middle of a text", () => {
  const env = { HOST: "127.0.0.1", PORT_: "81", ID: "t1" };
  const { config } = accepted(
    'version: 1\ngateway: { listen: "${HOST}:${PORT_}" }\ntenants:\n  - id: >-\n      ${ID}\n',
    { env },
  );
  assert.equal(config.gateway.listen, "127.0.0.1:81");
  assert.equal(config.tenants[0]?.id, "t1");
});

test("Without quotes a variable may stand for a number or a truth value, with quotes it is a text", () => {
  const text = (quote: string) =>
    `gateway:\n  max_connections: ${quote}\${N}${quote}\nmetrics:\n  enabled: \${ON:-false}\n${oneTenant()}`;
  const { config } = accepted(text(""), { env: { N: "70" } });
  assert.equal(config.gateway.max_connections, 70);
  assert.equal(config.metrics.enabled, false);
  assert.deepEqual(refusals(text('"'), { env: { N: "70" } }), [
    'gateway.max_connections must be a whole number of at least 0, got "${N}" (2, 20)',
  ]);
});

test("A variable's value is never read as YAML structure", () => {
  for (const value of ["[a, b]", "{ a: b }", "a: b", "- a", "*x", "&x y", "a # b", "a\nb: c"]) {
    assert.match(
      refusals("version: 1\ntenants:\n  - id: ${ID}", { env: { ID: value } })[0] ?? "",
      /^tenants\[0\]\.id must be 1–64/,
    );
  }
});

test("A default stands in for a variable that is not set or empty", () => {
  const id = (value: string, env = {}) =>
    accepted(`version: 1\ntenants:\n  - id: "${value}"`, { env }).config.tenants[0]?.id;
  assert.equal(id("${A:-b}"), "b");
  assert.equal(id("${A:-b}", { A: "" }), "b");
  assert.equal(id("${A:-b}", { A: "c" }), "c");
  assert.equal(id("x${A}y", { A: "" }), "xy");
  assert.equal(id("${A:-}z"), "z");
  assert.equal(id("${A:-b-c}"), "b-c");
});

test("A variable that is not set is a failure at its place, and so is a reference that is none", () => {
  const missing =
    'needs the environment variable NOPE, which is not set; set it, or write "${NOPE:-default}"';
  assert.deepEqual(refusals(`${LISTEN}"\${NOPE}" }\n${oneTenant()}`), [`gateway.listen ${missing} (1, 20)`]);
  const [inherited] = refusals(`${LISTEN}"\${toString}" }\n${oneTenant()}`);
  assert.match(inherited ?? "", /needs the environment variable toString, which is not set/);
  for (const text of ["${", "${}", "${1A}", "${A", "${A B}", "${A:b}"]) {
    const [line] = refusals(`${LISTEN}"${text}" }\n${oneTenant()}`, { env: { A: "b" } });
    assert.match(line ?? "", /^gateway\.listen has a "\$\{" that is not/, text);
  }
});

test("$${ is a literal ${", () => {
  const { config } = accepted(oneTenant('policy: { ext_allowlist: ["a:$${A}", "b:$$${A}${A}"] }'), {
    env: { A: "c" },
  });
  assert.deepEqual(config.tenants[0]?.policy.ext_allowlist, ["a:${A}", "b:$${A}c"]);
});

test("What came from a variable is in no failure and no warning", () => {
  const env = { SECRET: "hunter2", PAIR: "hunter2:x", BYTES: "99999999999" };
  const faulty = `version: "\${SECRET}"
gateway: { listen: "\${SECRET}", trusted_proxies: ["\${SECRET}"], client_ip_header: "X\${SECRET}", transport: "\${SECRET}" }
metrics: { path: "\${SECRET}", enabled: "\${SECRET}" }
tenants:
  - id: "\${SECRET}"
    limits:
      max_frame_bytes: \${BYTES}
    policy: { ext_allowlist: ["\${SECRET}"], hot_allowlist: ["\${PAIR}"], sessions: { mode: "\${SECRET}" } }
    services: [{ svc: "\${SECRET}", builtin: "\${SECRET}" }, { svc: "\${SECRET}", builtin: chat }]
    hot_services: [{ id: "\${SECRET}", kind: "\${SECRET}" }]
  - id: "\${SECRET}"
`;
  const failures = refusals(faulty, { env }).join("\n");
  assert.equal(failures.split("\n").length, 16);
  assert.ok(!failures.includes("hunter2") && !failures.includes("99999"), failures);
  assert.ok(failures.includes('got "${BYTES}"'), failures);

  const { warnings } = accepted(oneTenant('policy: { ext_allowlist: ["${PAIR}"] }'), { env });
  assert.ok(warnings.some((issue) => issue.message.startsWith('"${PAIR}" names a service')));
  assert.ok(!JSON.stringify(warnings).includes("hunter2"));
});

test("An unknown key is refused at its own place, with the nearest key that there is", () => {
  const unknown = (text: string) => refusals(`${text}\n`)[0];
  const hint = (text: string) => /did you mean "(.*)"\?/.exec(unknown(text) ?? "")?.[1];
  assert.equal(
    unknown(oneTenant("limit: {}")),
    'tenants[0].limit is not a known key; did you mean "limits"? (4, 5)',
  );
  assert.equal(hint(`tenant: []\n${oneTenant()}`), "tenants");
  assert.equal(hint(`gateway: { Listen: x }\n${oneTenant()}`), "listen");
  assert.equal(hint(`gateway: { ping-interval-ms: 1 }\n${oneTenant()}`), "ping_interval_ms");
  assert.equal(hint(`gateway: { lsiten: x }\n${oneTenant()}`), "listen");
  assert.equal(hint(oneTenant("services: [{ scv: a, svc: b, builtin: chat }]")), "svc");
  assert.equal(hint(oneTenant("limits: { max_room_total: 1 }")), "max_rooms_total");
  assert.equal(hint(oneTenant("limits: { max_sessions_ip: 1 }")), "max_sessions_per_ip");
  assert.equal(hint(oneTenant("rate_limit_rps: 5")), "policy.rate_limit_rps");
  assert.equal(hint(oneTenant("max_session_per_user: 5")), "policy.sessions.max_sessions_per_user");
  assert.equal(hint(`gateway: { rate_limit_rps: 5 }\n${oneTenant()}`), "tenants[].policy.rate_limit_rps");
  assert.equal(hint(oneTenant("limits: { rate_limit_burst: 5 }")), "tenants[].policy.rate_limit_burst");
  assert.equal(unknown(`weather: 1\n${oneTenant()}`), "weather is not a known key (1, 1)");
  assert.equal(unknown(`"a b": 1\n${oneTenant()}`), '["a b"] is not a known key (1, 1)');
  assert.equal(unknown(`${"x".repeat(5000)}: 1\n${oneTenant()}`)?.includes("did you mean"), false);
});

test("A key given twice is refused, with the line of the first", () => {
  assert.deepEqual(refusals("version: 1\ntenants: [{ id: a }]\nversion: 1"), [
    "version is given twice, first in line 1 (3, 1)",
  ]);
});

test("Keys that mean something to JavaScript are unknown keys and nothing else", () => {
  for (const key of ["__proto__", "constructor", "toString", "hasOwnProperty"]) {
    assert.deepEqual(refusals(`${key}: { polluted: 1 }\n${oneTenant()}`), [
      `${key} is not a known key (1, 1)`,
    ]);
    assert.equal(refusals(oneTenant(`limits: { ${key}: { max_frame_bytes: 1 } }`)).length, 1);
  }
  assert.equal(({} as Record<string, unknown>)["polluted"], undefined);
});

test("Merge keys are not part of YAML 1.2 and are refused by name", () => {
  const [line, ...others] = refusals(`metrics: &m { path: /x }\n${oneTenant("limits: { <<: *m }")}`);
  assert.deepEqual(others, []);
  assert.match(line ?? "", /^tenants\[0\]\.limits\["<<"\] is a merge key/);
});

test("An alias repeats its anchor's values, whose failures are placed at the anchor", () => {
  const shared = (bytes: number) =>
    `version: 1\ntenants:\n  - { id: a, limits: &small { max_frame_bytes: ${bytes} } }\n  - { id: b, limits: *small }\n`;
  assert.deepEqual(accepted(shared(9)).config.tenants.map((tenant) => tenant.limits.max_frame_bytes), [9, 9]);
  assert.deepEqual(refusals(shared(0)), [
    "tenants[0].limits.max_frame_bytes must be 1..16777216, got 0 (3, 48)",
    "tenants[1].limits.max_frame_bytes must be 1..16777216, got 0 (3, 48)",
  ]);
});

test("An alias means the nearest anchor before it", () => {
  const text =
    "version: 1\ntenants:\n  - { id: &x a }\n  - { id: &x b, limits: &y { max_rooms_total: &z 1 } }\n" +
    "  - { id: c, limits: { max_rooms_total: &z 2, max_sessions_total: *z } }\n";
  assert.equal(accepted(text).config.tenants[2]?.limits.max_sessions_total, 2);
  assert.deepEqual(refusals(oneTenant("limits: *none")), [
    'tenants[0].limits refers to "none", which no anchor before it names (4, 13)',
  ]);
});

test("An alias within its own anchor, and aliases of aliases, come to a bounded refusal", () => {
  assert.notEqual(refusals("&a\nversion: 1\ngateway: *a\ntenants: [*a]").length, 0);
  const entries = Array.from({ length: 900 }, () => "a:b").join(",");
  const tenants = Array.from({ length: 600 }, (_, i) => `  - { id: t${i}, policy: { ext_allowlist: *e } }\n`)
    .join("");
  const started = performance.now();
  const failures = refusals(
    `version: 1\ntenants:\n  - { id: x, policy: { ext_allowlist: &e [${entries}] } }\n${tenants}`,
  );
  assert.ok(performance.now() - started < 10_000);
  assert.ok(failures[0]?.includes(`a file may come to ${VALUES_MAX}`), failures[0] ?? "no failure");
  assert.equal(failures.length, 1);
});

test("Text that is not one YAML document is refused with its place", () => {
  const [second] = refusals(`${oneTenant()}---\nversion: 1\n`);
  assert.equal(second, "the file must be one YAML document, but a second one starts here (4, 1)");
  assert.match(
    refusals("version: 1\n\ttenants: 1")[0] ?? "",
    /^the file is not valid YAML: Tabs .* \(2, 1\)$/,
  );
  assert.match(refusals("version: [1")[0] ?? "", /^the file is not valid YAML: .* \(1, \d+\)$/);
  assert.match(
    refusals("version: !huh 1\ntenants: []")[0] ?? "",
    /^the file is not valid YAML: Unresolved tag: !huh \(1, 10\)$/,
  );
  assert.match(
    refusals(`gateway: { listen: \${A} }\n${oneTenant()}`)[0] ?? "",
    /within \[ \] and \{ \} write "\$\{NAME\}" with the quotes/,
  );
  for (const deep of ["[", "{a: ", "- ", "? "]) {
    assert.ok(refusals(deep.repeat(200_000 / deep.length)).length <= 20, deep);
  }
});

test("A file that is empty, a list or a single value is refused", () => {
  for (
    const [text, got] of [["", "nothing"], ["# only words\n", "nothing"], ["- a", "a list"], ["42", "42"], [
      "a b",
      '"a b"',
    ]]
  ) {
    assert.match(refusals(text!)[0] ?? "", new RegExp(`^the file must be a map of keys, got ${got}`));
  }
});

test("A section or list with everything commented out is an empty one", () => {
  const { config } = accepted(
    `gateway:\n  # listen: x\n${oneTenant("policy:\n      ext_allowlist:\n      # - room:join")}`,
  );
  assert.equal(config.gateway.ping_interval_ms, 20000);
  assert.deepEqual(config.tenants[0]?.policy.ext_allowlist, []);
  assert.match(
    refusals(oneTenant("policy:\n      rate_limit_rps:"))[0] ?? "",
    /must be 1\.\.1000000000, got nothing \(5, 22\)$/,
  );
});

test("A text needs no quotes when it looks like a number, and a number may be written as YAML 1.2 writes one", () => {
  const { config } = accepted(
    "%YAML 1.1\n---\nversion: 1\ntenants:\n  - id: 007\n    limits: { max_frame_bytes: 0x10 }\n",
  );
  assert.equal(config.tenants[0]?.id, "007");
  assert.equal(config.tenants[0]?.limits.max_frame_bytes, 16);
  assert.equal(refusals(`metrics: { enabled: yes }\n${oneTenant()}`).length, 1);
  assert.equal(refusals(oneTenant('limits: { max_frame_bytes: "16" }')).length, 1);
});

test("A number that would become another one is refused where it stands, and is a text where that is wanted", () => {
  for (const number of ["16.00000000000000000001", "9007199254740993", "0x20000000000001"]) {
    const [first] = refusals(oneTenant(`limits: { max_frame_bytes: ${number} }`));
    assert.match(first ?? "", /max_frame_bytes is a number that no double holds: put it in quotes/, number);
  }
  const { config } = accepted("version: 1\ntenants:\n  - id: 9007199254740993\n");
  assert.equal(config.tenants[0]?.id, "9007199254740993");
});

test("Windows line ends and a byte order mark change nothing", () => {
  accepted(`\ufeff${oneTenant().replaceAll("\n", "\r\n")}`);
  assert.match(refusals("version: 2\r\ntenants: [{ id: '' }]\r\n")[1] ?? "", /\(2, 17\)$/);
});

test("A long value is cut and control characters are escaped in a message", () => {
  const [line] = refusals(`version: 1\ntenants: [{ id: "${"y".repeat(500)}\\u001b[2J" }]`);
  assert.ok(line !== undefined && line.length < 160, line ?? "no line");
  assert.ok(!refusals('version: 1\ntenants: [{ id: "\\u001b[2J" }]')[0]?.includes("\u001b"));
});
