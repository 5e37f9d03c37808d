// The package as its users get it: small, complete, typed, and the same file that the playground has.

import { strict as assert } from "node:assert";
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, test } from "node:test";
import { gzipSync } from "node:zlib";
import { fileURLToPath } from "node:url";
import { WebSocketServer } from "ws";
import { build, bundle, embeddedBundle } from "../../clients/typescript/build.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PACKAGE = join(ROOT, "clients/typescript");
const BUN = join(ROOT, "node_modules/bun/bin/bun.exe");

async function gzipped(name: string): Promise<number> {
  const { code } = await bundle(name);
  return gzipSync(code.replace(/\/\/# sourceMappingURL=.*/, ""), { level: 9 }).length;
}

test("The client is small: minified and compressed, each of its parts has its bound", async () => {
  const bounds = { mod: 6000, hot: 1000, cbor: 2500, sse: 1500, webtransport: 1500 };
  for (const [name, bound] of Object.entries(bounds)) {
    const size = await gzipped(name);
    assert.ok(size <= bound, `${name} is ${size} bytes`);
  }
});

test("What the gateway has embedded for its playground is the library as it is", async () => {
  const embedded = readFileSync(join(ROOT, "src/ops/playground/client.js"), "utf8");
  assert.ok(embedded === await embeddedBundle(), "run: deno task client");
});

test("The package depends on nothing, and its modules have no effects", () => {
  const own = JSON.parse(readFileSync(join(PACKAGE, "package.json"), "utf8"));
  assert.deepEqual([own.dependencies, own.peerDependencies, own.sideEffects, own.type], [
    undefined,
    undefined,
    false,
    "module",
  ]);
  for (const name of readdirSync(join(PACKAGE, "src"))) {
    const text = readFileSync(join(PACKAGE, "src", name), "utf8");
    for (const [, specifier] of text.matchAll(/ from "([^"]+)"/g)) {
      assert.match(specifier!, /^\.\/\w+\.ts$/, name);
    }
    assert.doesNotMatch(text, /\bany\b(?=[\s,;>)\]|&]*[;,>)\]|&=])/, `${name} says any`);
  }
});

