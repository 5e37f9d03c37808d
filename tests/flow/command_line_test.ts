// The command line: verbs, help, exit codes, where a configuration comes from and what is said about it.

import assert from "node:assert/strict";
import { mkdirSync, readdirSync } from "node:fs";
import { type AddressInfo, createServer, type Server } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { Client } from "./client.ts";
import { Folder, GatewayProcess, ROOT, type RunOptions, TARGET, until, wsprism } from "./gateway_process.ts";

const GOOD = 'version: 1\ngateway: { listen: "127.0.0.1:0", drain_grace_ms: 0 }\ntenants: [{ id: acme }]\n';

/** Runs a verb in an empty folder. */
async function run(args: readonly string[], options: Partial<RunOptions> = {}) {
  using folder = new Folder();
  return await wsprism(args, { folder: folder.path, ...options });
}

/** Runs a verb in a folder with these files. */
async function runWith(
  files: Readonly<Record<string, string>>,
  args: readonly string[],
  options: Partial<RunOptions> = {},
) {
  using folder = new Folder();
  for (const [name, text] of Object.entries(files)) {
    if (name.includes("/")) mkdirSync(join(folder.path, name, ".."), { recursive: true });
    folder.write(name, text);
  }
  return await wsprism(args, { folder: folder.path, ...options });
}

const runtime = TARGET.startsWith("deno") ? /deno \d+\.\d+\.\d+/ : /bun \d+\.\d+\.\d+/;

test("help lists every verb, and each verb's help its options, on stdout with exit code 0", async () => {
  const all = await run(["--help"]);
  assert.deepEqual([all.code, all.stderr], [0, ""]);
  for (const verb of ["start", "check", "token", "check-token", "schema", "version"]) {
    assert.match(all.stdout, new RegExp(`^  ${verb} `, "m"));
  }
  assert.match(all.stdout, /Exit codes: 0 done, 1 .*, 2 usage, 3 /);
  const options: Record<string, RegExp[]> = {
    start: [
      /--config <file>/,
      /--dev /,
      /--log-level <level>/,
      /--log-format <format>/,
      /--transport <kind>/,
    ],
    check: [/--config <file>/, /--dev /],
    token: [
      /--tenant <id>/,
      /--user <name>/,
      /--ttl <time>/,
      /--claim <name=value>/,
      /--kid <id>/,
      /Examples:/,
    ],
    "check-token": [/--tenant <id>/, /\[ticket\]/, /Exit codes: 0/],
    schema: [/JSON Schema/],
    version: [/--json/],
  };
  await Promise.all(
    Object.entries(options).map(async ([verb, expected]) => {
      const help = await run([verb, "--help"]);
      assert.deepEqual([help.code, help.stderr], [0, ""]);
      for (const option of expected) assert.match(help.stdout, option);
    }),
  );
});

test("a wrong command line is told on stderr, with where to find help, and exit code 2", async () => {
  const cases: [string[], RegExp][] = [
    [[], /Usage: wsprism/],
    [["frob"], /unknown command 'frob'/],
    [["check", "--frob"], /unknown option '--frob'[^]*wsprism check --help/],
    [["check", "one.yaml", "two.yaml"], /too many arguments/],
    [["check", "--config"], /argument missing/],
    [["start", "--log-level", "loud"], /debug, info, warning, error/],
    [["start", "--log-format", "xml"], /pretty, json/],
    [["start", "--transport", "pigeon"], /auto, native, node/],
    [["version", "--yaml"], /unknown option/],
  ];
  await Promise.all(cases.map(async ([args, expected]) => {
    const { code, stdout, stderr } = await run(args);
    assert.equal(code, 2, args.join(" "));
    assert.equal(stdout, "");
    assert.match(stderr, expected);
  }));
});

