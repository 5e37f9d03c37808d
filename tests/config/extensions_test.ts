// Extensions in the configuration: what must go together, files that are read with it, and where what is wrong is told.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { diffConfigs, formatChange } from "../../src/config/diff.ts";
import { extensionTerms } from "../../src/config/extension_schema.ts";
import { fingerprint, openFingerprint } from "../../src/config/fingerprint.ts";
import { accepted, oneTenant, refusals } from "./loading.ts";

const files = { "a.ts": "A", "b.ts": "B", "m.wasm": "AGFzbQ==", "bad.ts": "fault at 7" };
const services = (...entries: string[]) => oneTenant(`services: [${entries.join(", ")}]`);
const plugins = (...entries: string[]) => oneTenant(`plugins: [${entries.join(", ")}]`);
const faults = (text: string, env = {}) =>
  refusals(text, { files, env }).map((line) => line.replace(/ \(\d+, \d+\)$/, ""));

test("A service and a plugin are loaded with their programs", () => {
  const text = oneTenant(
    "services: [{ svc: a, worker: a.ts }, { svc: m, wasm: m.wasm }]\n" +
      '    plugins: [{ id: p, match: { service: "chat:*" }, worker: b.ts }]',
  );
  const [tenant] = accepted(text, { files }).config.tenants;
  const [a, m] = tenant!.services, [p] = tenant!.plugins;
  assert.deepEqual(a!.code!.program, {
    kind: "script",
    entry: "a.ts",
    modules: [{ path: "a.ts", code: "A", imports: {} }],
  });
  assert.deepEqual(m!.code!.program, { kind: "wasm", path: "m.wasm", module: "AGFzbQ==" });
  assert.equal(p!.on_failure, "closed");
  assert.match(p!.code!.digest, /^[0-9a-f]{32}$/);
});

test("What is left out has a default that permits nothing", () => {
  const [service] = accepted(services("{ svc: a, worker: a.ts }"), { files }).config.tenants[0]!.services;
  assert.deepEqual(extensionTerms(service!), {
    permissions: { net: [], env: [], kv: false, publish: [], users: false },
    limits: {
      timeout_ms: 1000,
      cpu_ms: 100,
      memory_mb: 64,
      max_pending: 1000,
      fetch_concurrency: 8,
      max_actions_per_second: 1000,
      max_log_lines_per_second: 50,
      kv_max_bytes: 1_048_576,
      max_reply_bytes: 65_536,
      max_timers: 100,
    },
    tickMs: 1000,
  });
  assert.deepEqual(accepted(oneTenant()).config.extensions, { confinement: "required", host_memory_mb: 512 });
});

test("Whatever is wrong is told at its place, all at once", () => {
  assert.deepEqual(faults(services("{ svc: a, worker: a.ts, wasm: m.wasm }")), [
    "tenants[0].services[0].wasm does not go with worker",
  ]);
  assert.deepEqual(faults(services("{ svc: a }")), [
    "tenants[0].services[0] needs one of builtin, http, worker, wasm",
  ]);
  assert.deepEqual(
    faults(services("{ svc: a, builtin: chat, permissions: { kv: true }, tick_ms: 100, options: 1 }")),
    [
      "tenants[0].services[0].permissions is for a service with worker or wasm",
      "tenants[0].services[0].tick_ms is for a service with worker or wasm",
      "tenants[0].services[0].options is for a service with worker or wasm",
    ],
  );
  assert.deepEqual(faults(plugins('{ id: p, match: { service: "*" } }')), [
    "tenants[0].plugins[0] needs one of worker, wasm",
  ]);
  assert.deepEqual(
    faults(plugins('{ id: p, match: { service: "a b" }, worker: a.ts, wasm: m.wasm, on_failure: maybe }')),
    [
      'tenants[0].plugins[0].match.service must be "svc:type", either part may be "*", got "a b"',
      "tenants[0].plugins[0].wasm does not go with worker",
      'tenants[0].plugins[0].on_failure must be one of "closed", "open", got "maybe"',
    ],
  );
  const two = '{ id: p, match: { service: "*" }, worker: a.ts }';
  assert.deepEqual(faults(plugins(two, two)), [
    "tenants[0].plugins[1].id must be unique, but is also plugins[0].id",
  ]);
  assert.deepEqual(faults(services("{ svc: a, worker: a.ts, limits: { cpu_ms: 1, memroy_mb: 3 } }")), [
    "tenants[0].services[0].limits.cpu_ms must be 10..60000, got 1",
    'tenants[0].services[0].limits.memroy_mb is not a known key; did you mean "memory_mb"?',
  ]);
  assert.deepEqual(
    faults(services("{ svc: a, worker: a.ts, permissions: { net: [everywhere], env: [KEY, SET] } }"), {
      SET: "1",
    }),
    [
      "tenants[0].services[0].permissions.net[0] must be host:port, *.host:port, an address or a range such as " +
      '10.0.0.0/8:443 or [fd00::/8]:443, with http:// before it for plain HTTP, got "everywhere"',
      "tenants[0].services[0].permissions.env[0] names a variable that is not set: KEY",
    ],
  );
  assert.deepEqual(faults(`extensions: { confinement: none, host_memory_mb: 1 }\n${oneTenant()}`), [
    'extensions.confinement must be one of "required", "best_effort", got "none"',
    "extensions.host_memory_mb must be 96..1048576, got 1",
  ]);
});

