// Every example of README.md and docs/ is run: those for a shell by tests/flow/docs_test.ts on a real gateway, those in
// Python and JavaScript by the tests beside this one, all else here.

import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { parse } from "yaml";
import { accepted } from "../config/loading.ts";
import { makePair } from "../certificates.ts";
import { compileWasm } from "../extension/assembly_script.ts";
import { type Block, blocksOf, documentOf, DOCUMENTS, placeOf, readBlocks } from "./blocks.ts";

const blocks = DOCUMENTS.flatMap(blocksOf);
const run = blocks.filter(({ notRun }) => notRun === null);
const of = (...languages: readonly string[]) => run.filter(({ language }) => languages.includes(language));

test("Every block says its language, and is run or says why not", () => {
  const known = ["sh", "yaml", "json", "ts", "js", "python", "go", "text"];
  for (const block of run) {
    assert.ok(known.includes(block.language), `${placeOf(block)}: no test runs "${block.language}"`);
    const printed = block.language !== "text" || block.follows;
    assert.ok(printed, `${placeOf(block)}: a text that no shell block before it prints`);
  }
  assert.ok(run.length > 20, `${run.length} blocks`);
});

test("What is not run is what is listed here, each with its reason", () => {
  const left = blocks.filter(({ notRun }) => notRun !== null);
  assert.deepEqual(left.map(({ file, language, notRun }) => `${file} ${language}: ${notRun}`), [
    "README.md sh: the first is tried by tests/flow/process_test.ts, the second is what runs these tests",
    "README.md sh: it asks on a terminal, as tests/flow/first_hour_test.ts does",
    "docs/client.md tsx: it needs React",
    "docs/client.md ts: it needs a browser",
    "docs/deploy.md sh: it builds for seven platforms; tests/flow/release_test.ts does it for one, and installs that",
    "docs/deploy.md sh: it changes the machine; tests/deploy_test.ts reads the files",
    "docs/deploy.md sh: it needs Docker; tests/deploy_test.ts reads the Dockerfile",
    "docs/deploy.md sh: it needs an account at fly.io; tests/deploy_test.ts reads the files",
    "docs/extensions.md rust: it needs crates and a target of Rust's",
    "docs/extensions.md sh: it needs crates and a target of Rust's",
    "docs/operations.md text: two files' differences; tests/config/diff_test.ts has such",
    "docs/recovery.md mermaid: a drawing",
  ]);
});

test("No example hides in an indented block, where nothing runs it", () => {
  const drawings = [
    "docs/architecture.md transport",
    "docs/protocol.md GET",
    "docs/protocol.md GET",
    "docs/protocol.md POST",
    "docs/protocol.md [1][svc_id][opcode][flags]",
  ];
  const found = DOCUMENTS.flatMap((file) => {
    const outside = documentOf(file).replace(/^( *)```[^]*?^\1```$/gm, "");
    return [...outside.matchAll(/\n\n {4}(\S+)/g)].map(([, word]) => `${file} ${word}`);
  });
  assert.deepEqual(found, drawings);
});

/** Sections that a fragment may begin with, and what stands around it in a whole file. */
const AROUND: readonly (readonly [readonly string[], (part: object) => object])[] = [
  [["version", "cluster", "gateway", "admin", "extensions", "metrics", "tracing", "tenants"], (part) => part],
  [["auth", "services", "plugins", "webhooks", "origins", "policy", "limits"], (part) => ({
    tenants: [{ id: "acme", ...part }],
  })],
  [["rules", "quotas"], (part) => ({ tenants: [{ id: "acme", policy: part }] })],
];

/** A fragment as docs/configuration.md says that it is meant. */
function completed(block: Block): string {
  const part = parse(block.text) as Record<string, unknown>;
  const around = AROUND.find(([keys]) => Object.keys(part).every((key) => keys.includes(key)));
  assert.ok(around !== undefined, `${placeOf(block)}: ${Object.keys(part)} stand nowhere together`);
  return JSON.stringify({ version: 1, tenants: [{ id: "acme" }], ...around[1](part) });
}

