// Extensions that stall, spin, grow, break and change, in a real gateway: who is told what, what comes back, and that
// others do not notice.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Client, type Message } from "./client.ts";
import { extensionsReady, Folder, GatewayProcess, lastly, sharedGateway, until } from "./gateway_process.ts";

/** Does what it is told to, good or bad. */
const WORK = `
let calls = 0;
export default {
  async onMessage({ type, data }, ctx) {
    calls++;
    switch (type) {
      case "echo": return data;
      case "calls": return calls;
      case "slow": await new Promise((resolve) => ctx.setTimeout(resolve, data)); return "slow";
      case "never": return await new Promise(() => {});
      case "spin": for (;;) {}
      case "jobs": { const again = () => Promise.resolve().then(again); await again(); return; }
      case "grow": { const all = []; for (;;) { all.push(new Array(1e5).fill(Math.random())); await new Promise((r) => ctx.setTimeout(r, 1)); } }
      case "add": return await ctx.kv.increment("sum", data);
    }
  },
};
`;

const policy = {
  ext_allowlist: ["room:*", "chat:*", "work:*", "other:*"],
  rate_limit_rps: 1e6,
  rate_limit_burst: 1e6,
};
const limits = { cpu_ms: 400, timeout_ms: 5000, memory_mb: 64 };
const works = (id: string) => ({
  id,
  policy,
  limits: { max_pending_per_session: 1000 },
  services: [
    { svc: "work", worker: "./work.ts", permissions: { kv: true }, limits },
    { svc: "other", worker: "./work.ts", permissions: { kv: true }, limits: { ...limits, timeout_ms: 300 } },
  ],
});
const gateway = await sharedGateway({
  gateway: { drain_grace_ms: 0 },
  tenants: [
    // Two, so that none of their extensions is ended so often that it is left alone.
    works("acme"),
    works("umbrella"),
    {
      id: "globex",
      policy,
      services: [{ svc: "chat", builtin: "chat" }, { svc: "work", worker: "./work.ts", limits }],
    },
  ],
}, { files: { "work.ts": WORK }, mayComplain: true });

await extensionsReady(gateway, 5);

let seqs = 0;

/** The answer to a message: the data of its reply, or an error's code. */
async function ask(client: Client, svc: string, type: string, data: unknown = null): Promise<unknown> {
  const seq = ++seqs;
  client.send({ svc, type, seq, data });
  return said(await answerTo(client, (other) => other === seq));
}

/** The next answer to a message of such a number; others are nobody's here. */
async function answerTo(client: Client, wanted: (seq: number) => boolean): Promise<Message> {
  for (;;) {
    const message = await client.take("an answer") as Message;
    if (message.seq !== undefined && wanted(message.seq)) return message;
  }
}

/** Whether numbers of answers grow, those of replies and of errors each: errors may overtake. */
function assertOrder(answers: readonly Message[]): void {
  for (const isError of [true, false]) {
    const seqs = answers.filter(({ type }) => (type === "error") === isError).map(({ seq }) => seq!);
    assert.deepEqual(seqs, [...seqs].sort((a, b) => a - b));
  }
}

function said({ type, data }: Message): unknown {
  return type === "error" ? data.code : data;
}

/** Asks until an extension that was ended is back. */
async function back(client: Client, svc: string): Promise<void> {
  await until(
    `${svc} to be back`,
    async () => await ask(client, svc, "echo", "back") === "back" ? true : null,
  );
}

test("A hook that takes too long is TIMEOUT, and the next message of the session is served", async () => {
  const ann = await Client.open(gateway);
  const first = seqs + 1;
  for (const type of ["never", "echo", "never", "echo"]) {
    ann.send({ svc: "other", type, seq: ++seqs, data: type });
  }
  const answers: Message[] = [];
  while (answers.length < 4) answers.push(await answerTo(ann, (seq) => seq >= first));
  assertOrder(answers);
  const bySeq = answers.sort((a, b) => a.seq! - b.seq!).map(said);
  assert.deepEqual(bySeq, ["TIMEOUT", "echo", "TIMEOUT", "echo"]);
  ann.close();
});

