// A tenant's extensions from the gateway's side: calls and what comes of them, ends and returns, and who is to blame.

import { Json } from "../../src/protocol/json.ts";
import { strict as assert } from "node:assert";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { writeChunk } from "../../src/extension/chunks.ts";
import { HOST_SLOT } from "../../src/program/messages.ts";
import { outcomeOf, session, Stage, WALLS } from "./stage.ts";

const ONE = "services: [{ svc: a, worker: a.ts }]";
const TWO = "services: [{ svc: a, worker: a.ts }, { svc: b, worker: b.ts }]";

test("A call waits for its worker, goes with what a turn has, and its result is the reply", async () => {
  const stage = new Stage(ONE);
  const [first, second] = [
    stage.ask("a", { data: Json.of({ x: 1 }) }),
    stage.ask("a", { seq: null, room: "r" }),
  ];
  await stage.ready();
  const calls = stage.calls("a");
  assert.deepEqual(calls, [
    {
      kind: "call",
      id: 1,
      hook: "onMessage",
      input: { svc: "a", type: "t", room: null, seq: 1, data: { x: 1 } },
      session: { id: "s-ann", user: "ann", tenant: "acme", rooms: [], activeRoom: null, claims: {} },
      traceId: "t-ann",
    },
    { ...calls[1]!, id: 2, input: { svc: "a", type: "t", room: "r", seq: null, data: null } },
  ]);
  stage.say("a", { kind: "result", id: 2, value: [1] }, { kind: "result", id: 1 });
  assert.deepEqual([await outcomeOf(first), await outcomeOf(second)], [{ reply: undefined }, { reply: [1] }]);
});

test("The host is started with the program, its options, the variables it may see and its limits, and no other", async () => {
  const stage = new Stage(
    "services: [{ svc: a, worker: a.ts, options: { deep: [1, { x: null }] }, permissions: { env: [KEY] }, limits: { cpu_ms: 7000 } }]",
  );
  await stage.turn();
  const [command] = stage.host.commands;
  assert.ok(command?.kind === "spawn");
  assert.deepEqual(command.spec, {
    tenant: "acme",
    extension: "a",
    role: "service",
    program: { kind: "script", entry: "a.ts", modules: [{ path: "a.ts", code: "A", imports: {} }] },
    options: { deep: [1, { x: null }] },
    env: { KEY: "value" },
    limits: { cpuMs: 7000, memoryMb: 64, maxReplyBytes: 65536, maxRequests: 1000, maxTimers: 100 },
  });
});

test("What a hook throws is INTERNAL and in the log, unless it is meant for the client", async () => {
  const stage = new Stage(ONE);
  await stage.ready();
  const answers = [1, 2, 3].map(() => stage.ask("a"));
  await stage.turn();
  stage.say("a", { kind: "thrown", id: 1, error: "Error: secret\n at a.ts:3" });
  stage.say("a", { kind: "thrown", id: 2, code: "NOT_FOUND", msg: "no such thing", error: "e" });
  stage.say("a", { kind: "thrown", id: 3, code: "MADE_UP", msg: "x", error: "e" });
  assert.deepEqual(await Promise.all(answers.map(outcomeOf)), ["INTERNAL", "NOT_FOUND", "INTERNAL"]);
  const [line, ...others] = stage.lines("extension failed");
  assert.equal(others.length, 0);
  assert.deepEqual(line, {
    tenant: "acme",
    extension: "a",
    hook: "onMessage",
    error: "Error: secret\n at a.ts:3",
    session: "s-ann",
    user: "ann",
    trace_id: "t-ann",
  });
  const [answer] = await Promise.all([answers[0]!]);
  assert.equal(JSON.stringify(answer).includes("secret"), false);
});

