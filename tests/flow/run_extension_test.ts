// `wsprism types` and `wsprism run-extension`: what they print, and the codes that they end with.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { compileWasm } from "../extension/assembly_script.ts";
import { type Ended, Folder, ROOT, wsprism } from "./gateway_process.ts";

const HELLO = `
import { greeting } from "./greeting.ts";
interface Greet { readonly name: string }

export default {
  async onMessage({ type, data }: { type: string; data: Greet }, ctx: any) {
    if (type === "refuse") throw new ExtensionError("NOT_FOUND", "nobody of that name");
    if (type === "spin") for (;;);
    if (type === "hang") await new Promise(() => {});
    const times = await ctx.kv.increment("greeted");
    await ctx.publish("lobby", "greeted", data);
    ctx.log.warn("greeted", data.name);
    const nobody: Greet = (type === "fail" ? null : data) as Greet;
    return [greeting(nobody.name), times, ctx.options, ctx.env, ctx.session.user];
  },
  onIngress: () => ({ drop: true }),
  onTick(ctx: any) { ctx.log.info("tick"); },
};
`;
const FILES = {
  "hello.ts": HELLO,
  "greeting.ts": "export const greeting = (name: string) => `hello ${name}`;\n",
  "away.ts": 'import { readFile } from "node:fs";\nexport default { onMessage: readFile };\n',
  "late.ts": 'export default {\n  onMessage() { return import("node:fs"); },\n};\n',
  "syntax.ts": "export default {\n  onMessage( {,\n};\n",
  "wsprism.yaml": JSON.stringify({
    version: 1,
    tenants: [{
      id: "acme",
      services: [{
        svc: "hello",
        worker: "./hello.ts",
        permissions: { kv: true, publish: ["lobby"] },
        options: { from: "file" },
        limits: { timeout_ms: 100 },
      }],
      plugins: [],
    }],
  }),
};

async function run(
  args: readonly string[],
  message: object | null = { svc: "hello", type: "greet", data: { name: "ann" } },
): Promise<Ended> {
  using folder = new Folder();
  for (const [name, text] of Object.entries(FILES)) folder.write(name, text);
  const stdin = message === null ? {} : { stdin: JSON.stringify(message) };
  return await wsprism(["run-extension", ...args], {
    folder: folder.path,
    env: { WSPRISM_HELLO: "env" },
    ...stdin,
  });
}

const message = ["--message", "-"];
const granted = [...message, "--kv", "--publish", "lobby"];
const configured = [...message, "--config", "wsprism.yaml", "--tenant", "acme"];

test("types prints the types, which name every hook and member", async () => {
  using folder = new Folder();
  const { code, stdout, stderr } = await wsprism(["types"], { folder: folder.path });
  assert.deepEqual([code, stderr], [0, ""]);
  for (
    const word of [
      "interface Extension",
      "onIngress?(",
      "interface Context",
      "fetch(",
      "class ExtensionError",
    ]
  ) {
    assert.ok(stdout.includes(word), word);
  }
});

test("A call is made, and what came of it is told", async () => {
  const flags = ["--options", '{"a":1}', "--env", "WSPRISM_HELLO", "--user", "bob"];
  const { code, stdout, stderr } = await run(["hello.ts", ...granted, ...flags]);
  assert.deepEqual([code, stderr], [0, ""]);
  assert.match(stdout, /^reply +\["hello ann",1,{"a":1},{"WSPRISM_HELLO":"env"},"bob"\]$/m);
  assert.match(stdout, /^asked +kv\.increment .* -> ok$/m);
  assert.match(stdout, /^asked +publish .*"room":"lobby".* -> ok$/m);
  assert.match(stdout, /^log +warn: greeted ann$/m);
  assert.match(stdout, /^took +\d+ ms to start, [\d.]+ ms to answer, \d+ MiB in its process$/m);
});

test("With a configuration it has what stands there, and --json is for programs", async () => {
  const { code, stdout } = await run(["hello.ts", ...configured, "--json"]);
  const report = JSON.parse(stdout);
  assert.equal(code, 0);
  assert.deepEqual(report.end.value.slice(0, 3), ["hello ann", 1, { from: "file" }]);
  assert.deepEqual(report.requests.map(({ op, outcome }: Record<string, string>) => [op, outcome]), [
    ["kv.increment", "ok"],
    ["publish", "ok"],
  ]);
  assert.deepEqual(report.log, [{ level: "warn", text: "greeted ann" }]);
  assert.ok(report.start_ms > 0 && report.call_ms >= 0 && report.memory_bytes > 0);
});

test("What is not permitted is refused, as in a gateway", async () => {
  const { code, stdout } = await run(["hello.ts", ...message]);
  assert.equal(code, 1);
  assert.match(stdout, /-> NOT_ALLOWED: permissions\.kv is not given/);
});