test("version tells version, commit and runtime, as a line or as JSON", async () => {
  const line = await run(["version"]);
  assert.equal(line.code, 0);
  assert.match(line.stdout, /^wsprism \d+\.\d+\.\d+ \(commit \S+, (bun|deno) \d+\.\d+\.\d+\)\n$/);
  assert.match(line.stdout, runtime);
  const json = await run(["version", "--json"]);
  const { version, commit, runtime: on, ...rest } = JSON.parse(json.stdout);
  assert.deepEqual(rest, {});
  assert.equal(line.stdout, `wsprism ${version} (commit ${commit}, ${on})\n`);
});

test("schema prints a strict JSON Schema", async () => {
  const { code, stdout, stderr } = await run(["schema"]);
  assert.deepEqual([code, stderr], [0, ""]);
  const schema = JSON.parse(stdout);
  assert.equal(schema.$schema, "https://json-schema.org/draft/2020-12/schema");
  assert.deepEqual(Object.keys(schema.properties), [
    "version",
    "gateway",
    "admin",
    "cluster",
    "extensions",
    "metrics",
    "tracing",
    "tenants",
  ]);
  assert.deepEqual(schema.required.toSorted(), ["tenants", "version"]);
  let objects = 0;
  const walk = (node: unknown): void => {
    if (typeof node !== "object" || node === null) return;
    if ("properties" in node && "type" in node && node.type === "object") {
      objects++;
      assert.equal((node as { additionalProperties?: unknown }).additionalProperties, false);
    }
    Object.values(node).forEach(walk);
  };
  walk(schema);
  assert.ok(objects >= 9, `${objects} objects`);
});

test("check says that a good file is good, warnings included, with exit code 0", async () => {
  const { code, stdout, stderr } = await runWith({ "a.yaml": GOOD }, [
    "check",
    "--config",
    "a.yaml",
    "--dev",
  ]);
  assert.deepEqual([code, stderr], [0, ""]);
  const lines = stdout.trimEnd().split("\n");
  assert.match(lines[0]!, /^Loading "a\.yaml": tenants\[0\]\.id .*--dev.* \(line 3, column \d+\)$/);
  assert.deepEqual(lines.slice(1), [
    "a.yaml is good: 1 tenant, 1 warning",
    "",
    "  clients  ws://127.0.0.1:0/v1/ws, from this machine only",
    "  tickets  acme: ANYBODY, under any name (--dev)",
    "  pages    acme: of the same host, and of this machine (--dev)",
    "  admin    no admin API",
    "  metrics  http://127.0.0.1:0/metrics, to whoever reaches it, without a key",
  ]);
});

const BAD = `version: 1
gateway:
  listen: nonsense
  drain_grace: 5
  idle_timeout_ms: 10000
tenants:
  - id: "a b"
  - id: twin
    limits: { max_frame_bytes: lots }
  - id: twin
`;