/** What ends each of them; jobs without end wait for one another, and fill the memory too. */
const CAUSES = { spin: ["cpu"], jobs: ["cpu", "memory"], grow: ["memory"] };

for (const attack of ["spin", "jobs", "grow"] as const) {
  test(`An extension that would never end (${attack}) is ended; its neighbours are back, and other tenants do not notice`, async () => {
    const tenant = attack === "grow" ? "umbrella" : "acme";
    const [ann, bob, eve] = [
      await Client.open(gateway, { tenant }),
      await Client.open(gateway, { tenant }),
      await Client.open(gateway, { tenant: "globex" }),
    ];
    await back(ann, "work");
    const from = gateway.lines.length;
    ann.send({ svc: "work", type: attack, seq: 1, data: null });
    bob.send({ svc: "other", type: "never", seq: 1 });
    let chats = 0;
    const ended = until(
      "the host's end",
      () => gateway.lines.slice(from).find(({ message }) => message === "extension host ended") ?? null,
    );
    let over = false;
    void ended.then(() => over = true);
    eve.send({ svc: "room", type: "join", room: "hall", seq: 1 });
    await eve.next("sys.joined");
    while (!over) {
      eve.send({ svc: "chat", type: "send", room: "hall", data: { msg: String(chats) } });
      assert.equal((await eve.next("chat.msg")).data.msg, String(chats++));
    }
    const line = await ended;
    assert.ok(CAUSES[attack].includes(String(line["cause"])), JSON.stringify(line));
    assert.equal(said(await answerTo(ann, (seq) => seq === 1)), "UNAVAILABLE");
    // A neighbour's call may have been given up before.
    assert.match(String(said(await answerTo(bob, (seq) => seq === 1))), /^(UNAVAILABLE|TIMEOUT)$/);
    await back(ann, "work");
    await back(bob, "other");
    assert.equal(await ask(eve, "work", "echo", 1), 1);
    for (const client of [ann, bob, eve]) client.close();
  });
}

test("Messages of a session are answered in their order through an end and a return", async () => {
  const ann = await Client.open(gateway, { tenant: "umbrella" });
  await back(ann, "work");
  const first = seqs + 1;
  for (let i = 0; i < 200; i++) {
    ann.send({ svc: "work", type: i === 50 ? "spin" : "echo", seq: ++seqs, data: i });
  }
  const answers: Message[] = [];
  while (answers.length < 200) answers.push(await answerTo(ann, (seq) => seq >= first));
  assertOrder(answers);
  answers.sort((a, b) => a.seq! - b.seq!);
  assert.deepEqual(answers.map(({ seq }) => seq! - first), Array.from({ length: 200 }, (_, i) => i));
  for (const [i, answer] of answers.entries()) {
    if (i < 50) assert.equal(said(answer), i);
    else if (i === 50) assert.equal(said(answer), "UNAVAILABLE");
    else assert.ok(said(answer) === i || said(answer) === "UNAVAILABLE", JSON.stringify(answer));
  }
  ann.close();
});

test("What is kept outlives the worker", async () => {
  const ann = await Client.open(gateway);
  await back(ann, "work");
  assert.equal(await ask(ann, "work", "add", 2), 2);
  const pid = hostOf(gateway);
  assert.equal(await ask(ann, "work", "spin"), "UNAVAILABLE");
  await back(ann, "work");
  assert.notEqual(hostOf(gateway), pid);
  assert.equal(await ask(ann, "work", "add", 3), 5);
  ann.close();
});

/** The process that runs the extensions of acme. */
function hostOf({ lines }: GatewayProcess): number {
  const line = lines.findLast((line) => line.message === "extension host ready" && line["tenant"] === "acme");
  return Number(line!["pid"]);
}

