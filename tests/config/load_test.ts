import { strict as assert } from "node:assert";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { FILE_BYTES_MAX, formatIssue, formatWarning, loadConfig, readConfig } from "../../src/config/load.ts";
import { accepted, loadOptions, oneTenant, refusals, refused } from "./loading.ts";

test("A failure reads as one line with file, path, wish, value and place", () => {
  const text = "version: 1\n\ntenants:\n  - id: acme\n    limits:\n      max_frame_bytes: lots\n";
  const [issue] = refused(text);
  assert.deepEqual(issue, {
    path: "tenants[0].limits.max_frame_bytes",
    message: 'must be 1..16777216, got "lots"',
    line: 6,
    column: 24,
  });
  assert.equal(
    formatIssue("gateway.yaml", issue!),
    'Cannot load "gateway.yaml": tenants[0].limits.max_frame_bytes must be 1..16777216, got "lots" (line 6, column 24)',
  );
});

test("A warning reads like a failure and says that the file loads", () => {
  const issue = { path: "tenants[0].id", message: "is odd", line: 3, column: 9 };
  assert.equal(formatWarning("a.yaml", issue), 'Loading "a.yaml": tenants[0].id is odd (line 3, column 9)');
  assert.equal(
    formatIssue("a.yaml", { path: "", message: "the file is odd" }),
    'Cannot load "a.yaml": the file is odd',
  );
});

test("All failures of a file are told at once, in its order, whatever their kind", () => {
  const text = `version: 1
gateway:
  listen: nowhere
  ping_interval_ms: 60000
  quotas: 5000
  idle_timeout: 90000
tenants:
  - id: a
    limits: { max_frame_bytes: lots, max_frame_bytes: 1 }
    policy:
      rules: [{ id: A }]
      sessions: { mode: single }
      rate_limit_rps: \${UNSET}
      ext_allowlist: [no-colon]
    services: [{ svc: room, builtin: chat }]
  - id: a
`;
  assert.deepEqual(
    refusals(text, { dev: false }).map((line) => line.replace(/^(\S+) .* \((\d+), \d+\)$/, "$1 $2")),
    [
      "gateway.listen 3",
      "gateway.ping_interval_ms 4",
      "gateway.quotas 5",
      "gateway.idle_timeout 6",
      "tenants[0] 8",
      "tenants[0].limits.max_frame_bytes 9",
      "tenants[0].limits.max_frame_bytes 9",
      "tenants[0].policy.rules[0].id 11",
      "tenants[0].policy.sessions.max_sessions_per_user 12",
      "tenants[0].policy.rate_limit_rps 13",
      "tenants[0].policy.ext_allowlist[0] 14",
      "tenants[0].services[0].svc 15",
      "tenants[1] 16",
      "tenants[1].id 16",
    ],
  );
});

test("Without --dev every tenant needs auth, and the failure names the tenant and says what to do", () => {
  const failures = refusals(`${oneTenant()}  - id: other\n`, { dev: false });
  assert.equal(failures.length, 2);
  assert.match(failures[0] ?? "", /^tenants\[0\] needs auth, .*"acme".*--dev.* \(3, 5\)$/);
  assert.match(failures[1] ?? "", /^tenants\[1\] needs auth, .*"other"/);
  assert.match(
    refusals(oneTenant("auth: { mode: dev }"), { dev: false })[0] ?? "",
    /^tenants\[0\]\.auth\.mode "dev" accepts anybody and needs --dev/,
  );
});

test("WSPRISM_LISTEN, else PORT, goes before gateway.listen", () => {
  const listen = (env: Record<string, string>, text = oneTenant()) =>
    accepted(text, { env }).config.gateway.listen;
  const local = `gateway: { listen: "127.0.0.1:1" }\n${oneTenant()}`;
  assert.equal(listen({}, local), "127.0.0.1:1");
  // With --dev a port alone is this machine's.
  assert.equal(listen({ PORT: "9000" }), "127.0.0.1:9000");
  assert.equal(listen({}), "127.0.0.1:8080");
  assert.equal(listen({ PORT: "9000" }, `gateway: { listen: ":1" }\n${oneTenant()}`), "0.0.0.0:9000");
  const auth =
    "auth: { mode: static, static: { tickets: [{ ticket: a-ticket-of-some-length, user: ann }] } }";
  const served = `version: 1\ntenants: [{ id: acme, ${auth} }]\n`;
  assert.equal(accepted(served, { dev: false }).config.gateway.listen, "0.0.0.0:8080");
  assert.equal(accepted(served, { dev: false, env: { PORT: "9" } }).config.gateway.listen, "0.0.0.0:9");
  assert.equal(listen({ PORT: "9000" }, local), "127.0.0.1:9000");
  assert.equal(listen({ WSPRISM_LISTEN: "[::]:7", PORT: "9000" }, local), "[::]:7");
  assert.equal(listen({ WSPRISM_LISTEN: ":7" }), "0.0.0.0:7");
  assert.equal(listen({ WSPRISM_LISTEN: "", PORT: "" }, local), "127.0.0.1:1");
});