test("A call that takes too long is TIMEOUT; its late answer changes nothing, and one to no call ends the host", async () => {
  const stage = new Stage("services: [{ svc: a, worker: a.ts, limits: { timeout_ms: 100 } }]");
  await stage.ready();
  const slow = stage.ask("a");
  await stage.pass(80);
  assert.equal(await outcomeOf(slow), "none yet");
  await stage.pass(40);
  assert.equal(await outcomeOf(slow), "TIMEOUT");
  stage.say("a", { kind: "result", id: 1, value: 1 });
  const [extension] = stage.set.all;
  assert.equal(extension!.metrics.lateAnswers, 1);
  const next = stage.ask("a");
  await stage.turn();
  stage.say("a", { kind: "result", id: 2, value: 2 });
  assert.deepEqual(await outcomeOf(next), { reply: 2 });
  assert.equal(stage.host.killed, false);
  stage.say("a", { kind: "result", id: 1, value: 1 });
  assert.equal(stage.hosts[0]!.killed, true, "once is late, twice is a lie");
});

test("More calls than may wait are refused at once, and events then are dropped and counted", async () => {
  const stage = new Stage("services: [{ svc: a, worker: a.ts, limits: { max_pending: 2 } }]");
  await stage.ready("onMessage", "onJoin");
  const answers = [1, 2, 3].map(() => stage.ask("a"));
  assert.equal(await outcomeOf(answers[2]!), "UNAVAILABLE");
  stage.set.tell("onJoin", session(), () => ({}));
  stage.set.tell("onLeave", session(), () => assert.fail("nobody wants to hear it"));
  assert.equal(stage.set.all[0]!.metrics.droppedEvents, 1);
  await stage.turn();
  stage.say("a", { kind: "result", id: 1 });
  stage.set.tell("onJoin", session(), () => ({ room: "r" }));
  await stage.turn();
  assert.deepEqual(stage.calls("a").map(({ hook }) => hook), ["onMessage", "onMessage", "onJoin"]);
});

test("A worker that does not yield is ended with its host; only it is to blame, and all are back", async () => {
  const stage = new Stage(TWO);
  await stage.ready();
  const [a, b] = [stage.ask("a"), stage.ask("b")];
  await stage.turn();
  const { slot } = stage.at("a");
  stage.host.report(50, { slot, busyMs: 100 });
  assert.equal(stage.host.killed, false, "as long as it may");
  stage.host.report(50, { slot, busyMs: 101 }, { slot: stage.at("b").slot, busyMs: 3 });
  assert.equal(stage.hosts[0]!.killed, true);
  assert.deepEqual([await outcomeOf(a), await outcomeOf(b)], ["UNAVAILABLE", "UNAVAILABLE"]);
  assert.equal(stage.hosts.length, 2, "back at once");
  const again = [stage.ask("a"), stage.ask("b")];
  await stage.ready();
  for (const name of ["a", "b"]) stage.say(name, { kind: "result", id: 2, value: name });
  assert.deepEqual(await Promise.all(again.map(outcomeOf)), [{ reply: "a" }, { reply: "b" }]);
  const kills = stage.set.all.map(({ metrics }) =>
    [...metrics.kills].map(({ labels, value }) => [labels["cause"], value])
  );
  assert.deepEqual(kills, [[["cpu", 1]], []]);
  assert.deepEqual(stage.set.all.map(({ metrics }) => metrics.restarts), [1, 1]);
});

test("Loading code may take a second of one turn, whatever cpu_ms says", async () => {
  const stage = new Stage(ONE);
  await stage.turn();
  stage.host.report(50, { slot: 1, busyMs: 900 });
  assert.equal(stage.host.killed, false);
  stage.host.report(50, { slot: 1, busyMs: 1001 });
  assert.equal(stage.hosts[0]!.killed, true);
});

test("Who loads its code is not to blame for who spins beside it", async () => {
  const stage = new Stage(TWO);
  await stage.turn();
  const a = stage.host.slotOf("a"), b = stage.host.slotOf("b");
  stage.host.worker(a, { kind: "ready", hooks: ["onMessage"] });
  stage.host.report(50, { slot: a, busyMs: 200 }, { slot: b, busyMs: 900 });
  assert.deepEqual(stage.lines("extension host ended").map(({ guilty }) => guilty), [["a"]]);
});