test("Each YAML example loads, with `version: 1` and a tenant where it leaves them out", () => {
  const fragments = of("yaml");
  assert.ok(fragments.length >= 10, String(fragments.length));
  const pair = makePair("ws.example");
  const path = /\/etc\/letsencrypt\/live\/ws\.example\/(fullchain|privkey)\.pem/g;
  for (const block of fragments) {
    const text = completed(block);
    const names = [...text.matchAll(/\$\{(\w+)\}/g)].map((found) => found[1]!);
    const env = Object.fromEntries(
      names.map((name) => [name, `${name}-0123456789-0123456789-0123456789-012`]),
    );
    const files: Record<string, string> = {
      "./schemas/chat-send.json": '{"type":"object"}',
      "schemas/chat-send.json": '{"type":"object"}',
      "./hello.ts": "export default {};",
    };
    for (const [file, kind] of text.matchAll(path)) {
      files[file] = kind === "privkey" ? pair.key : pair.cert;
    }
    try {
      accepted(text, { env, files, nowMs: Date.now() });
    } catch (error) {
      assert.fail(`${placeOf(block)}: ${(error as Error).message}`);
    }
  }
});

test("Each JSON example is JSON, one value a line or as a whole", () => {
  for (const block of of("json")) {
    try {
      JSON.parse(block.text);
    } catch {
      for (const line of block.text.trim().split("\n")) {
        assert.doesNotThrow(() => JSON.parse(line), `${placeOf(block)}: ${line}`);
      }
    }
  }
});

test('Commands within the text name hosts in full, for curl takes no ":9090"', () => {
  for (const file of DOCUMENTS) {
    for (const [, command] of documentOf(file).matchAll(/`(curl [^`]*)`/g)) {
      assert.match(command!, /https?:\/\/[\w.]+/, `${file}: ${command}`);
    }
  }
});

test("The module in AssemblyScript compiles", async () => {
  const [module, ...others] = of("ts").filter(({ text }) => text.includes("@extism/as-pdk"));
  assert.deepEqual(others, []);
  const wasm = await compileWasm(module!.text);
  const { exports } = await WebAssembly.instantiate(wasm as BufferSource, needs(wasm)).then((all) =>
    "instance" in all ? (all as unknown as { instance: WebAssembly.Instance }).instance : all
  );
  assert.equal(typeof exports["on_message"], "function");
});

/** Stands in for all that a module imports. */
function needs(wasm: Uint8Array): WebAssembly.Imports {
  const imports: Record<string, Record<string, () => bigint>> = {};
  for (const { module, name } of WebAssembly.Module.imports(new WebAssembly.Module(wasm as BufferSource))) {
    (imports[module] ??= {})[name] = () => 0n;
  }
  return imports;
}

const GO = spawnSync("go", ["version"], { stdio: "ignore" }).status === 0 ? {} : { skip: "there is no go" };
test("Signatures are checked in Go", GO, () => {
  const [block, ...others] = of("go");
  assert.deepEqual(others, []);
  const folder = mkdtempSync(join(tmpdir(), "wsprism-go-"));
  try {
    const packages = ["crypto/hmac", "crypto/sha256", "encoding/hex", "fmt", "math", "regexp", "strconv"];
    const imports = [...packages, "strings", "time", "os"].map((name) => `import "${name}"`).join("\n");
    const main = `func main() {
	t := strconv.FormatInt(time.Now().Unix(), 10)
	mac := hmac.New(sha256.New, []byte("s3cret"))
	fmt.Fprintf(mac, "%s.%s", t, "body")
	good := "t=" + t + ",kid=k1,v1=" + hex.EncodeToString(mac.Sum(nil))
	known := map[string]string{"k1": "s3cret"}
	fmt.Fprint(os.Stdout, IsWsprism([]byte("body"), good, known), IsWsprism([]byte("other"), good, known),
		IsWsprism([]byte("body"), good, map[string]string{}), IsWsprism([]byte("body"), "", known))
}`;
    const file = join(folder, "main.go");
    writeFileSync(file, `package main\n\n${imports}\n\n${block!.text}\n${main}\n`);
    const env = { ...process.env, GOCACHE: join(folder, "cache"), GOFLAGS: "-mod=mod", GOTOOLCHAIN: "local" };
    const ended = spawnSync("go", ["run", file], { cwd: folder, env, encoding: "utf8", timeout: 120_000 });
    assert.equal(ended.status, 0, ended.stderr);
    assert.equal(ended.stdout, "true false false false");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("Blocks are found with their places and what comments say of them", () => {
  const text =
    "a\n\n<!-- not run: it is\na sample -->\n<!-- exit: 4 -->\n\n```sh\n# m.json\nx\n```\n\n```text\ny\n```\n";
  const [one, other] = readBlocks("a.md", text);
  assert.deepEqual([one!.line, one!.notRun, one!.exit, one!.name, one!.follows], [
    7,
    "it is\na sample",
    4,
    "m.json",
    false,
  ]);
  assert.deepEqual([other!.line, other!.text, other!.follows], [12, "y\n", true]);
  assert.throws(() => readBlocks("a.md", "```sh\nx\n"), /a\.md:1: the block has no end/);
});