test("A bad WSPRISM_LISTEN or PORT is a failure that names the variable and keeps its value to itself", () => {
  for (
    const [env, name] of [[{ WSPRISM_LISTEN: "s3cret" }, "WSPRISM_LISTEN"], [
      { PORT: "65536" },
      "PORT",
    ]] as const
  ) {
    const [issue, ...others] = refused(oneTenant(), { env });
    assert.deepEqual(others, []);
    assert.equal(issue?.path, name);
    assert.equal(issue?.line, undefined);
    assert.ok(!JSON.stringify(issue).includes("s3cret"));
  }
});

test("A file over 1 MiB is refused unread, and one at the bound is read", () => {
  const text = oneTenant();
  const filled = (bytes: number) => `${text}#${"x".repeat(bytes - text.length - 1)}`;
  accepted(filled(FILE_BYTES_MAX));
  assert.deepEqual(refusals(filled(FILE_BYTES_MAX + 1)), ["the file must be at most 1048576 bytes"]);
  assert.equal(refusals(`${text}#${"é".repeat(FILE_BYTES_MAX / 2)}`).length, 1);
});

test("A file that cannot be read is a failure that says what to do", async () => {
  const options = { env: {}, dev: true };
  const missing = await readConfig("no/such/file.yaml", options);
  assert.ok(!missing.ok);
  assert.deepEqual(missing.failures, [{
    path: "",
    message: "there is no such file; name one with --config FILE",
  }]);
  const directory = await readConfig(fileURLToPath(new URL(".", import.meta.url)), options);
  assert.ok(!directory.ok);
  assert.match(directory.failures[0]?.message ?? "", /^this is a directory/);
  const latin1 = await readConfig(fileURLToPath(new URL("fixtures/latin1.bin", import.meta.url)), options);
  assert.ok(!latin1.ok);
  assert.deepEqual(latin1.failures, [{ path: "", message: "the file must be UTF-8 text" }]);
});

test("A thousand tenants load, each with what its entry says", () => {
  const entry = (_: unknown, index: number) =>
    `  - { id: t${index}, limits: { max_rooms_total: ${index} } }\n`;
  const { config } = accepted(`version: 1\ntenants:\n${Array.from({ length: 1000 }, entry).join("")}`);
  assert.equal(config.tenants.length, 1000);
  assert.equal(config.tenants[999]?.id, "t999");
  assert.equal(config.tenants[999]?.limits.max_rooms_total, 999);
  assert.notEqual(config.tenants[0]?.policy.ext_allowlist, config.tenants[1]?.policy.ext_allowlist);
});

/** Texts near enough to a configuration that they get past the parser. */
const fragments = fc.constantFrom(
  "version: 1\n",
  "tenants:\n",
  "  - id: a\n",
  "gateway: ",
  "{ ",
  "}",
  "[",
  "]",
  "&a ",
  "*a",
  "<<: ",
  "? ",
  "- ",
  ": ",
  ", ",
  "    policy:\n",
  "      sessions: ",
  "mode: single",
  "${A}",
  "${",
  "$${",
  "!!str ",
  "!x ",
  "\t",
  "\n",
  "---\n",
  "...\n",
  "%YAML 1.1\n",
  "|\n",
  ">-\n",
  "#",
  '"',
  "'",
  "__proto__: ",
  "constructor: ",
  "null",
  "~",
  "1e999",
  "0x10",
  "hot_services: ",
  "kind: state",
  "\u0000",
  "\ufeff",
);

test("No text makes the loader throw, and every refusal has something to say", () => {
  const text = fc.oneof(
    fc.string({ unit: "binary", maxLength: 200 }),
    fc.array(fragments, { maxLength: 40 }).map((x) => x.join("")),
  );
  fc.assert(
    fc.property(text, fc.boolean(), (text, dev) => {
      const result = loadConfig(loadOptions(text, { env: { A: "*a" }, dev }));
      if (result.ok) return;
      assert.notEqual(result.failures.length, 0);
      for (const issue of result.failures) {
        assert.ok(issue.message.length > 0 && !issue.message.includes("\n"));
        if (issue.line !== undefined) {
          assert.ok(issue.line <= text.split(/\r?\n/).length + 1 && issue.column! >= 1);
        }
      }
    }),
    { numRuns: 1500 },
  );
});

test("A fault is found at its own line and column wherever the file puts it", () => {
  const places = fc.record({
    blank: fc.nat(20),
    indent: fc.integer({ min: 1, max: 8 }),
    tenant: fc.nat(5),
    flow: fc.boolean(),
  });
  fc.assert(fc.property(places, ({ blank, indent, tenant, flow }) => {
    const pad = " ".repeat(indent);
    const before = `${"\n".repeat(blank)}version: 1\ntenants:\n${
      Array.from({ length: tenant }, (_, i) => `${pad}- id: t${i}\n`).join("")
    }`;
    const key = flow
      ? `${pad}- { id: x, limits: { max_frame_bytes: `
      : `${pad}- id: x\n${pad}  limits:\n${pad}    max_frame_bytes: `;
    const text = `${before}${key}0${flow ? " } }" : ""}\n`;
    const offset = before.length + key.length;
    const lines = text.slice(0, offset).split("\n");
    const [issue] = refused(text);
    assert.equal(issue?.path, `tenants[${tenant}].limits.max_frame_bytes`);
    assert.deepEqual([issue?.line, issue?.column], [lines.length, lines.at(-1)!.length + 1]);
  }));
});