test("Failures tell where in the TypeScript they are, and what refuses the message ends with 4", async () => {
  const failed = await run(["hello.ts", ...granted], { svc: "hello", type: "fail", data: { name: "ann" } });
  assert.equal(failed.code, 1);
  assert.match(failed.stdout, /^failed +TypeError: .*\n.*hello\.ts:14:\d+/m);
  const refused = await run(["hello.ts", ...granted], { svc: "hello", type: "refuse" });
  assert.equal(refused.code, 4);
  assert.match(refused.stdout, /^refused +NOT_FOUND: nobody of that name$/m);
  const dropped = await run(["hello.ts", ...granted, "--hook", "onIngress"]);
  assert.deepEqual([dropped.code, /"drop":true/.test(dropped.stdout)], [4, true]);
});

test("What spins is killed, what hangs is late, and a tick needs no message", async () => {
  const spun = await run(["hello.ts", ...granted], { svc: "hello", type: "spin" });
  assert.equal(spun.code, 1);
  assert.match(spun.stdout, /^killed +cpu: /m);
  const hung = await run(["hello.ts", ...configured], { svc: "hello", type: "hang" });
  assert.equal(hung.code, 1);
  assert.match(hung.stdout, /^failed +no answer within limits\.timeout_ms$/m);
  const ticked = await run(["hello.ts", "--hook", "onTick"], null);
  assert.deepEqual([ticked.code, /^log +info: tick$/m.test(ticked.stdout)], [0, true]);
});

test("A file that cannot run ends with 3, and says where", async () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ["away.ts", /away\.ts:1: imports "node:fs"/],
    ["late.ts", /late\.ts:2: import\(\) is not allowed/],
    ["syntax.ts", /syntax\.ts:3: /],
    ["none.ts", /none\.ts: /],
  ];
  for (const [file, why] of cases) {
    const { code, stderr } = await run([file, ...message]);
    assert.equal(code, 3, file);
    assert.match(stderr, why);
  }
});

test("Wrong usage ends with 2, and says how", async () => {
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [["hello.ts"], /needs --message/],
    [["hello.ts", "--message", "none.json"], /Cannot read the message/],
    [["hello.ts", ...message, "--net", "127.1:443"], /--net takes host:port/],
    [["hello.ts", ...message, "--options", "{"], /--options must be JSON/],
    [["hello.ts", ...message, "--tenant", "acme"], /--tenant goes with --config/],
    [["hello.ts", ...message, "--config", "wsprism.yaml"], /--config needs --tenant/],
    [["hello.ts", ...configured, "--kv"], /the other flags go without it/],
    [["greeting.ts", ...configured], /no extension with the file/],
    [["hello.ts", ...message, "--hook", "onNothing"], /onNothing/],
    [["hello.ts", ...message, "--env", "WSPRISM_ABSENT"], /WSPRISM_ABSENT is not set/],
    [["hello.ts", ...message, "--hook", "onJoin"], /./],
  ];
  for (const [args, why] of cases) {
    const { code, stdout, stderr } = await run(args);
    assert.equal(code, 2, args.join(" "));
    assert.match(stderr + stdout, why);
  }
});

/** The code blocks of docs/extensions.md in a language. */
function blocks(language: string): string[] {
  const text = readFileSync(join(ROOT, "docs/extensions.md"), "utf8");
  return [...text.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].filter(([, name]) => name === language)
    .map(([, , code]) => code!);
}

test("The first extension of the documentation answers as it says", async () => {
  using folder = new Folder();
  folder.write("wsprism.yaml", blocks("yaml").find((code) => code.startsWith("# wsprism.yaml"))!);
  folder.write("hello.ts", blocks("ts").find((code) => code.startsWith("// hello.ts"))!);
  const flags = ["--message", "-", "--config", "wsprism.yaml", "--tenant", "acme", "--user", "ann"];
  const stdin = '{"svc":"hello","type":"greet","seq":1}';
  const { code, stdout, stderr } = await wsprism(["run-extension", "hello.ts", ...flags], {
    folder: folder.path,
    stdin,
  });
  assert.deepEqual([code, stderr], [0, ""]);
  assert.match(stdout, /^reply +{"hello":"ann","times":1}$/m);
});

test("The documentation's module in AssemblyScript compiles and answers", async () => {
  using folder = new Folder();
  const source = blocks("ts").find((code) => code.includes("@extism/as-pdk"))!;
  folder.write("score.wasm", await compileWasm(source));
  const { code, stdout } = await wsprism(["run-extension", "score.wasm", "--message", "-"], {
    folder: folder.path,
    stdin: '{"svc":"score","type":"x","data":[1]}',
  });
  assert.equal(code, 0);
  assert.match(stdout, /^reply +{"message":{"svc":"score","type":"x",.*"data":\[1\]}/m);
});

test("A worked example runs as it stands", async () => {
  using folder = new Folder();
  const file = join(ROOT, "config/extensions/match.ts");
  const { code, stdout, stderr } = await wsprism(
    ["run-extension", file, ...message, "--kv", "--options", '{"idle_minutes":1}'],
    { folder: folder.path, stdin: '{"svc":"match","type":"open"}' },
  );
  assert.deepEqual([code, stderr], [0, ""], stdout);
  assert.match(stdout, /^reply +{"room":"match:1"}$/m);
  assert.match(stdout, /^asked +join {"room":"match:1"} -> ok$/m);
});