test("After kills an extension is back later and later, and after five in a minute left alone; its neighbour is not", async () => {
  const stage = new Stage(TWO);
  await stage.ready();
  const waits: number[] = [];
  for (let kill = 0; kill < 5; kill++) {
    const { host, slot } = stage.at("a");
    host.report(50, { slot, busyMs: 1000 });
    await stage.turn();
    waits.push(
      Number(
        stage.lines("extension has lost its worker").findLast(({ guilt }) =>
          guilt === "guilty"
        )!["back_in_ms"],
      ),
    );
    // The neighbour at once.
    const hosts = stage.hosts.length;
    await stage.ready();
    const b = stage.ask("b");
    await stage.turn();
    const [call] = stage.calls("b");
    stage.say("b", { kind: "result", id: call!.id, value: "b" });
    assert.deepEqual(await outcomeOf(b), { reply: "b" });
    if (kill === 4) break;
    await stage.pass(waits[kill]! + 20);
    await stage.ready();
    assert.equal(stage.hosts.length, hosts, "a goes to where b is");
  }
  assert.deepEqual(waits.slice(0, 4), [0, 100, 200, 400]);
  const [alone] = stage.lines("extension is left alone for a while, for it was ended too often");
  assert.equal(alone?.["back_in_ms"], 10_000);
  assert.equal(await outcomeOf(stage.ask("a")), "UNAVAILABLE");
  assert.deepEqual(stage.set.all.map(({ condition }) => condition), ["down", "up"]);
  await stage.pass(10_020);
  await stage.ready();
  assert.deepEqual(stage.set.all.map(({ condition }) => condition), ["up", "up"]);
  const { host, slot } = stage.at("a");
  host.report(50, { slot, busyMs: 1000 });
  assert.equal(
    stage.lines("extension is left alone for a while, for it was ended too often")[1]?.["back_in_ms"],
    20_000,
  );
});

test("A host that is too large is ended: the largest is to blame; where nobody is, each runs alone from then on", async () => {
  const stage = new Stage(TWO);
  await stage.ready();
  const a = stage.at("a").slot, b = stage.at("b").slot;
  stage.host.report(256, { slot: a }, { slot: b });
  assert.equal(stage.host.killed, false, "64 each, and 128");
  stage.host.report(257, { slot: a, heapMb: 70 }, { slot: b, heapMb: 20 });
  assert.deepEqual(stage.lines("extension host ended").map(({ cause, guilty }) => [cause, guilty]), [[
    "memory",
    ["a"],
  ]]);
  await stage.ready();
  stage.host.report(257, { slot: stage.at("a").slot }, { slot: stage.at("b").slot });
  assert.deepEqual(stage.lines("extension host ended")[1]!["suspects"], ["a", "b"]);
  const before = stage.hosts.length;
  await stage.ready();
  assert.equal(stage.hosts.length, before, "both were started within the same turn");
  assert.notEqual(stage.at("a").host, stage.at("b").host);
  stage.at("b").host.report(193, { slot: stage.at("b").slot });
  assert.deepEqual(stage.lines("extension host ended")[2]!["guilty"], ["b"], "there is nobody else in it");
  assert.equal(stage.at("a").host.killed, false);
});

test("extensions.host_memory_mb bounds a host, however much its extensions may have together", async () => {
  const stage = new Stage("services: [{ svc: a, worker: a.ts, limits: { memory_mb: 4000 } }]");
  await stage.ready();
  stage.host.report(512, { slot: 1 });
  assert.equal(stage.host.killed, false);
  stage.host.report(513, { slot: 1 });
  assert.equal(stage.hosts[0]!.killed, true);
});

test("A host that falls silent, does not read, or ends by itself is replaced", async () => {
  const stage = new Stage(ONE);
  await stage.ready();
  await stage.pass(2900);
  stage.host.report(50);
  await stage.pass(2900);
  assert.equal(stage.host.killed, false);
  await stage.pass(200);
  assert.deepEqual(stage.lines("extension host ended").map(({ cause }) => cause), ["silent"]);
  await stage.ready();
  stage.host.reads = false;
  void stage.ask("a");
  for (let i = 0; i < 7; i++) {
    await stage.pass(500);
    if (!stage.host.killed) stage.host.report(50);
  }
  assert.deepEqual(stage.lines("extension host ended").map(({ cause }) => cause), ["silent", "stalled"]);
  await stage.ready();
  stage.host.exit("SIGSEGV");
  assert.deepEqual(stage.lines("extension host ended")[2]!["detail"], "SIGSEGV");
  await stage.pass(200);
  await stage.ready();
  assert.equal(stage.set.all[0]!.condition, "up");
});

