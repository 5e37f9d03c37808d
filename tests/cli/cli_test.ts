import { strict as assert } from "node:assert";
import process from "node:process";
import { test } from "node:test";
import { run } from "../../src/cli/mod.ts";

/** Runs a command line in this process. */
async function cli(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  const written = { out: "", err: "" };
  const { stdout, stderr } = process;
  const [out, err] = [stdout.write, stderr.write];
  const note = (name: "out" | "err") => (text: unknown) => {
    written[name] += String(text);
    return true;
  };
  stdout.write = note("out") as typeof out;
  stderr.write = note("err") as typeof err;
  try {
    const code = await run(argv, { version: "1.2.3", commit: "abc" });
    return { code, ...written };
  } finally {
    stdout.write = out;
    stderr.write = err;
  }
}

test("version says what was built and what runs it", async () => {
  const plain = await cli("version");
  assert.deepEqual([plain.code, plain.err], [0, ""]);
  assert.match(plain.out, /^wsprism 1\.2\.3 \(commit abc, (bun|deno|node) \d+\.\d+\.\S+\)\n$/);
  const { version, commit, runtime } = JSON.parse((await cli("version", "--json")).out);
  assert.deepEqual([version, commit], ["1.2.3", "abc"]);
  assert.ok(plain.out.includes(runtime));
});

test("schema prints a JSON Schema of the configuration", async () => {
  const { code, out } = await cli("schema");
  assert.equal(code, 0);
  const schema = JSON.parse(out);
  assert.equal(schema.type, "object");
  assert.deepEqual(Object.keys(schema.properties).sort(), [
    "admin",
    "cluster",
    "extensions",
    "gateway",
    "metrics",
    "tenants",
    "tracing",
    "version",
  ]);
});

test("check accepts the shipped configuration for a start with --dev", async () => {
  const { code, out, err } = await cli("check", "--config", "config/wsprism.yaml", "--dev");
  assert.deepEqual([code, err], [0, ""]);
  assert.match(out, /config\/wsprism\.yaml is good: \d+ tenants?, \d+ warnings?\n\n( {2}.+\n){5}$/);
});

test("check and start refuse what cannot be read, name the file and end with 3", async () => {
  for (const verb of ["check", "start"]) {
    const { code, out, err } = await cli(verb, "--config", "no/such.yaml", "--dev");
    assert.deepEqual([code, out], [3, ""], verb);
    assert.match(err, /no\/such\.yaml/);
    assert.equal(err.trimEnd().split("\n").length, 1, "one line, no stack");
  }
});

test("check without --dev says what a start needs, and ends with 3", async () => {
  const { code, err } = await cli("check", "--config", "config/wsprism.yaml");
  assert.equal(code, 3);
  assert.match(err, /--dev/);
});

test("A wrong command line ends with 2 and says where help is", async () => {
  const cases = [
    ["nonsense"],
    ["check", "--nonsense"],
    ["check", "--config"],
    ["start", "--log-level", "loud"],
    ["start", "--log-format", "xml"],
    ["start", "--transport", "pigeon"],
    ["version", "extra"],
  ];
  for (const argv of cases) {
    const { code, out, err } = await cli(...argv);
    assert.equal(code, 2, argv.join(" "));
    assert.equal(out, "", argv.join(" "));
    assert.match(err, /error: .*\n[\s\S]*--help/, argv.join(" "));
  }
});

test("Help that is asked for is printed and no failure", async () => {
  const { code, out, err } = await cli("--help");
  assert.deepEqual([code, err], [0, ""]);
  for (const word of ["start", "check", "schema", "version", "Exit codes"]) {
    assert.ok(out.includes(word), word);
  }
  for (const verb of ["start", "check", "schema", "version"]) {
    const help = await cli(verb, "--help");
    assert.equal(help.code, 0, verb);
    assert.ok(help.out.startsWith(`Usage: wsprism ${verb}`), verb);
  }
});

test("No verb at all is help, and a usage error", async () => {
  const { code, err } = await cli();
  assert.equal(code, 2);
  assert.match(err, /Usage: wsprism/);
});