test("An extension that is ended again and again is left alone, and the gateway says that it is degraded", async () => {
  await using other = await GatewayProcess.start({
    gateway: { drain_grace_ms: 0 },
    tenants: [{
      id: "acme",
      policy,
      services: [{ svc: "work", worker: "./work.ts", limits }, { svc: "other", worker: "./work.ts", limits }],
    }],
  }, { files: { "work.ts": WORK }, mayComplain: true });
  await extensionsReady(other, 2);
  assert.equal((await other.get("/readyz")).body, "ready");
  const ann = await Client.open(other);
  for (let i = 0; i < 5; i++) {
    await back(ann, "work");
    assert.equal(await ask(ann, "work", "spin"), "UNAVAILABLE");
  }
  await other.logged("extension is left alone for a while, for it was ended too often");
  const ready = await other.get("/readyz");
  assert.deepEqual([ready.status, ready.body], [200, "degraded"]);
  await back(ann, "other");
  assert.equal(await ask(ann, "work", "echo"), "UNAVAILABLE");
  const metrics = await other.metrics();
  assert.equal(metrics.sum("wsprism_extension_up", { extension: "work" }), 0);
  assert.equal(metrics.sum("wsprism_extension_up", { extension: "other" }), 1);
  assert.equal(metrics.sum("wsprism_extension_kills_total", { extension: "work", cause: "cpu" }), 5);
  assert.equal(metrics.sum("wsprism_extension_kills_total", { extension: "other" }), 0);
  ann.close();
  await other.stop();
});

const VERSIONED = (version: string) => `
import { version } from "./version.ts";
export default {
  async onMessage({ type, data }, ctx) {
    if (type === "slow") await new Promise((resolve) => ctx.setTimeout(resolve, 2000));
    return "${version}" + version;
  },
  async onStop(ctx) { await ctx.kv.increment("stops", 1); },
};
`;

test("A changed script is taken up: old calls end on the old one, new ones go to the new, in order", async () => {
  const config = {
    gateway: { drain_grace_ms: 0 },
    tenants: [{
      id: "acme",
      policy,
      services: [{
        svc: "work",
        worker: "./v.ts",
        permissions: { kv: true },
        limits: { timeout_ms: 10_000 },
      }],
    }],
  };
  await using other = await GatewayProcess.start(config, {
    files: { "v.ts": VERSIONED("a"), "version.ts": "export const version: number = 1;" },
    mayComplain: true,
    args: ["--watch"],
  });
  const put = (name: string, text: string) => {
    writeFileSync(join(other.folder, `${name}.new`), text);
    renameSync(join(other.folder, `${name}.new`), join(other.folder, name));
  };
  await extensionsReady(other, 1);
  const [ann, bob] = [await Client.open(other), await Client.open(other)];
  assert.equal(await ask(ann, "work", "fast"), "a1");
  // Several slow ones of a session, one after the other: those behind the reload are the new one's.
  ann.send({ svc: "work", type: "slow", seq: 1 });
  ann.send({ svc: "work", type: "slow", seq: 2 });
  let from = other.lines.length;
  put("v.ts", VERSIONED("b"));
  other.signal("SIGHUP");
  const line = await other.reloaded(from);
  assert.deepEqual(line["changes"], ["acme services[work].code: changed, not shown"]);
  assert.equal(await ask(bob, "work", "fast"), "b1");
  assert.deepEqual(said(await ann.next("work.reply")), "a1");
  assert.deepEqual(said(await ann.next("work.reply")), "b1");
  // What it imports is looked at as well.
  from = other.lines.length;
  put("version.ts", "export const version: number = 2;");
  await other.reloaded(from, 10_000);
  await until("the new version", async () => await ask(bob, "work", "fast") === "b2" ? true : null);
  from = other.lines.length;
  put("version.ts", "export const version: number = ;");
  const refused = await other.reloaded(from, 10_000);
  assert.equal(refused.message, "reload refused, nothing has changed");
  assert.match(
    String((refused["failures"] as string[])[0]),
    /^tenants\[0\]\.services\[0\]\.worker .*version\.ts:1:/,
  );
  assert.equal(await ask(bob, "work", "fast"), "b2");
  from = other.lines.length;
  put("version.ts", "export const version: number = 3;");
  await other.reloaded(from, 10_000);
  await until("the version after that", async () => await ask(bob, "work", "fast") === "b3" ? true : null);
  for (const client of [ann, bob]) client.close();
  await other.stop();
});