test("What waits for a host that reads no more is sent in order once it does", async () => {
  const stage = new Stage(ONE);
  await stage.ready();
  stage.host.reads = false;
  void stage.ask("a", { seq: 1 });
  await stage.turn();
  void stage.ask("a", { seq: 2 });
  void stage.ask("a", { seq: 3 });
  await stage.turn();
  const seqs = () => stage.calls("a").map(({ input }) => (input as { seq: number }).seq);
  assert.deepEqual(seqs(), [1]);
  stage.host.drain();
  assert.deepEqual(seqs(), [2, 3]);
});

/** Things that no host of ours says. */
const LIES: readonly [what: string, bytes: (slot: number) => Uint8Array][] = [
  ["no JSON", (slot) => chunk(slot, "{")],
  ["no list", (slot) => chunk(slot, "{}")],
  ["an unknown word", (slot) => chunk(slot, '[{"kind":"exec"}]')],
  ["null", (slot) => chunk(slot, "[null]")],
  ["a result without an id", (slot) => chunk(slot, '[{"kind":"result"}]')],
  ["an id that is no number", (slot) => chunk(slot, '[{"kind":"result","id":"1"}]')],
  ["a negative id", (slot) => chunk(slot, '[{"kind":"result","id":-1}]')],
  ["a result nobody waits for", (slot) => chunk(slot, '[{"kind":"result","id":77}]')],
  ["a request that is a list", (slot) => chunk(slot, '[{"kind":"request","id":1,"call":null,"request":[]}]')],
  ["a request without op", (slot) => chunk(slot, '[{"kind":"request","id":1,"call":null,"request":{}}]')],
  ["a log of no level", (slot) => chunk(slot, '[{"kind":"log","level":"loud","text":"x","call":null}]')],
  [
    "a log line of 100 kB",
    (slot) => chunk(slot, `[{"kind":"log","level":"info","text":"${"x".repeat(100_000)}","call":null}]`),
  ],
  ["hooks that there are not", (slot) => chunk(slot, '[{"kind":"ready","hooks":["__proto__"]}]')],
  ["ready a second time", (slot) => chunk(slot, '[{"kind":"ready","hooks":[]}]')],
  ["failed while it runs", (slot) => chunk(slot, '[{"kind":"failed","error":""}]')],
  ["stopped by itself", (slot) => chunk(slot, '[{"kind":"stopped"}]')],
  ["the host's word from a worker", (slot) => chunk(slot, '[{"kind":"report","rssBytes":1,"workers":[]}]')],
  ["a worker's word from the host", () => chunk(0, '[{"kind":"result","id":1}]')],
  ["a report of nothing", () => chunk(0, '[{"kind":"report"}]')],
  ["a report of NaN", () => chunk(0, '[{"kind":"report","rssBytes":null,"workers":[]}]')],
  ["a hello without walls", () => chunk(0, '[{"kind":"hello"}]')],
  ["a second hello", () => chunk(0, JSON.stringify([{ kind: "hello", walls: WALLS }]))],
  ["unsafe after hello", () => chunk(0, '[{"kind":"unsafe","why":"a lie"}]')],
  ["a slot that there is not", () => chunk(99, "[]")],
  ["nesting", (slot) => chunk(slot, "[".repeat(2_000_000))],
  ["a chunk without end", (slot) => Uint8Array.of(255, 255, 255, 255, slot, 0, 0, 0)],
];

function chunk(slot: number, text: string): Uint8Array {
  const body = Buffer.from(text);
  const head = Buffer.alloc(8);
  head.writeUInt32LE(body.length, 0);
  head.writeUInt32LE(slot, 4);
  return Buffer.concat([head, body]);
}

