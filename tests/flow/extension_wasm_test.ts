// A WASM module as a service and as a plugin of a real gateway, compiled from AssemblyScript by the test.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, test } from "node:test";
import { buildWasm } from "../extension/assembly_script.ts";
import { Client, type Message } from "./client.ts";
import { extensionsReady, Folder, lastly, sharedGateway, wsprism } from "./gateway_process.ts";

const server = createServer((_, response) => response.end("hello"));
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
after(() => {
  server.closeAllConnections();
  server.close();
});
const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

const module = await buildWasm("score.as");
const gateway = await sharedGateway({
  gateway: { drain_grace_ms: 0 },
  tenants: [{
    id: "acme",
    policy: {
      ext_allowlist: ["room:*", "chat:*", "score:*", "bare:*"],
      rate_limit_rps: 1e6,
      rate_limit_burst: 1e6,
    },
    services: [
      { svc: "chat", builtin: "chat" },
      {
        svc: "score",
        wasm: "./score.wasm",
        permissions: { kv: true, publish: ["scores"], net: [origin] },
        limits: { memory_mb: 32 },
      },
      { svc: "bare", wasm: "./score.wasm" },
    ],
    plugins: [{ id: "words", match: { service: "chat:*" }, wasm: "./score.wasm" }],
  }],
}, { files: { "score.wasm": module }, mayComplain: true });
await extensionsReady(gateway, 3);

let seq = 0;

async function ask(client: Client, type: string, data?: object, svc = "score"): Promise<Message> {
  client.send({ svc, type, seq: ++seq, ...(data === undefined ? {} : { data }) });
  for (;;) {
    const message = await client.take(`an answer to ${type}`) as Message;
    if (message.seq === seq) return message;
  }
}

test("It is given message and session, replies, and acts as its permissions let it", async () => {
  const ann = await Client.open(gateway, { user: "ann" });
  await ann.join("scores");
  const { message, session } = (await ask(ann, "echo", { a: 1 })).data;
  assert.deepEqual(message, { svc: "score", type: "echo", room: null, seq, data: { a: 1 } });
  assert.deepEqual([session.user, session.rooms], ["ann", ["scores"]]);
  for (const sum of [1, 2, 3]) {
    ann.send({ svc: "score", type: "add", seq: ++seq });
    const both = [await ann.take("one"), await ann.take("the other")] as Message[];
    assert.deepEqual(both.map(({ type, data }) => [type, data]).sort(), [["reply", sum], ["scored", sum]]);
  }
  await ann.close();
});

test("Without the permission kv and fetch tell so, and what it publishes goes nowhere", async () => {
  const ann = await Client.open(gateway);
  await ann.join("scores");
  assert.equal((await ask(ann, "ask", { url: `${origin}/` }, "bare")).data.error.code, "NOT_ALLOWED");
  const refused = await ask(ann, "add", undefined, "bare");
  assert.equal(refused.data.error.code, "NOT_ALLOWED");
  const granted = (await ask(ann, "ask", { url: `${origin}/` })).data;
  assert.deepEqual([granted.value?.status, granted.value?.text], [200, "hello"], JSON.stringify(granted));
  assert.equal((await ask(ann, "ask", { url: "http://169.254.169.254/" })).data.error.code, "NOT_ALLOWED");
  await ann.hearsNothing();
  await ann.close();
});

test("It logs, refuses in its own words, and says nothing", async () => {
  const ann = await Client.open(gateway);
  ann.send({ svc: "score", type: "log" });
  await gateway.logged("extension says", ({ text }) => String(text).includes("said from wasm"));
  const { data } = await ask(ann, "refuse");
  assert.deepEqual([data.code, data.msg], ["NOT_FOUND", "no such score"]);
  await ann.close();
});

test("A trap is INTERNAL, and the next call is served by a fresh module", async () => {
  const ann = await Client.open(gateway);
  assert.equal((await ask(ann, "trap")).data.code, "INTERNAL");
  assert.equal((await ask(ann, "echo", {})).type, "reply");
  await ann.close();
});

test("Its memory ends where memory_mb says, and an endless loop is ended", async () => {
  const ann = await Client.open(gateway);
  const pages = (await ask(ann, "grow")).data;
  assert.ok(pages > 100 && pages <= 32 * 16, `${pages} pages of 64 KiB`);
  assert.equal((await ask(ann, "spin")).data.code, "UNAVAILABLE");
  await extensionsReady(gateway, 3);
  assert.equal((await ask(ann, "echo", {})).type, "reply");
  await ann.close();
});

test("As a plugin it passes, changes, drops and rejects", async () => {
  const ann = await Client.open(gateway);
  await ann.join("r");
  const say = async (msg: string) => {
    ann.send({ svc: "chat", type: "send", seq: ++seq, room: "r", data: { msg } });
    return (await ann.take(msg) as Message).data;
  };
  assert.equal((await say("hello")).msg, "hello");
  assert.equal((await say("darn")).msg, "****");
  assert.equal((await say("poison")).code, "NOT_ALLOWED");
  ann.send({ svc: "chat", type: "send", seq: ++seq, room: "r", data: { msg: "drop" } });
  assert.equal((await say("after it")).msg, "after it");
  await ann.close();
});

test("It works after more calls than its kernel has blocks", async () => {
  const clients = await Promise.all(Array.from({ length: 32 }, () => Client.open(gateway)));
  const each = 1050; // 32,767 blocks
  await Promise.all(clients.map(async (client) => {
    for (let n = 0; n < each; n++) {
      client.send({ svc: "score", type: "echo", seq: n });
      assert.equal((await client.next("score.reply")).seq, n);
    }
    await client.close();
  }));
});

test("run-extension calls a module as well", async () => {
  using folder = new Folder();
  const file = folder.write("score.wasm", module);
  const { code, stdout, stderr } = await wsprism(
    ["run-extension", file, "--message", "-", "--kv", "--publish", "scores"],
    { folder: folder.path, stdin: '{"svc":"score","type":"add"}' },
  );
  assert.deepEqual([code, stderr], [0, ""]);
  assert.match(stdout, /^reply +1$/m);
  assert.match(stdout, /^asked +publish .*"room":"scores".* -> ok$/m);
});

lastly(gateway);