test("A part that is not used is not in what a bundler makes", () => {
  const folder = mkdtempSync(join(tmpdir(), "wsprism-shake-"));
  try {
    const entry = join(folder, "main.ts");
    writeFileSync(
      entry,
      `import { WsPrismError } from "${PACKAGE}/src/bundle.ts"; globalThis.x = WsPrismError;`,
    );
    const made = execFileSync(BUN, ["build", "--minify", entry], { encoding: "utf8" });
    assert.ok(made.length < 600, made);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

/** A gateway that says one thing, for programs in other processes. */
async function greeter(): Promise<{ url: string; close(): void }> {
  const server = createServer();
  const sockets = new WebSocketServer({ server, handleProtocols: (offered) => [...offered][0]! });
  sockets.on("connection", (socket, request) => {
    const ticket = request.headers.authorization ?? request.headers["sec-websocket-protocol"];
    const data = {
      tenant: "t",
      user: ticket,
      sid: "s",
      session: "1",
      ping_interval_ms: 20000,
      max_frame_bytes: 16384,
      time_ms: 0,
    };
    socket.send(JSON.stringify({ v: 1, svc: "sys", type: "authed", data }));
    socket.on("message", (text: Uint8Array, isBinary: boolean) => {
      if (isBinary) return socket.send(text);
      const { svc, seq } = JSON.parse(String(text));
      socket.send(JSON.stringify({ v: 1, svc, type: "reply", seq, data: "pong" }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => {
      for (const socket of sockets.clients) socket.terminate();
      server.close();
    },
  };
}

const folder = mkdtempSync(join(tmpdir(), "wsprism-package-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const PROGRAM = `
import { Client, WsPrismError, webSocket } from "wsprism-client";
import { hotLane } from "wsprism-client/hot";
import { cbor } from "wsprism-client/cbor";
import { sse } from "wsprism-client/sse";
if (typeof sse().open !== "function" || typeof cbor.encode !== "function" || new WsPrismError("CLOSED", "x").code !== "CLOSED") throw new Error("parts");
let transport;
if (globalThis.WebSocket === undefined) transport = webSocket({ WebSocket: (await import("ws")).WebSocket });
const client = new Client(process.argv[2], { tenant: "t", ticket: "secret", hot: hotLane, ...(transport && { transport }) });
await client.connect();
const echoed = new Promise((resolve) => client.hot.on(2, (opcode, sender, payload) => resolve([opcode, ...payload])));
const sent = Uint8Array.of(1, 2);
client.hot.send(2, 3, sent);
sent.fill(9);
console.log(JSON.stringify([await client.request("a", "b"), client.session.user, await echoed]));
await client.dispose();
`;

/** Runs a program to its end. */
function run(command: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
    let said = "", failed = "";
    child.stdout.on("data", (bytes: Uint8Array) => said += new TextDecoder().decode(bytes));
    child.stderr.on("data", (bytes: Uint8Array) => failed += new TextDecoder().decode(bytes));
    child.once("error", reject);
    child.once(
      "close",
      (code) => code === 0 ? resolve(said) : reject(new Error(`${command} ended with ${code}: ${failed}`)),
    );
  });
}

test("The packed tarball installs, and connects in Node, Bun and Deno, where its program ends by itself", async () => {
  await build();
  const packed = JSON.parse(await run("npm", ["pack", "--json", PACKAGE])) as {
    filename: string;
    files: { path: string }[];
  }[];
  const files = packed[0]!.files.map(({ path }) => path);
  for (const name of ["mod", "hot", "cbor", "sse", "webtransport"]) {
    for (const kind of ["js", "d.ts", "js.map"]) {
      assert.ok(files.includes(`dist/${name}.${kind}`), `${name}.${kind}`);
    }
  }
  assert.deepEqual(
    files.filter((path) => !/^(dist\/|src\/|package\.json$|README\.md$|LICENSE$)/.test(path)),
    [],
  );
  // What `npm install` does with a tarball that has no dependencies, without the network.
  const home = join(folder, "node_modules/wsprism-client");
  mkdirSync(home, { recursive: true });
  writeFileSync(join(folder, "package.json"), '{"type":"module"}');
  await run("npm", ["install", "--offline", "--no-audit", "--no-fund", join(folder, packed[0]!.filename)]);
  writeFileSync(join(folder, "program.mjs"), PROGRAM);
  mkdirSync(join(folder, "node_modules/ws"), { recursive: true });
  writeFileSync(
    join(folder, "node_modules/ws/package.json"),
    '{"name":"ws","type":"module","main":"index.mjs"}',
  );
  writeFileSync(
    join(folder, "node_modules/ws/index.mjs"),
    `export { WebSocket } from "${ROOT}node_modules/ws/wrapper.mjs";`,
  );
  const gateway = await greeter();
  try {
    const deno = process.env["WSPRISM_DENO"] ??
      (process.versions["deno"] === undefined ? null : process.execPath);
    const programs: (readonly [string, readonly string[]])[] = [["node", []], [BUN, ["run"]]];
    if (deno !== null) {
      programs.push([deno, ["run", "-q", "--no-prompt", "--allow-net", "--allow-read", "--allow-env"]]);
    }
    for (const [command, args] of programs) {
      const said = JSON.parse(
        await run(command, [...args, join(folder, "program.mjs"), gateway.url]),
      ) as unknown[];
      assert.deepEqual([said[0], said[2]], ["pong", [3, 1, 2]], command);
      assert.match(String(said[1]), /Bearer secret|wsprism\.ticket\.c2VjcmV0/, command);
    }
  } finally {
    gateway.close();
  }
});

test("Its declarations are what an application sees: typed once, no any, wrong names refused", async () => {
  writeFileSync(
    join(folder, "app.ts"),
    `
import { Client, type Room, type Status } from "wsprism-client";
import { hotLane } from "wsprism-client/hot";
import { sse } from "wsprism-client/sse";
import { webTransport } from "wsprism-client/webtransport";
interface Services { orders: { place(order: { id: number }): { price: number }; list(): string[] } }
interface Chat { msg: { from: string; msg: string } }
interface Say { send: { msg: string } }
const client = new Client<Services>("wss://x", { tenant: "t", ticket: async () => "fresh", hot: hotLane, transport: webTransport(), fallback: sse() });
const price: number = (await client.request("orders", "place", { id: 1 }, { timeoutMs: 5 })).price;
const list: readonly string[] = await client.request("orders", "list");
// @ts-expect-error: no such service
client.request("order", "place", { id: 1 });
// @ts-expect-error: the data is of another type
client.request("orders", "place", { id: "1" });
// @ts-expect-error: the data is missing
client.request("orders", "place");
const room: Room<Chat, Say> = await client.join<Chat, Say>("lobby", { last: 5 });
room.on("msg", ({ msg }, { offset }) => { const a: string = msg; const b: number | undefined = offset; void [a, b]; });
room.on("gap", ({ reason }) => { const a: string = reason; void a; });
// @ts-expect-error: no such message
room.on("message", () => {});
// @ts-expect-error: the message is of another type
room.send("send", { text: "x" });
for await (const message of room) { const a: string = message.data.msg; void a; }
const off: () => void = client.status.subscribe((status: Status) => { if (status.state === "closed") void status.remedy; });
const untyped = new Client("/", { tenant: "t" });
const unknown: unknown = await untyped.request("any", "thing");
void [price, list, off, unknown];
`,
  );
  const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
  const strict = [
    "--strict",
    "--exactOptionalPropertyTypes",
    "--noUncheckedIndexedAccess",
    "--noEmit",
    "--skipLibCheck",
    "false",
  ];
  const said = await run("node", [
    tsc,
    ...strict,
    "--target",
    "es2022",
    "--module",
    "nodenext",
    "--lib",
    "es2022,esnext.disposable,dom",
    "app.ts",
  ])
    .catch(String);
  assert.equal(said, "");
});

test("The source keeps the house's rules: no circles, no long files, a word on what each is", () => {
  const names = readdirSync(join(PACKAGE, "src"));
  const edges = new Map(names.map((name) => {
    const text = readFileSync(join(PACKAGE, "src", name), "utf8");
    assert.ok(text.startsWith("// ") && text.split("\n").length <= 401, name);
    assert.doesNotMatch(text, /^(export\s+)?(let|var)\s|\benum\s+\w+\s*\{|\bconsole\./m, name);
    return [name, [...text.matchAll(/ from "\.\/(\w+\.ts)"/g)].map(([, to]) => to!)];
  }));
  const visit = (name: string, way: readonly string[]) => {
    assert.ok(!way.includes(name), `a circle: ${[...way, name].join(" -> ")}`);
    for (const next of edges.get(name)!) visit(next, [...way, name]);
  };
  for (const name of names) visit(name, []);
});