for (const [what, bytes] of LIES) {
  test(`A host that says what cannot be is ended and replaced: ${what}`, async () => {
    const stage = new Stage(ONE);
    await stage.ready();
    const answer = stage.ask("a");
    await stage.turn();
    stage.host.put(bytes(stage.at("a").slot));
    assert.equal(stage.hosts[0]!.killed, true);
    assert.equal(await outcomeOf(answer), "UNAVAILABLE");
    assert.deepEqual([...stage.runner.pool.ends].map(({ labels }) => labels["cause"]), ["garbage"]);
    // What comes from the dead is not read.
    stage.hosts[0]!.put(chunk(stage.at("a").slot, '[{"kind":"result","id":1,"value":"ghost"}]'));
    await stage.ready();
    assert.equal(stage.set.all[0]!.condition, "up");
  });
}

test("A host that talks without end is ended", async () => {
  const stage = new Stage(ONE);
  await stage.ready();
  const line = JSON.stringify({ kind: "log", level: "info", text: "x".repeat(60_000), call: null });
  const bytes = chunk(stage.at("a").slot, `[${Array(60).fill(line).join(",")}]`);
  for (let i = 0; i < 12 && !stage.hosts[0]!.killed; i++) stage.host.put(bytes);
  assert.deepEqual([...stage.runner.pool.ends].map(({ labels }) => labels["cause"]), ["flood"]);
});

test("A host that says as much because it is asked so often is not", async () => {
  const stage = new Stage(ONE);
  await stage.ready();
  const { slot } = stage.at("a");
  let bytes = 0;
  while (bytes < 2 ** 26) {
    const answers = Array.from({ length: 1000 }, () => stage.ask("a"));
    await stage.turn();
    const results = stage.host.calls(slot).map(({ id }) => ({ kind: "result", id, value: "x".repeat(800) }));
    stage.host.worker(slot, ...results);
    bytes += 1000 * 800;
    await Promise.all(answers);
  }
  assert.equal(stage.host.killed, false);
});

test("Log lines have a rate, and what is above it is counted; far above it, the worker is ended", async () => {
  const stage = new Stage("services: [{ svc: a, worker: a.ts, limits: { max_log_lines_per_second: 3 } }]");
  await stage.ready();
  const line = { kind: "log", level: "info", text: "hello", call: null };
  stage.say("a", ...Array(10).fill(line));
  assert.equal(stage.lines("extension says").length, 3);
  assert.equal(stage.set.all[0]!.metrics.droppedLogLines, 7);
  await stage.pass(1000);
  assert.equal(stage.host.killed, false);
  for (let i = 0; i < 11; i++) stage.say("a", ...Array(5000).fill(line));
  await stage.pass(1000);
  assert.equal(stage.hosts[0]!.killed, true);
});

test("A worker that does not start is tried again, later each time; what it was asked meanwhile is refused", async () => {
  const stage = new Stage(ONE);
  await stage.turn();
  const held = stage.ask("a");
  const waits: unknown[] = [];
  for (let i = 0; i < 3; i++) {
    stage.host.worker(stage.host.slotOf("a"), { kind: "failed", error: "Error: onStart" });
    const line = stage.lines("extension does not start").at(-1)!;
    waits.push(line["again_in_ms"]);
    assert.equal(line["error"], "Error: onStart");
    assert.equal(await outcomeOf(stage.ask("a")), "UNAVAILABLE");
    stage.host.report(50);
    await stage.pass(Number(line["again_in_ms"]) + 20);
  }
  assert.equal(await outcomeOf(held), "UNAVAILABLE");
  assert.deepEqual(waits, [1000, 2000, 4000]);
  await stage.ready();
  assert.equal(stage.set.all[0]!.condition, "up");
});

test("Where no process can be started, it is said, and tried again", async () => {
  const stage = new Stage("services: []");
  stage.noHost = "no permission to run";
  stage.adopt(ONE);
  assert.match(String(stage.lines("extension does not start")[0]!["error"]), /no permission to run/);
  assert.equal(await outcomeOf(stage.ask("a")), "UNAVAILABLE");
  stage.noHost = null;
  await stage.pass(1020);
  await stage.ready();
  assert.equal(stage.set.all[0]!.condition, "up");
});

