// Options that verbs share: how the configuration is named, and where its variables come from. What the command line
// says and refuses besides is in command_line_test.ts.

import assert from "node:assert/strict";
import { chmodSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { Folder, TARGET, wsprism } from "./gateway_process.ts";

const GOOD = 'version: 1\ngateway: { listen: "127.0.0.1:0", drain_grace_ms: 0 }\ntenants: [{ id: acme }]\n';
const LISTENING = { endWhen: /"listening"/ };
/** A configuration that needs two secrets, one of them of 32 characters. */
const SECRETS = `version: 1
gateway: { listen: "127.0.0.1:0" }
admin:
  listen: "127.0.0.1:0"
  keys: [{ id: ops, secret: "\${WSPRISM_OPS}", tenants: ["*"], permissions: [read] }]
tenants:
  - id: acme
    auth: { mode: jwt, jwt: { algorithms: [HS256], keys: [{ kid: k1, secret: "\${WSPRISM_ACME}" }] } }
    policy: { ext_allowlist: ["chat:send"] }
`;
const SECRET = "0123456789-abcdefghijklmnopqrstuv";

test("--version and -v say what version says", async () => {
  using folder = new Folder();
  const at = { folder: folder.path };
  const verb = await wsprism(["version"], at);
  for (const flag of ["--version", "-v"]) assert.deepEqual(await wsprism([flag], at), verb);
  assert.match(verb.stdout, /^wsprism \d+\.\d+\.\d+ /);
});

test("-c FILE, and FILE alone, name the configuration as --config does", async () => {
  using folder = new Folder();
  folder.write("mine.yaml", GOOD);
  const at = { folder: folder.path };
  for (const named of [["-c", "mine.yaml"], ["mine.yaml"], ["--config=mine.yaml"]]) {
    const checked = await wsprism(["check", ...named, "--dev"], at);
    assert.deepEqual([checked.code, checked.stderr], [0, ""], named.join(" "));
    assert.match(checked.stdout, /^mine\.yaml is good: 1 tenant, 1 warning$/m);
    const started = await wsprism(["start", ...named, "--dev"], { ...at, ...LISTENING });
    assert.deepEqual([started.code, started.stderr], [0, ""], named.join(" "));
  }
  for (const verb of ["check", "start"]) {
    const { code, stderr } = await wsprism([verb, "mine.yaml", "--config", "other.yaml", "--dev"], at);
    assert.equal(code, 2, verb);
    assert.match(stderr, verb === "start" ? /both name the configuration/ : /too many arguments: mine\.yaml/);
  }
});

test("--config - reads stdin, and says stdin where it is at fault", async () => {
  using folder = new Folder();
  const at = { folder: folder.path };
  const good = await wsprism(["check", "--config", "-", "--dev"], { ...at, stdin: GOOD });
  assert.deepEqual([good.code, good.stderr], [0, ""]);
  assert.match(good.stdout, /^stdin is good: 1 tenant, 1 warning$/m);
  const bad = await wsprism(["check", "-c", "-", "--dev"], { ...at, stdin: `${GOOD}nonsense: 1\n` });
  assert.deepEqual([bad.code, bad.stdout], [3, ""]);
  assert.match(bad.stderr, /^Cannot load "stdin": nonsense .*\(line 4, column 1\)$/m);
  const started = await wsprism(["start", "-c", "-", "--dev"], { ...at, stdin: GOOD, ...LISTENING });
  assert.deepEqual([started.code, started.stderr], [0, ""]);
  const watching = await wsprism(["start", "-c", "-", "--dev", "--watch"], { ...at, stdin: GOOD });
  assert.equal(watching.code, 2);
  assert.match(watching.stderr, /--watch cannot watch stdin/);
  const large = await wsprism(["check", "-c", "-"], { ...at, stdin: `#${"x".repeat(1_100_000)}\n` });
  assert.equal(large.code, 3);
  assert.match(large.stderr, /^Cannot load "stdin": .*1 ?MiB|1,?048,?576/);
  const both = await wsprism(
    ["explain", "-c", "-", "--tenant", "acme", "--lane", "ext", "--message", "-"],
    { ...at, stdin: GOOD },
  );
  assert.equal(both.code, 2);
  assert.match(both.stderr, /cannot both come from stdin/);
});

test("--env-file completes a configuration, and goes before the environment", async () => {
  using folder = new Folder();
  folder.write("wsprism.yaml", SECRETS.replace("id: acme", 'id: "${WSPRISM_TENANT}"'));
  folder.write(
    "secrets.env",
    `# as systemd and docker read it\nWSPRISM_OPS=${SECRET}\nWSPRISM_ACME="${SECRET}x"\n\nWSPRISM_TENANT=fromfile\n`,
  );
  folder.write("m.json", '{"v":1,"svc":"chat","type":"send","room":"a","data":{"msg":"hi"}}');
  const at = { folder: folder.path, env: { WSPRISM_TENANT: "fromenvironment" } };
  const checked = await wsprism(["check", "--env-file", "secrets.env"], at);
  assert.deepEqual([checked.code, checked.stderr], [0, ""]);
  const ask = ["explain", "--env-file", "secrets.env", "--lane", "ext", "--message", "m.json", "--member"];
  const explained = await wsprism([...ask, "--tenant", "fromfile"], at);
  assert.deepEqual([explained.code, explained.stderr], [0, ""]);
  const other = await wsprism([...ask, "--tenant", "fromenvironment"], at);
  assert.equal(other.code, 2);
  assert.match(other.stderr, /it has fromfile/);
  const without = await wsprism(["check"], at);
  assert.deepEqual([without.code, without.stdout], [3, ""]);
  assert.match(without.stderr, /WSPRISM_OPS/);
  assert.match(without.stderr, /WSPRISM_ACME/);
  const gone = await wsprism(["check", "--env-file", "nope.env"], at);
  assert.deepEqual([gone.code, gone.stdout], [3, ""]);
  assert.equal(gone.stderr, 'Cannot read the variables in "nope.env": there is no such file\n');
});

test("--allow-unset lets something stand in for what is not set, says for what, and finds all other faults", async () => {
  using folder = new Folder();
  const more =
    'gateway:\n  listen: "127.0.0.1:0"\n  max_connections: ${WSPRISM_MAX}\n  state_dir: "/proc/none"';
  const text = SECRETS.replace('gateway: { listen: "127.0.0.1:0" }', more);
  folder.write("wsprism.yaml", text);
  folder.write("bad.yaml", text.replace("permissions: [read]", "permissions: [everything]"));
  folder.write("m.json", '{"v":1,"svc":"chat","type":"send","room":"a","data":{"msg":"hi"}}');
  const at = { folder: folder.path, env: { WSPRISM_ACME: SECRET } };
  const { code, stdout, stderr } = await wsprism(["check", "--allow-unset"], at);
  assert.deepEqual([code, stderr], [0, ""]);
  assert.match(
    stdout,
    /^Not set, and taken to be anything that fits: WSPRISM_(MAX, WSPRISM_OPS|OPS, WSPRISM_MAX)$/m,
  );
  assert.match(stdout, /^wsprism\.yaml is good|\.\/wsprism\.yaml is good/m);
  const bad = await wsprism(["check", "--allow-unset", "-c", "bad.yaml"], at);
  assert.deepEqual([bad.code, bad.stdout], [3, ""]);
  assert.match(bad.stderr, /^Cannot load "bad\.yaml": admin\.keys\[0\]\.permissions\[0\] .*\n$/);
  const asked = await wsprism(
    ["explain", "--allow-unset", "--tenant", "acme", "--lane", "ext", "--message", "m.json", "--member"],
    at,
  );
  assert.deepEqual([asked.code, asked.stderr], [0, ""]);
  const empty = await wsprism(["check", "--allow-unset"], { ...at, env: { WSPRISM_ACME: "" } });
  assert.equal(empty.code, 3, "a variable that is set to nothing is set");
});

test("keys of the whole file that begin with x- are the writer's own, and others are not", async () => {
  using folder = new Folder();
  const at = { folder: folder.path };
  const text = `version: 1
x-limits: &small { max_frame_bytes: 512 }
x-: [anything, { at: all }]
gateway: { listen: "127.0.0.1:0" }
tenants: [{ id: acme, limits: *small }, { id: other, limits: *small }]
`;
  folder.write("wsprism.yaml", text);
  folder.write("inner.yaml", text.replace("id: other,", "id: other, x-note: 1,"));
  const started = await wsprism(["start", "--dev"], { ...at, ...LISTENING });
  assert.deepEqual([started.code, started.stderr], [0, ""]);
  assert.equal(started.stdout.match(/"max_frame_bytes":512/g)?.length, 2);
  const inner = await wsprism(["check", "-c", "inner.yaml", "--dev"], at);
  assert.deepEqual([inner.code, inner.stdout], [3, ""]);
  assert.match(inner.stderr, /^Cannot load "inner\.yaml": tenants\[1\]\.x-note .*line 5/);
});

test("check and start say in words why the state cannot be kept where the file says", async () => {
  using folder = new Folder();
  folder.write("file", "");
  mkdirSync(join(folder.path, "locked"));
  mkdirSync(join(folder.path, "taken", "wsprism.db"), { recursive: true });
  chmodSync(join(folder.path, "locked"), 0o555);
  const root = process.getuid?.() === 0;
  const cases: [string, RegExp][] = [
    ["file", /is a file; name a folder/],
    ["file/below", /cannot be made: ".*\/file" is a file/],
    ["taken", /cannot be used: wsprism\.db in it is no file/],
    ...(root ? [] : [
      ["locked", /cannot be used: user \S+ may not write there \(it is \S+'s, mode 555\)/],
      ["locked/below", /cannot be made: in ".*\/locked" user \S+ may not write there/],
    ] as [string, RegExp][]),
  ];
  try {
    for (const [place, why] of cases) {
      folder.write("wsprism.yaml", GOOD.replace("drain_grace_ms: 0", `state_dir: ./${place}`));
      for (const verb of ["check", "start"]) {
        const { code, stderr } = await wsprism([verb, "--dev"], { folder: folder.path });
        assert.equal(code, verb === "check" ? 3 : 1, `${verb} ${place}: ${stderr}`);
        assert.match(stderr, why, `${verb} ${place}`);
        if (verb === "check") assert.match(stderr, /gateway\.state_dir ".*" .*\(line 2, column \d+\)$/m);
        assert.equal(stderr.trimEnd().split("\n").length, 1, stderr);
      }
    }
  } finally {
    chmodSync(join(folder.path, "locked"), 0o755);
  }
});

test("a listener that cannot be says what is wrong with its address", async () => {
  using folder = new Folder();
  const cases: [string, RegExp][] = [
    ["no-such-host.invalid:0", /Cannot listen on no-such-host\.invalid:0: this host name has no address/],
    ["192.0.2.1:0", /Cannot listen on 192\.0\.2\.1:0: this machine has no such address/],
  ];
  for (const [listen, why] of cases) {
    folder.write("wsprism.yaml", GOOD.replace("127.0.0.1:0", listen));
    const native = TARGET === "deno-native" ? ["--transport", "native"] : [];
    const { code, stderr } = await wsprism(["start", "--dev", ...native], { folder: folder.path });
    assert.equal(code, 1, stderr);
    assert.match(stderr, why);
    assert.equal(stderr.trimEnd().split("\n").length, 1, stderr);
  }
});
