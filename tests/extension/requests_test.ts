// What an extension asks of the gateway: granted as its configuration permits, as often as it may, and not otherwise.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { refusal } from "../../src/protocol/codes.ts";
import { session, settle, Stage } from "./stage.ts";

/** A service with a call of ann's under way, that asks. */
async function asking(keys = ""): Promise<{
  stage: Stage;
  ask: (request: object, call?: number | null) => Promise<unknown>;
}> {
  const stage = new Stage(`services: [{ svc: a, worker: a.ts, ${keys} }]`);
  await stage.ready();
  void stage.ask("a");
  await stage.turn();
  let id = 0;
  const ask = async (request: object, call: number | null = 1) => {
    const { host, slot } = stage.at("a");
    host.read(slot);
    stage.say("a", { kind: "request", id: ++id, call, request });
    // The state takes a moment.
    for (let i = 0; i < 20; i++) {
      await stage.turn();
      await new Promise((resolve) => setTimeout(resolve, 1));
      const [answer] = host.read(slot) as { kind: string; id: number; value?: unknown; code?: string }[];
      if (answer === undefined) continue;
      assert.equal(answer.id, id);
      return answer.kind === "granted" ? { value: answer.value } : answer.code;
    }
    return "no answer";
  };
  return { stage, ask };
}

test("Without permissions nothing but what concerns the caller is granted", async () => {
  const { stage, ask } = await asking();
  const refused = [
    { op: "publish", room: "lobby", type: "t" },
    { op: "send", to: { user: "bob" }, type: "t" },
    { op: "send", to: { session: "s-bob" }, type: "t" },
    { op: "kv.get", key: "k" },
    { op: "kv.set", key: "k", value: 1 },
    { op: "kv.list" },
    { op: "fetch", url: "https://example.com/" },
  ];
  for (const request of refused) assert.equal(await ask(request), "NOT_ALLOWED", JSON.stringify(request));
  assert.deepEqual(stage.performed, []);
  assert.deepEqual(await ask({ op: "send", to: { user: "ann" }, type: "t", data: 1 }), { value: 1 });
  assert.deepEqual(await ask({ op: "send", to: { session: "s-ann" }, type: "t" }), { value: 1 });
  assert.deepEqual(await ask({ op: "join", room: "r" }), { value: undefined });
  assert.deepEqual(await ask({ op: "leave", room: "r" }), { value: undefined });
  assert.deepEqual(await ask({ op: "kick", reason: "bye" }), { value: undefined });
  const by = { svc: "a", session: "s-ann" };
  assert.deepEqual(stage.performed, [
    [{ action: "send", to: { user: "ann" }, type: "t", data: 1 }, by],
    [{ action: "send", to: { session: "s-ann" }, type: "t" }, by],
    [{ action: "join", room: "r" }, by],
    [{ action: "leave", room: "r" }, by],
    [{ action: "kick", reason: "bye" }, by],
  ]);
});

test("Rooms are those of permissions.publish, others those of permissions.users", async () => {
  const { stage, ask } = await asking('permissions: { publish: ["match:*", hall], users: true }');
  assert.deepEqual(await ask({ op: "publish", room: "match:7", type: "t", except: "s-ann" }), { value: 1 });
  assert.deepEqual(await ask({ op: "publish", room: "hall", type: "t" }), { value: 1 });
  assert.equal(await ask({ op: "publish", room: "halls", type: "t" }), "NOT_ALLOWED");
  assert.deepEqual(await ask({ op: "send", to: { user: "bob" }, type: "t" }), { value: 1 });
  stage.outcome = refusal("NOT_FOUND", "tenant has no such session");
  assert.deepEqual(await ask({ op: "send", to: { session: "gone" }, type: "t" }), { value: 0 });
  stage.outcome = refusal("UNAVAILABLE", "room has too much to deliver already");
  assert.equal(await ask({ op: "publish", room: "hall", type: "t" }), "UNAVAILABLE");
  const counted = [...stage.set.all[0]!.metrics.actions].map((
    { labels, value },
  ) => [labels["op"], labels["outcome"], value]);
  assert.deepEqual(counted, [
    ["publish", "ok", 2],
    ["publish", "NOT_ALLOWED", 1],
    ["send", "ok", 2],
    ["publish", "UNAVAILABLE", 1],
  ]);
});

test("What moves a session needs the call of one, and is its own only", async () => {
  const { ask } = await asking("permissions: { users: true }");
  for (const op of ["join", "leave"]) {
    assert.equal(await ask({ op, room: "r" }, null), "BAD_REQUEST");
    assert.equal(await ask({ op, room: "r" }, 99), "BAD_REQUEST", "a call that is over");
    assert.equal(await ask({ op, room: "r", session: "s-bob" }), "BAD_REQUEST");
  }
  assert.equal(await ask({ op: "kick", reason: "r", session: "s-bob" }), "BAD_REQUEST");
  assert.deepEqual(await ask({ op: "send", to: { user: "bob" }, type: "t" }, null), { value: 1 });
});