test("check tells all failures at once, each with its place and the nearest key, with exit code 3", async () => {
  for (const verb of ["check", "start"]) {
    const { code, stdout, stderr } = await runWith({ "bad.yaml": BAD }, [
      verb,
      "--config",
      "bad.yaml",
      "--dev",
    ]);
    assert.deepEqual([code, stdout], [3, ""]);
    const lines = stderr.trimEnd().split("\n");
    assert.ok(
      lines.every((line) => /^Cannot load "bad\.yaml": .* \(line \d+, column \d+\)$/.test(line)),
      stderr,
    );
    assert.deepEqual(lines.map((line) => /: (\S+) .*\((line \d+)/.exec(line)!.slice(1).join(" ")), [
      "gateway.listen line 3",
      "gateway.drain_grace line 4",
      "gateway.idle_timeout_ms line 5",
      "tenants[0].id line 7",
      "tenants[1].limits.max_frame_bytes line 9",
      "tenants[2].id line 10",
    ]);
    assert.match(lines[1]!, /did you mean "drain_grace_ms"/);
    assert.match(lines[4]!, /1\.\.16777216, got "lots"/);
  }
});

test("a file that isn't there, is no file or no YAML is refused with a reason and exit code 3", async () => {
  const cases: [Record<string, string>, string, RegExp][] = [
    [{}, "nope.yaml", /there is no such file/],
    [{ "folder/x.yaml": GOOD }, "folder", /directory/],
    [{ "broken.yaml": "version: 1\ntenants: [" }, "broken.yaml", /line \d/],
    [{ "empty.yaml": "" }, "empty.yaml", /empty\.yaml/],
    [{ "list.yaml": "- 1" }, "list.yaml", /list\.yaml/],
  ];
  await Promise.all(cases.map(async ([files, name, expected], i) => {
    const verb = i === 0 ? "start" : "check";
    const { code, stdout, stderr } = await runWith(files, [verb, "--config", name, "--dev"]);
    assert.deepEqual([code, stdout], [3, ""], name);
    assert.match(stderr, expected);
    assert.ok(!stderr.includes("    at "), stderr);
  }));
});

test("without --config it is ./wsprism.yaml, then ./config/wsprism.yaml, then a refusal", async () => {
  const other = GOOD.replace("acme", "other, policy: { ext_allowlist: [] }");
  const both = await runWith({ "wsprism.yaml": GOOD, "config/wsprism.yaml": other }, ["check", "--dev"]);
  assert.match(both.stdout, /\.\/wsprism\.yaml is good: 1 tenant, 1 warning/);
  const second = await runWith({ "config/wsprism.yaml": other }, ["check", "--dev"]);
  assert.match(second.stdout, /\.\/config\/wsprism\.yaml is good: 1 tenant, 2 warnings/);
  const none = await run(["check", "--dev"]);
  assert.equal(none.code, 3);
  assert.match(none.stderr, /\.\/wsprism\.yaml or \.\/config\/wsprism\.yaml.*--config FILE/);
  const started = await runWith({ "config/wsprism.yaml": GOOD }, ["start", "--dev"], {
    endWhen: /"listening"/,
  });
  assert.deepEqual([started.code, started.stderr], [0, ""]);
});

test("a start without --dev is refused with the reason and exit code 3, and so is its check", async () => {
  for (const verb of ["start", "check"]) {
    const { code, stdout, stderr } = await runWith({ "wsprism.yaml": GOOD }, [verb]);
    assert.deepEqual([code, stdout], [3, ""]);
    assert.match(stderr, /tenants\[0\] needs auth, so that tenant "acme" .*--dev/);
  }
});

test("the configuration of wsPrism v1, the shipped one and the examples pass check with warnings only", async () => {
  const examples = readdirSync(`${ROOT}/config/examples`).filter((name) => name.endsWith(".yaml"))
    .map((name) => `config/examples/${name}`);
  const files = ["tests/config/fixtures/v1.yaml", "config/wsprism.yaml", ...examples];
  assert.ok(examples.length >= 3);
  await Promise.all(files.map(async (file) => {
    const secret = "0123456789-abcdefghijklmnopqrstuv";
    const { code, stdout, stderr } = await run(["check", "--dev", "--config", `${ROOT}/${file}`], {
      env: { WSPRISM_GAME_SECRET: secret, WSPRISM_CHAT_SECRET: secret },
    });
    assert.deepEqual([code, stderr], [0, ""], file);
    assert.match(
      stdout,
      / is good: \d+ tenants?, \d+ warnings?\n\n( {2}(clients|tickets|pages|admin|metrics) .+\n){5}$/,
    );
    if (!file.includes("v1")) return;
    assert.match(stdout, /"metrics:subscribe" names a service that this tenant doesn't have/);
    assert.match(stdout, /is good: 3 tenants/);
  }));
});

/** A listener that holds a port. */
function holdPort(): Promise<Server> {
  return new Promise((resolve) => {
    const server = createServer();
    server.listen(0, "127.0.0.1", () => resolve(server));
  });
}

async function freePort(): Promise<number> {
  const server = await holdPort();
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

test("a port in use is told in one line, with exit code 1", async () => {
  const holder = await holdPort();
  try {
    const { port } = holder.address() as AddressInfo;
    const { code, stderr } = await runWith(
      { "wsprism.yaml": GOOD.replace(":0", `:${port}`) },
      ["start", "--dev", ...(TARGET === "deno-native" ? ["--transport", "native"] : [])],
    );
    assert.equal(code, 1);
    assert.equal(stderr, `Cannot start: Cannot listen on 127.0.0.1:${port}: the address is in use\n`);
  } finally {
    holder.close();
  }
});

test("a transport that the runtime doesn't have is refused with exit code 1", async () => {
  const started = await runWith({ "wsprism.yaml": GOOD }, ["start", "--dev", "--transport", "node"], {
    endWhen: /"listening"/,
  });
  if (TARGET.startsWith("deno")) assert.equal(started.code, 0, started.stderr);
  else {
    assert.equal(started.code, 1);
    assert.match(started.stderr, /^Cannot start: Cannot use transport "node" on Bun.*\n$/);
  }
});

test("WSPRISM_LISTEN, else PORT, goes before the file", async () => {
  const [one, other] = [await freePort(), await freePort()];
  const cases: [Record<string, string>, number][] = [
    [{ WSPRISM_LISTEN: `127.0.0.1:${one}` }, one],
    [{ PORT: `${other}` }, other],
    [{ WSPRISM_LISTEN: `127.0.0.1:${one}`, PORT: `${other}` }, one],
  ];
  for (const [env, port] of cases) {
    await using gateway = await GatewayProcess.startText(GOOD, { env });
    const line = await gateway.logged("listening");
    assert.deepEqual([line["hostname"], line["port"]], ["127.0.0.1", port]);
    assert.equal((await gateway.get("/healthz")).status, 200);
    await gateway.stop();
  }
  for (const env of [{ WSPRISM_LISTEN: "nonsense" }, { PORT: "70000" }, { PORT: "http" }]) {
    const { code, stderr } = await runWith({ "wsprism.yaml": GOOD }, ["start", "--dev"], { env });
    assert.equal(code, 3);
    assert.match(stderr, new RegExp(`${Object.keys(env)[0]} in the environment must be`));
  }
});

test("a file takes values from the environment, and a missing one is an error with its place", async () => {
  const text = GOOD.replace("acme", '"${WSPRISM_TEST_TENANT}-${WSPRISM_TEST_SUFFIX:-x}"');
  await using gateway = await GatewayProcess.startText(text, { env: { WSPRISM_TEST_TENANT: "acme" } });
  const client = await Client.open(gateway, { tenant: "acme-x" });
  await client.close();
  await gateway.stop();
  const { code, stderr } = await runWith({ "wsprism.yaml": text }, ["start", "--dev"]);
  assert.equal(code, 3);
  assert.match(stderr, /WSPRISM_TEST_TENANT.*\(line 3, column \d+\)/);
});

test("a pipe gets JSON lines, one a tenant and one when it listens, and --log-format pretty is for eyes", async () => {
  const two = GOOD.replace("{ id: acme }", "{ id: acme }, { id: other }");
  const json = await runWith({ "wsprism.yaml": two }, ["start", "--dev"], { endWhen: /"listening"/ });
  const lines = json.stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(
    lines.filter(({ message }) => message === "tenant ready").map(({ tenant }) => tenant),
    ["acme", "other"],
  );
  assert.equal(lines.filter(({ message }) => message === "listening").length, 1);
  assert.ok(lines.every(({ level }) => typeof level === "string"));
  const pretty = await runWith({ "wsprism.yaml": two }, ["start", "--dev", "--log-format", "pretty"], {
    endWhen: /listening/,
  });
  assert.deepEqual([pretty.code, pretty.stderr], [0, ""]);
  assert.match(
    pretty.stdout,
    /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z info {2}tenant ready {2}tenant=acme /m,
  );
  assert.match(
    pretty.stdout,
    /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z info {2}listening {2}hostname=127\.0\.0\.1 {2}port=\d+ /m,
  );
});

test("--log-level bounds what is logged from below", async () => {
  const port = await freePort();
  const file = { "wsprism.yaml": GOOD.replace(":0", `:${port}`) };
  const alive = (ended: () => boolean) =>
    until("the gateway to answer", async () => {
      if (ended()) return true;
      const answer = await fetch(`http://127.0.0.1:${port}/healthz`).catch(() => null);
      await answer?.text();
      return answer?.status === 200 ? true : null;
    });
  for (const [level, levels] of [["error", []], ["warning", ["WARN"]]] as const) {
    const { code, stdout, stderr } = await runWith(file, ["start", "--dev", "--log-level", level], {
      endWhen: alive,
    });
    assert.deepEqual([code, stderr], [0, ""]);
    const seen = stdout.trimEnd().split("\n").filter((line) => line !== "").map((line) =>
      JSON.parse(line).level
    );
    assert.deepEqual([...new Set(seen)], levels);
  }
  await using gateway = await GatewayProcess.startText(GOOD, { args: ["--log-level", "debug"] });
  const client = await Client.open(gateway, { user: "ann", sid: "tab" });
  const opened = await gateway.logged("session opened");
  const { tenant, user, session, trace_id, address } = opened;
  assert.deepEqual([tenant, user, address], ["acme", "ann", "127.0.0.1"]);
  assert.equal(session, client.authed.session);
  client.send({ svc: "sys", type: "ping" });
  assert.equal((await client.next("sys.pong")).trace_id, trace_id);
  await client.close();
  await gateway.logged("session closed", (line) => line["trace_id"] === trace_id && line["code"] === 1000);
  await gateway.stop();
});

test("with an access log, who comes, goes and is refused is told at info, and a reload ends it", async () => {
  const config = (access_log: boolean) => ({
    gateway: { access_log, drain_grace_ms: 0 },
    tenants: [{ id: "acme" }],
  });
  await using gateway = await GatewayProcess.start(config(true));
  const client = await Client.open(gateway, { user: "ann" });
  const opened = await gateway.logged("session opened");
  assert.deepEqual([opened.level, opened["transport"], opened["address"]], [
    "INFO",
    "websocket",
    "127.0.0.1",
  ]);
  const ping = '{"v":1,"svc":"sys","type":"ping"}';
  for (let i = 0; i < 2; i++) client.send(ping);
  client.binary([1, 200, 1, 0, 5]);
  await client.next("sys.pong");
  await client.next("sys.pong");
  await client.close();
  const closed = await gateway.logged("session closed");
  const said = ["level", "user", "address", "transport", "code", "reason"].map((name) => closed[name]);
  assert.deepEqual(said, ["INFO", "ann", "127.0.0.1", "websocket", 1000, "client_closed"]);
  const heard = ["ext_messages_in", "ext_bytes_in", "hot_messages_in", "hot_bytes_in"];
  assert.deepEqual(heard.map((name) => closed[name]), [2, 2 * ping.length, 1, 5]);
  assert.equal(typeof closed["duration_ms"], "number");
  // More than are told without it.
  for (let i = 0; i < 20; i++) {
    await assert.rejects(Client.connect(gateway, { tenant: "nobody", ticket: "s3cr3t" }));
  }
  const refused = () => gateway.lines.filter(({ message }) => message === "handshake refused");
  await until("every refusal to be told", () => Promise.resolve(refused().length === 20));
  assert.ok(!JSON.stringify(gateway.lines).includes("s3cr3t"));
  await gateway.reload(config(false));
  const count = gateway.lines.filter(({ message }) => message === "session opened").length;
  await (await Client.open(gateway)).close();
  await gateway.stop();
  assert.equal(gateway.lines.filter(({ message }) => message === "session opened").length, count);
});

test("a transport's lacks are warned of at the start, and named", async () => {
  await using gateway = await GatewayProcess.startText(GOOD);
  const { transport } = await gateway.logged("listening");
  const warned = gateway.lines.filter(({ message }) => message.startsWith("this transport lacks"));
  if (TARGET === "deno-native") {
    assert.equal(transport, "deno");
    assert.equal(warned.length, 1);
    assert.match(warned[0]!.message, /own pings.*stalled.*fragmented/);
  } else {
    assert.equal(transport, TARGET === "deno" ? "node" : "bun");
    assert.deepEqual(warned, []);
  }
  await gateway.stop();
});