test("A file that cannot be had, or cannot run, is told with its line", () => {
  assert.deepEqual(refusals(services("{ svc: a, worker: no.ts }", "{ svc: b, worker: bad.ts }"), { files }), [
    "tenants[0].services[0].worker must name a file that can run: no.ts: there is no such file (4, 34)",
    "tenants[0].services[1].worker must name a file that can run: bad.ts:7: it is at fault (4, 61)",
  ]);
});

test("A changed file is a changed tenant, by every name of it, and its content is shown to nobody", () => {
  const load = (content: string) =>
    accepted(services("{ svc: a, worker: a.ts, permissions: { kv: true } }"), { files: { "a.ts": content } })
      .config;
  const [before, after] = [load("one"), load("two")];
  assert.notEqual(fingerprint(before.tenants[0]), fingerprint(after.tenants[0]));
  assert.notEqual(openFingerprint(before.tenants[0]!), openFingerprint(after.tenants[0]!));
  assert.equal(openFingerprint(before.tenants[0]!), openFingerprint(load("one").tenants[0]!));
  assert.deepEqual(diffConfigs(before, after).changes.map(formatChange), [
    "services[a].code: changed, not shown",
  ]);
});

test("confinement waits for a restart, host_memory_mb does not", () => {
  const load = (keys: string) => accepted(`extensions: { ${keys} }\n${oneTenant()}`).config;
  const changes = diffConfigs(load(""), load("confinement: best_effort, host_memory_mb: 1000")).changes;
  assert.deepEqual(changes.map(({ key, restart }) => [key, restart]), [
    ["extensions.confinement", true],
    ["extensions.host_memory_mb", false],
  ]);
});

test("options are any value, variables filled in, bounded in depth", () => {
  const load = (options: string, env = {}) =>
    accepted(services(`{ svc: a, worker: a.ts, options: ${options} }`), { files, env }).config.tenants[0]!
      .services[0]!
      .options;
  assert.deepEqual(load("{ a: [1, 2.5, null, true, text, { b: {} }], '1': [] }"), {
    a: [1, 2.5, null, true, "text", { b: {} }],
    1: [],
  });
  assert.deepEqual(load('["${A}", "${B:-x}"]', { A: "5" }), ["5", "x"]);
  assert.equal(load("7"), 7);
  const bad = (options: string) => faults(services(`{ svc: a, worker: a.ts, options: ${options} }`));
  assert.match(bad(`${"[".repeat(100)}${"]".repeat(100)}`)[0]!, /is nested too deeply$/);
  assert.deepEqual(bad("{ a: 1, a: 2 }"), ["tenants[0].services[0].options.a is given twice"]);
  assert.deepEqual(bad("{ __proto__: { x: 1 } }"), [
    "tenants[0].services[0].options.__proto__ is a key that no map can have",
  ]);
  assert.deepEqual(bad('["${NOT_SET}"]').length, 1);
});