test("Requests that are none are refused, and nothing is done", async () => {
  const { stage, ask } = await asking('permissions: { publish: ["*"], users: true, kv: true }');
  const bad = [
    { op: "" },
    { op: "exec" },
    { op: "constructor" },
    { op: "kv." },
    { op: "kv.drop", key: "k" },
    { op: "publish" },
    { op: "publish", room: "r", type: "not a name" },
    { op: "publish", room: "", type: "t" },
    { op: "publish", room: "r", type: "t", extra: 1 },
    { op: "send", to: { user: "u", session: "s" }, type: "t" },
    { op: "send", to: null, type: "t" },
    { op: "kick", reason: "" },
    { op: "kv.get" },
    { op: "kv.get", key: "" },
    { op: "kv.get", key: "k".repeat(257) },
    { op: "kv.get", key: "\ud800" },
    { op: "kv.set", key: "k" },
    { op: "kv.set", key: "k", value: 1, ttl_ms: 0 },
    { op: "kv.set", key: "k", value: 1, ttl_ms: "soon" },
    { op: "kv.increment", key: "k" },
    { op: "kv.increment", key: "k", by: "1" },
    { op: "kv.list", prefix: 1 },
    { op: "kv.list", limit: 0 },
    { op: "kv.list", limit: 1001 },
  ];
  for (const request of bad) assert.equal(await ask(request), "BAD_REQUEST", JSON.stringify(request));
  const labels = [...stage.set.all[0]!.metrics.actions].map(({ labels }) => labels["op"]);
  assert.equal(
    labels.includes("exec") || labels.includes("constructor"),
    false,
    "no word of its own is a label",
  );
  assert.deepEqual(stage.performed, []);
});

test("kv keeps values as they were, adds, lists in order, expires, and is full at its bound", async () => {
  const { stage, ask } = await asking("permissions: { kv: true }, limits: { kv_max_bytes: 1024 }");
  assert.deepEqual(await ask({ op: "kv.get", key: "k" }), { value: undefined });
  assert.deepEqual(await ask({ op: "kv.set", key: "k", value: { deep: [null, "\u2028"] } }), {
    value: undefined,
  });
  assert.deepEqual(await ask({ op: "kv.get", key: "k" }), { value: { deep: [null, "\u2028"] } });
  assert.deepEqual(await ask({ op: "kv.set", key: "null", value: null }), { value: undefined });
  assert.deepEqual(await ask({ op: "kv.get", key: "null" }), { value: null });
  assert.deepEqual(await ask({ op: "kv.increment", key: "n", by: 2 }), { value: 2 });
  assert.deepEqual(await ask({ op: "kv.increment", key: "n", by: -0.5 }), { value: 1.5 });
  assert.equal(await ask({ op: "kv.increment", key: "k", by: 1 }), "BAD_REQUEST");
  assert.deepEqual(await ask({ op: "kv.list", prefix: "n" }), {
    value: [{ key: "n", value: 1.5 }, { key: "null", value: null }],
  });
  assert.deepEqual(await ask({ op: "kv.list", after: "k", limit: 1 }), { value: [{ key: "n", value: 1.5 }] });
  assert.deepEqual(await ask({ op: "kv.delete", key: "n" }), { value: true });
  assert.deepEqual(await ask({ op: "kv.delete", key: "n" }), { value: false });
  assert.equal(await ask({ op: "kv.set", key: "big", value: "x".repeat(1024) }), "RESOURCE_EXHAUSTED");
  // It is the extension's own through every end, and through a reload.
  stage.adopt("services: [{ svc: a, worker: changed.ts, permissions: { kv: true } }]");
  await stage.ready();
  void stage.ask("a");
  await stage.turn();
  assert.deepEqual(await ask({ op: "kv.get", key: "null" }), { value: null });
});

test("Actions have a rate, and kv another", async () => {
  const { stage, ask } = await asking(
    'permissions: { publish: ["*"], kv: true }, limits: { max_actions_per_second: 2 }',
  );
  const publish = () => ask({ op: "publish", room: "r", type: "t" });
  assert.deepEqual([await publish(), await publish(), await publish()], [
    { value: 1 },
    { value: 1 },
    "RATE_LIMITED",
  ]);
  for (let i = 0; i < 20; i++) assert.notEqual(await ask({ op: "kv.get", key: "k" }), "RATE_LIMITED");
  assert.equal(await ask({ op: "kv.get", key: "k" }), "RATE_LIMITED");
  stage.clock.advance(500);
  assert.deepEqual([await publish(), await publish()], [{ value: 1 }, "RATE_LIMITED"]);
});