test("A host that ends before it runs anything is nobody's fault: it is tried again, later each time", async () => {
  const stage = new Stage("services: []");
  stage.greets = false;
  stage.adopt(TWO);
  for (let i = 0; i < 6; i++) {
    stage.host.exit("ENOENT");
    await stage.pass(1000 * 2 ** i + 20);
  }
  assert.equal(stage.lines("extension is left alone for a while, for it was ended too often").length, 0);
  assert.deepEqual(stage.set.all.map(({ metrics }) => [metrics.failedStarts, [...metrics.kills].length]), [[
    6,
    0,
  ], [6, 0]]);
  stage.host.say({ kind: "hello", walls: WALLS });
  await stage.ready();
  assert.deepEqual(stage.set.all.map(({ condition }) => condition), ["up", "up"]);
});

test("Where the walls cannot be had nothing runs, it is said once, and not tried again", async () => {
  const stage = new Stage(TWO);
  stage.greets = false;
  const held = stage.ask("a");
  // The first host greets already; a reload changes nothing of that.
  stage.hosts[0]!.say({ kind: "unsafe", why: "no landlock" });
  assert.equal(stage.hosts[0]!.killed, true);
  assert.equal(await outcomeOf(held), "UNAVAILABLE");
  assert.deepEqual(stage.set.all.map(({ condition }) => condition), ["down", "down"]);
  await stage.pass(5000);
  stage.adopt(TWO.replace("b.ts", "changed.ts"));
  await stage.pass(1000);
  assert.equal(stage.hosts.length, 1);
  assert.deepEqual(
    stage.lines("extensions cannot run behind walls here, and do not run").map(({ why }) => why),
    [
      "no landlock",
    ],
  );
});

test("Where extensions run without a wall, the log says which and why", async () => {
  const stage = new Stage("services: []");
  stage.greets = false;
  stage.adopt(ONE);
  const walls = { permissions: "not on this runtime", landlock: "up", seccomp: "an old kernel" };
  stage.host.say({ kind: "hello", walls });
  await stage.ready();
  assert.equal(stage.set.all[0]!.condition, "up");
  assert.deepEqual(stage.lines("extensions run without all of their walls"), [{
    tenant: "acme",
    pid: 1,
    ...walls,
  }]);
});

test("A worker whose host lives on when it is gone is replaced in it", async () => {
  const stage = new Stage(TWO);
  await stage.ready();
  const [a, b] = [stage.ask("a"), stage.ask("b")];
  await stage.turn();
  stage.host.say({ kind: "gone", slot: stage.at("a").slot, why: "out of memory" });
  assert.equal(await outcomeOf(a), "UNAVAILABLE");
  await stage.ready();
  stage.say("b", { kind: "result", id: 1, value: 1 });
  assert.deepEqual(await outcomeOf(b), { reply: 1 });
  assert.equal(stage.hosts.length, 1);
  assert.equal(stage.at("a").slot, 3);
});

test("A reload that changes nothing of an extension leaves it as it is", async () => {
  const stage = new Stage(TWO);
  await stage.ready();
  const [a] = stage.set.all;
  stage.adopt(TWO.replace("b.ts", "changed.ts"));
  assert.equal(stage.set.all[0], a);
  await stage.ready();
  assert.equal(stage.set.all[1]!.condition, "up");
});

test("A changed extension: old calls are finished by the old worker, which then stops; new ones go to the new", async () => {
  const stage = new Stage(ONE);
  await stage.ready();
  const old = stage.at("a"), before = stage.ask("a");
  await stage.turn();
  const service = stage.set.services.get("a")!;
  stage.adopt(ONE.replace("a.ts", "changed.ts"));
  const after = stage.ask("a");
  await stage.ready();
  assert.deepEqual(old.host.calls(old.slot).map(({ id }) => id), [1]);
  assert.deepEqual(stage.calls("a").map(({ id }) => id), [1]);
  await stage.pass(200);
  assert.deepEqual(old.host.read(old.slot), [], "not told to stop while it is asked");
  old.host.worker(old.slot, { kind: "result", id: 1, value: "old" });
  stage.say("a", { kind: "result", id: 1, value: "new" });
  assert.deepEqual([await outcomeOf(before), await outcomeOf(after)], [{ reply: "old" }, { reply: "new" }]);
  await stage.pass(40);
  assert.deepEqual(old.host.read(old.slot), [{ kind: "stop" }]);
  // What still comes by the old way goes the new one.
  const late = service.handle(session(), {
    ok: true,
    svc: "a",
    type: "t",
    flags: 0,
    seq: 1,
    room: null,
    key: null,
    trace: null,
    data: Json.of(1),
  });
  await stage.turn();
  assert.deepEqual(stage.calls("a").map(({ id }) => id), [2]);
  stage.say("a", { kind: "result", id: 2, value: "late" });
  assert.deepEqual(await outcomeOf(Promise.resolve(late)), { reply: "late" });
  old.host.worker(old.slot, { kind: "stopped" });
  await stage.turn();
  assert.deepEqual(old.host.commands.at(-1), { kind: "end", slot: old.slot });
});