test("A script that does not start is told of and tried again; a reload mends it", async () => {
  const config = {
    gateway: { drain_grace_ms: 0 },
    tenants: [{ id: "acme", policy, services: [{ svc: "work", worker: "./w.ts" }] }],
  };
  await using other = await GatewayProcess.start(config, {
    files: {
      "w.ts": "export default {\n  onStart() { throw new Error('not today'); },\n  onMessage() {},\n};",
    },
    mayComplain: true,
  });
  const line = await other.logged("extension does not start");
  assert.match(String(line["error"]), /not today/);
  assert.match(String(line["error"]), /w\.ts:2/, "with its place in the source");
  assert.equal((await other.get("/readyz")).body, "degraded");
  const ann = await Client.open(other);
  assert.equal(await ask(ann, "work", "x"), "UNAVAILABLE");
  writeFileSync(join(other.folder, "w.ts"), "export default { onMessage() { return 'up'; } };");
  const from = other.lines.length;
  other.signal("SIGHUP");
  await other.reloaded(from);
  await until("it to be up", async () => await ask(ann, "work", "x") === "up" ? true : null);
  assert.equal((await other.get("/readyz")).body, "ready");
  ann.close();
  await other.stop();
});

test("With a state_dir, what is kept outlives the gateway, and onStop is the last that is heard", async () => {
  using state = new Folder();
  const config = {
    gateway: { drain_grace_ms: 0, state_dir: state.path },
    tenants: [{
      id: "acme",
      policy,
      services: [{
        svc: "work",
        worker: "./k.ts",
        permissions: { kv: true },
        limits: { timeout_ms: 10_000 },
      }],
    }],
  };
  const options = {
    files: {
      "k.ts": "export default {\n async onMessage(_, ctx) { return await ctx.kv.get('stops') ?? 0; },\n" +
        " async onStop(ctx) { await ctx.kv.increment('stops', 1); },\n};",
    },
    keeps: state.path,
  };
  for (const stops of [0, 1, 2]) {
    await using other = await GatewayProcess.start(config, options);
    const ann = await Client.open(other);
    assert.equal(await ask(ann, "work", "x"), stops);
    ann.close();
    const pid = hostOf(other);
    await other.stop();
    assert.equal(isRunning(pid), false, "no process is left behind");
  }
});

test("A gateway that is killed takes its hosts with it", async () => {
  await using other = await GatewayProcess.start({
    tenants: [{
      id: "acme",
      policy,
      services: [{ svc: "work", worker: "./work.ts", limits: { cpu_ms: 60_000 } }],
    }],
  }, { files: { "work.ts": WORK } });
  await extensionsReady(other, 1);
  const pid = hostOf(other);
  assert.deepEqual(childrenOf(other.pid), [String(pid)]);
  assert.equal(isRunning(pid), true);
  await other.crash();
  await until("the host's end", () => isRunning(pid) ? null : true);
});

test("A tenant without extensions has no process", async () => {
  await using other = await GatewayProcess.start({ tenants: [{ id: "acme", policy }] });
  assert.deepEqual(childrenOf(other.pid), []);
  await other.stop();
});

function childrenOf(pid: number): string[] {
  const list = execFileSync("ps", ["-A", "-o", "ppid=,pid="], { encoding: "utf8" });
  return list.split("\n").map((line) => line.trim().split(/\s+/)).filter(([parent]) => parent === String(pid))
    .map(([, child]) => child!);
}

/** Whether a process runs; one that nobody has asked about its end yet does not. */
function isRunning(pid: number): boolean {
  try {
    // Through a program, for Deno keeps /proc from all but --allow-all.
    const status = execFileSync("cat", [`/proc/${pid}/status`], { encoding: "utf8", stdio: "pipe" });
    return !/^State:\s+[ZX]/m.test(status);
  } catch {
    return false;
  }
}

lastly(gateway);
