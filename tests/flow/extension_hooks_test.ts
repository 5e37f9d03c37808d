// What extensions are told and what plugins may do, as clients of a real gateway see it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Client, type Message } from "./client.ts";
import { extensionsReady, lastly, sharedGateway, until } from "./gateway_process.ts";

/** Remembers what it was told, and tells it when it is asked. */
const EVENTS = `
const heard: unknown[] = [];
let ticks = 0, started: unknown = null;
export default {
  onStart(ctx) { started = [ctx.session, ctx.options]; },
  onMessage({ type }, ctx) {
    if (type === "started") return started;
    if (type === "ticks") return ticks;
    return heard.splice(0);
  },
  onJoin(event, ctx) { heard.push(["join", event, ctx.session.user]); },
  onLeave(event, ctx) { heard.push(["leave", event, ctx.session.user]); },
  onConnect(event, ctx) { heard.push(["connect", event, ctx.session.user]); },
  onDisconnect(event, ctx) { heard.push(["disconnect", event, ctx.session.user]); },
  onTick(ctx) { ticks++; if (ctx.session !== null) throw new Error("a tick has no session"); },
};
`;

/** Answers in every way that there is. */
const ANSWERS = `
export default {
  async onMessage({ type, data }) {
    switch (type) {
      case "nothing": return undefined;
      case "null": return null;
      case "later": await new Promise((resolve) => Promise.resolve().then(resolve)); return "later";
      case "throws": throw new Error("a secret of the script");
      case "tells": throw new ExtensionError("NOT_FOUND", "no such thing");
      case "unknown": throw new ExtensionError("TEAPOT", "no such code");
      case "rejects": return Promise.reject("text");
      case "large": return "x".repeat(70_000);
      case "cyclic": { const a = {}; a.a = a; return a; }
      case "function": return () => 1;
      case "bigint": return 1n;
      case "deep": { let a = []; for (let i = 0; i < 5000; i++) a = [a]; return a; }
      default: return data;
    }
  },
};
`;

const PLUGIN = `
export default {
  onIngress({ data }, ctx) {
    const text = String(data?.msg);
    if (text.includes("drop")) return { drop: true };
    if (text.includes("reject")) return { reject: { code: "NOT_ALLOWED", msg: "not here" } };
    if (text.includes("throw")) throw new Error("broken");
    if (text.includes("odd")) return { what: 1 };
    if (text.includes("stall")) return new Promise(() => {});
    if (text.includes("change")) return { data: { msg: text + ctx.options.mark } };
  },
};
`;

const plugin = (id: string, mark: string, more: object = {}) => ({
  id,
  match: { service: "chat:*" },
  worker: "./plugin.ts",
  options: { mark },
  limits: { timeout_ms: 200 },
  ...more,
});
const policy = {
  ext_allowlist: ["room:*", "chat:*", "events:*", "answers:*"],
  rate_limit_rps: 1e6,
  rate_limit_burst: 1e6,
};
const chat = { svc: "chat", builtin: "chat" };
const gateway = await sharedGateway({
  gateway: { drain_grace_ms: 0 },
  tenants: [
    {
      id: "acme",
      policy,
      services: [
        { svc: "events", worker: "./events.ts", options: 7, tick_ms: 50 },
        { svc: "answers", worker: "./answers.ts" },
      ],
    },
    { id: "closed", policy, services: [chat], plugins: [plugin("one", "1"), plugin("two", "2")] },
    { id: "open", policy, services: [chat], plugins: [plugin("one", "1", { on_failure: "open" })] },
    {
      id: "some",
      policy,
      services: [chat],
      plugins: [plugin("one", "1", { match: { service: "chat:send", room: "mod:*" } })],
    },
  ],
}, { files: { "events.ts": EVENTS, "answers.ts": ANSWERS, "plugin.ts": PLUGIN }, mayComplain: true });

await extensionsReady(gateway, 6);

let seq = 0;

async function ask(client: Client, svc: string, type: string, data?: unknown): Promise<Message> {
  client.send({ svc, type, seq: ++seq, ...(data === undefined ? {} : { data }) });
  const message = await client.take(`an answer to ${svc}.${type}`) as Message;
  assert.equal(message.seq, seq, JSON.stringify(message));
  return message;
}