test("What a tenant keeps and fetches goes by its share of the loop, in order, and a page is read in slices", async () => {
  const { stage, ask } = await asking(
    'permissions: { kv: true, net: ["a.example:443"] }, limits: { kv_max_bytes: 4000000 }',
  );
  const { host, slot } = stage.at("a");
  const big = "x".repeat(50_000);
  for (let i = 0; i < 30; i++) await ask({ op: "kv.set", key: `k${10 + i}`, value: big });
  const { share } = stage.runner;
  let turns = 0;
  const { later } = share;
  share.later = (resume) => {
    turns++;
    later.call(share, resume);
  };
  const { value } = await ask({ op: "kv.list", limit: 1000 }) as { value: { key: string; value: string }[] };
  assert.deepEqual(value.map(({ key }) => key), Array.from({ length: 20 }, (_, i) => `k${10 + i}`));
  assert.ok(value.every(({ value }) => value === big));
  assert.ok(turns >= 9, `others had ${turns} turns`);
  // The time is used up: nothing is begun until it is paid for.
  share.spent(20, share.now);
  const request = (id: number, request: object) => ({ kind: "request", id, call: null, request });
  stage.say(
    "a",
    request(900, { op: "kv.set", key: "k", value: 1 }),
    request(901, { op: "kv.increment", key: "k", by: 2 }),
    request(902, { op: "fetch", url: "https://b.example/" }),
  );
  for (let i = 0; i < 10; i++) await stage.turn();
  assert.deepEqual(host.read(slot), []);
  stage.clock.advance(3000);
  const answers: unknown[] = [];
  for (let i = 0; i < 200 && answers.length < 3; i++) {
    await stage.turn();
    await new Promise((resolve) => setTimeout(resolve, 20));
    answers.push(...host.read(slot));
  }
  assert.deepEqual(answers.map((answer) => (answer as { id: number }).id).toSorted(), [900, 901, 902]);
  assert.deepEqual(answers.find((answer) => (answer as { id: number }).id === 901), {
    kind: "granted",
    id: 901,
    value: 3,
  });
});

test("Fetches have a rate of their own", async () => {
  const { stage, ask } = await asking(
    'permissions: { net: ["a.example:443"] }, limits: { max_actions_per_second: 2 }',
  );
  const fetch = () => ask({ op: "fetch", url: "https://b.example/" });
  assert.deepEqual([await fetch(), await fetch(), await fetch()], [
    "NOT_ALLOWED",
    "NOT_ALLOWED",
    "RATE_LIMITED",
  ]);
  stage.clock.advance(500);
  assert.deepEqual([await fetch(), await fetch()], ["NOT_ALLOWED", "RATE_LIMITED"]);
});

test("Only so many requests wait for their answer, and what is answered after the worker's end goes nowhere", async () => {
  const { stage } = await asking("permissions: { kv: true }, limits: { max_pending: 3 }");
  const { host, slot } = stage.at("a");
  const requests = [1, 2, 3, 4, 5].map((id) => ({
    kind: "request",
    id,
    call: null,
    request: { op: "kv.get", key: "k" },
  }));
  stage.say("a", ...requests);
  for (let i = 0; i < 10; i++) await stage.turn();
  const answers = host.read(slot) as { kind: string; id: number; code?: string }[];
  assert.deepEqual(
    answers.filter(({ kind }) => kind === "refused").map(({ id, code }) => [id, code]),
    [[4, "RATE_LIMITED"], [5, "RATE_LIMITED"]],
  );
  stage.say("a", requests[0]!);
  host.report(1000);
  await stage.ready();
  await settle();
  const next = stage.at("a");
  assert.notEqual(next.host, host);
  assert.deepEqual(next.host.read(next.slot), []);
});

test("A session's text is written once for each time that it changes", async () => {
  let written = 0;
  const claims = { toJSON: () => ++written };
  const stage = new Stage("services: [{ svc: a, worker: a.ts }]");
  await stage.ready();
  const ann = session("ann", { claims });
  for (let i = 0; i < 10; i++) void stage.ask("a", {}, ann);
  assert.equal(written, 1);
  const room = { name: "hall" };
  const membership = { room, subscriber: ann };
  const { texts } = stage.runner;
  texts.joined(ann, membership as never);
  void stage.ask("a", {}, ann);
  Object.assign(ann, { active: membership, memberships: new Map([["hall", membership]]) });
  void stage.ask("a", {}, ann);
  assert.equal(written, 2);
  await stage.turn();
  const views = stage.calls("a").map(({ session }) => [session!.rooms, session!.activeRoom]);
  assert.deepEqual(views.slice(-3), [[[], null], [["hall"], "hall"], [["hall"], "hall"]]);
  Object.assign(ann, { claims: { other: 1 } });
  void stage.ask("a", {}, ann);
  await stage.turn();
  assert.deepEqual(stage.calls("a")[0]!.session!.claims, { other: 1 });
});