test("A worker that does not stop is ended, and a tenant without extensions has no host and no timer", async () => {
  const stage = new Stage(ONE);
  await stage.ready();
  assert.equal(stage.clock.tasks, 1);
  stage.adopt("services: []");
  await stage.turn();
  assert.deepEqual(stage.host.read(1), [{ kind: "stop" }]);
  for (let i = 0; i < 6; i++) {
    await stage.pass(400);
    if (!stage.host.killed) stage.host.report(50);
  }
  assert.equal(stage.lines("extension ended by force").length, 1);
  assert.equal(stage.host.killed, true);
  assert.equal(stage.clock.tasks, 0);
});

test("At the end every worker runs onStop and what it asks then is done; who waits is told at once", async () => {
  const stage = new Stage("services: [{ svc: a, worker: a.ts, permissions: { kv: true } }]");
  await stage.ready();
  const pending = stage.ask("a");
  await stage.turn();
  stage.set.retire(null);
  const over = stage.runner.stop();
  assert.equal(await outcomeOf(pending), "UNAVAILABLE");
  await stage.turn();
  assert.deepEqual(stage.host.read(1).at(-1), { kind: "stop" });
  stage.say("a", { kind: "result", id: 1 });
  stage.say("a", { kind: "request", id: 1, call: null, request: { op: "kv.set", key: "k", value: 1 } });
  await stage.turn();
  assert.deepEqual(stage.host.read(1), [{ kind: "granted", id: 1 }]);
  stage.say("a", { kind: "stopped" });
  await over;
  assert.equal(stage.host.killed, true);
});

test("onTick is called every tick_ms and never twice at the same time", async () => {
  const stage = new Stage("services: [{ svc: a, worker: a.ts, tick_ms: 100 }]");
  await stage.ready("onTick");
  await stage.pass(100);
  const [tick, ...others] = stage.calls("a");
  assert.deepEqual([tick!.hook, tick!.session, "input" in tick!, others.length], ["onTick", null, false, 0]);
  await stage.pass(300);
  assert.equal(stage.calls("a").length, 0);
  stage.say("a", { kind: "result", id: tick!.id });
  await stage.pass(100);
  assert.equal(stage.calls("a").length, 1);
  assert.equal(await outcomeOf(stage.ask("a")), "NOT_FOUND", "it takes no messages");
});

test("A reply that is larger than it may be is INTERNAL, and so is one that nests without end", async () => {
  const stage = new Stage("services: [{ svc: a, worker: a.ts, limits: { max_reply_bytes: 2000 } }]");
  await stage.ready();
  const answers = [1, 2, 3].map(() => stage.ask("a"));
  await stage.turn();
  let deep: unknown = 1;
  for (let i = 0; i < 600; i++) deep = [deep];
  stage.say("a", { kind: "result", id: 1, value: "x".repeat(1900) }, {
    kind: "result",
    id: 2,
    value: "x".repeat(2001),
  });
  stage.say("a", { kind: "result", id: 3, value: deep });
  const outcomes = await Promise.all(answers.map(outcomeOf));
  assert.deepEqual(outcomes.slice(1), ["INTERNAL", "INTERNAL"]);
  assert.equal(typeof outcomes[0], "object");
});

test("Lines of a host's stderr are logged, ten in a second", async () => {
  const stage = new Stage(ONE);
  await stage.ready();
  for (let i = 0; i < 15; i++) stage.host.line(`line ${i}`);
  assert.equal(stage.lines("extension host wrote").length, 10);
});