test("Hooks tell of sessions and rooms, and of the start and the time", async () => {
  const ann = await Client.open(gateway, { user: "ann", sid: "a" });
  assert.deepEqual((await ask(ann, "events", "started")).data, [null, 7]);
  const bob = await Client.open(gateway, { user: "bob", sid: "b" });
  const session = bob.authed.session;
  await bob.join("red");
  await bob.leave("red");
  await bob.join("blue");
  await bob.close();
  const heard: [string, Record<string, unknown>, string][] = [];
  await until("bob's end to be told", async () => {
    heard.push(...(await ask(ann, "events", "heard")).data);
    return heard.some(([kind]) => kind === "disconnect") ? true : null;
  });
  const who = { user: "bob", sid: "b", session };
  const bobs = heard.filter(([, { user }]) => user === "bob");
  assert.deepEqual(bobs.map(([kind, { room = null }, user]) => [kind, room, user]), [
    ["connect", null, "bob"],
    ["join", "red", "bob"],
    ["leave", "red", "bob"],
    ["join", "blue", "bob"],
    ["leave", "blue", "bob"],
    ["disconnect", null, "bob"],
  ]);
  assert.deepEqual(bobs[0]![1], who);
  assert.deepEqual(bobs[1]![1], { ...who, room: "red", member: bobs[1]![1]["member"], count: 1 });
  const { duration_ms, ...end } = bobs[5]![1];
  assert.deepEqual(end, { ...who, code: 1000, reason: end["reason"] });
  assert.ok(typeof duration_ms === "number" && duration_ms >= 0);
  await until("ticks", async () => (await ask(ann, "events", "ticks")).data >= 2 ? true : null);
  await ann.close();
});

test("What a hook returns is the reply, and what it throws stays in the log unless it is meant for the client", async () => {
  const ann = await Client.open(gateway);
  for (const data of [1, "ä", [null], { a: { b: [] } }, false]) {
    const reply = await ask(ann, "answers", "echo", data);
    assert.deepEqual([reply.svc, reply.type, reply.data], ["answers", "reply", data]);
  }
  assert.equal((await ask(ann, "answers", "null")).data, null);
  assert.equal((await ask(ann, "answers", "later")).data, "later");
  ann.send({ svc: "answers", type: "nothing", seq: ++seq });
  assert.equal((await ask(ann, "answers", "echo", "after")).data, "after");
  for (const type of ["throws", "rejects", "large", "cyclic", "function", "bigint", "deep", "unknown"]) {
    const error = await ask(ann, "answers", type);
    assert.deepEqual([error.type, error.data.code], ["error", "INTERNAL"], type);
    assert.doesNotMatch(JSON.stringify(error), /secret/);
  }
  const told = await ask(ann, "answers", "tells");
  assert.deepEqual([told.data.code, told.data.msg], ["NOT_FOUND", "no such thing"]);
  const line = await gateway.logged("extension failed", ({ error }) => String(error).includes("a secret of"));
  assert.match(String(line["error"]), /answers\.ts:8/);
  await ann.close();
});

test("Messages of a session keep their order, whatever their answers take", async () => {
  const ann = await Client.open(gateway);
  for (let n = 0; n < 50; n++) {
    ann.send({ svc: "answers", type: n % 2 === 0 ? "later" : "echo", seq: n, data: n });
  }
  for (let n = 0; n < 50; n++) assert.equal((await ann.next("answers.reply")).seq, n);
  await ann.close();
});

/** Says something in a room; what came of it. */
async function say(client: Client, msg: string, room = "r"): Promise<string> {
  client.send({ svc: "chat", type: "send", seq: ++seq, room, data: { msg } });
  const { type, data } = await client.take(`an answer to ${msg}`) as Message;
  return type === "error" ? data.code : data.msg;
}

test("Plugins pass, change, drop and reject in their order; one that fails closed refuses", async () => {
  const ann = await Client.open(gateway, { tenant: "closed" });
  await ann.join("r");
  assert.equal(await say(ann, "hello"), "hello");
  assert.equal(await say(ann, "change"), "change12");
  assert.equal(await say(ann, "reject"), "NOT_ALLOWED");
  ann.send({ svc: "chat", type: "send", seq: ++seq, room: "r", data: { msg: "drop" } });
  assert.equal(await say(ann, "after it"), "after it");
  await ann.close();
});

test("A plugin that throws, hangs or answers oddly refuses where it is closed, and lets pass where it is open", async () => {
  const [closed, open] = [
    await Client.open(gateway, { tenant: "closed" }),
    await Client.open(gateway, { tenant: "open" }),
  ];
  for (const client of [closed, open]) await client.join("r");
  const expected = { throw: "INTERNAL", odd: "INTERNAL", stall: "TIMEOUT" };
  for (const [msg, code] of Object.entries(expected)) {
    assert.equal(await say(closed, msg), code);
    assert.equal(await say(open, msg), msg);
  }
  assert.equal(await say(open, "reject"), "NOT_ALLOWED", "a verdict is no failure");
  for (const client of [closed, open]) await client.close();
});

test("A plugin sees what it matches, and nothing else", async () => {
  const ann = await Client.open(gateway, { tenant: "some" });
  for (const room of ["mod:1", "free"]) await ann.join(room);
  assert.equal(await say(ann, "change", "mod:1"), "change1");
  assert.equal(await say(ann, "change", "free"), "change");
  await ann.close();
});

lastly(gateway);