test("Words nested without end are garbage, known before they are read: nothing throws, and the loop goes on", async () => {
  const whole = (depth: number) => "[".repeat(depth) + "]".repeat(depth);
  const request = (value: string) =>
    `{"kind":"request","id":1,"call":null,"request":{"op":"kv.set","key":"k","value":${value}}}`;
  for (const depth of [1030, 39_000, 100_000, 1_000_000]) {
    const forged: readonly (readonly [own: boolean, word: string])[] = [
      [false, request(whole(depth))],
      [false, request("[".repeat(depth))],
      [false, request(`["\\\\",${whole(depth)}]`)],
      [true, `{"kind":"gone","slot":1,"why":${whole(depth)}}`],
      [true, whole(depth)],
    ];
    for (const [own, word] of forged) {
      const stage = new Stage("services: [{ svc: a, worker: a.ts, permissions: { kv: true } }]");
      await stage.ready();
      const { host, slot } = stage.at("a");
      host.put(writeChunk(own ? HOST_SLOT : slot, [word]));
      assert.equal(host.killed, true, `${depth} ${word.slice(0, 80)}`);
      assert.equal(stage.lines("extension host ended")[0]!["cause"], "garbage");
    }
  }
});

test("A text full of brackets is no nesting", async () => {
  const stage = new Stage(ONE);
  await stage.ready();
  const answer = stage.ask("a");
  await stage.turn();
  const text = `\\"${"[{".repeat(5000)}`;
  const { host, slot } = stage.at("a");
  host.put(writeChunk(slot, [`{"kind":"result","id":1,"value":"${text}"}`]));
  assert.deepEqual(await outcomeOf(answer), { reply: JSON.parse(`"${text}"`) });
});

test("A value that is nested deeper than others can be given is not kept", async () => {
  const stage = new Stage("services: [{ svc: a, worker: a.ts, permissions: { kv: true } }]");
  await stage.ready();
  let deep: unknown = 1;
  for (let i = 0; i < 600; i++) deep = [deep];
  stage.say("a", { kind: "request", id: 1, call: null, request: { op: "kv.set", key: "k", value: deep } });
  await stage.turn();
  const { host, slot } = stage.at("a");
  const [answer] = host.read(slot);
  assert.ok(answer?.kind === "refused" && answer.code === "BAD_REQUEST", JSON.stringify(answer));
});

test("What the system says of a host counts, and not what the host says", async () => {
  const stage = new Stage("policy: {}");
  const usage = { memory: 60 * 1_048_576, cpu: 0 as number | null, closed: false };
  stage.usage = () => ({
    memoryBytes: () => usage.memory,
    cpuMs: () => usage.cpu,
    close: () => void (usage.closed = true),
  });
  stage.adopt(ONE);
  await stage.ready();
  stage.host.report(100_000);
  await stage.pass(100);
  assert.equal(stage.host.killed, false, "it may say what it likes");
  usage.memory = 1_609 * 1_048_576;
  stage.host.report(1);
  await stage.pass(20);
  assert.deepEqual([stage.host.killed, usage.closed], [true, true]);
  assert.equal(stage.lines("extension host ended")[0]!["cause"], "memory");
});

test("A host that computes for long, and whose workers say nothing all the while, is ended", async () => {
  const stage = new Stage("policy: {}");
  let cpu = 0;
  stage.usage = () => ({ memoryBytes: () => 1, cpuMs: () => cpu, close: () => {} });
  stage.adopt(ONE);
  await stage.ready();
  const { host } = stage.at("a");
  const compute = async (ms: number) => {
    for (let left = ms; left > 0; left -= 200) {
      cpu += 200;
      host.report(1);
      await stage.pass(200);
    }
  };
  await compute(9000);
  stage.say("a", { kind: "log", level: "info", text: "at work", call: null });
  await compute(9000);
  assert.equal(host.killed, false, "it has said something");
  await compute(3000);
  assert.equal(host.killed, true);
  assert.equal(stage.lines("extension host ended")[0]!["cause"], "cpu");
});
