// Plugins between policy and a service: which messages they see, what they may do with them, and what happens when they
// cannot be asked.

import { Json } from "../../src/protocol/json.ts";
import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { Envelope } from "../../src/protocol/envelope.ts";
import { type Answer, SILENCE } from "../../src/service/service.ts";
import { outcomeOf, session, Stage } from "./stage.ts";

const plugin = (id: string, file: string, more = "") =>
  `{ id: ${id}, match: { service: "chat:*" }, worker: ${file}${more === "" ? "" : `, ${more}`} }`;
const plugins = (...all: string[]) => `plugins: [${all.join(", ")}]`;

/** Sends a message by way of the plugins to a service that notes it. */
function send(
  stage: Stage,
  more: Partial<Envelope> = {},
): { answer: Promise<Answer>; seen: Envelope[]; later: boolean } {
  const seen: Envelope[] = [];
  const message = {
    ok: true,
    svc: "chat",
    type: "send",
    flags: 0,
    seq: 1,
    room: "r",
    data: Json.of("hi"),
    ...more,
  } as Envelope;
  const served = stage.set.plugins!.ext(session(), message, {
    ext: (_, message) => {
      seen.push(message);
      return { ok: true, reply: "served" };
    },
    hot: () => null,
    resumed: () => {},
  });
  return { answer: Promise.resolve(served), seen, later: served instanceof Promise };
}

test("A plugin passes, changes, drops or rejects", async () => {
  const stage = new Stage(plugins(plugin("p", "a.ts")));
  await stage.ready("onIngress");
  const verdicts: readonly [value: unknown, outcome: unknown, seen: unknown[]][] = [
    [undefined, { reply: "served" }, ["hi"]],
    [null, { reply: "served" }, ["hi"]],
    [{ data: { other: 1 } }, { reply: "served" }, [{ other: 1 }]],
    [{ data: null }, { reply: "served" }, [null]],
    [{ drop: true }, { reply: undefined }, []],
    [{ reject: { code: "NOT_ALLOWED", msg: "no" } }, "NOT_ALLOWED", []],
    // What is none of these is a failure, and closed is the default.
    [{ reject: { code: "WHATEVER", msg: "no" } }, "INTERNAL", []],
    [{ reject: "no" }, "INTERNAL", []],
    [{ drop: false }, "INTERNAL", []],
    [{ drop: true, data: 1 }, "INTERNAL", []],
    [{ passes: true }, "INTERNAL", []],
    [{}, "INTERNAL", []],
    ["pass", "INTERNAL", []],
    [[], "INTERNAL", []],
  ];
  for (const [value, outcome, data] of verdicts) {
    const { answer, seen } = send(stage);
    await stage.turn();
    const [call] = stage.calls("p");
    assert.deepEqual([call!.hook, call!.input], [
      "onIngress",
      { svc: "chat", type: "send", room: "r", seq: 1, data: "hi" },
    ]);
    stage.say("p", { kind: "result", id: call!.id, value });
    assert.deepEqual(
      [await outcomeOf(answer), seen.map(({ data }) => JSON.parse(data!.text))],
      [outcome, data],
      JSON.stringify(value),
    );
  }
});

test("Of what is dropped the sender hears nothing: it is the one answer that is not even acknowledged", async () => {
  const stage = new Stage(plugins(plugin("p", "a.ts")));
  await stage.ready("onIngress");
  const { answer } = send(stage);
  await stage.turn();
  stage.say("p", { kind: "result", id: 1, value: { drop: true } });
  assert.equal(await answer, SILENCE);
});

test("Plugins see a message one after the other, in the order of the file, each what the one before made of it", async () => {
  const stage = new Stage(plugins(plugin("p", "a.ts"), plugin("q", "b.ts")));
  await stage.ready("onIngress");
  const { answer, seen } = send(stage);
  await stage.turn();
  assert.equal(stage.calls("q").length, 0);
  stage.say("p", { kind: "result", id: 1, value: { data: "from p" } });
  await stage.turn();
  const [call] = stage.calls("q");
  assert.equal((call!.input as { data: unknown }).data, "from p");
  stage.say("q", { kind: "result", id: 1, value: { data: "from q" } });
  assert.deepEqual(await outcomeOf(answer), { reply: "served" });
  assert.equal(seen[0]!.data?.text, '"from q"');
  const { answer: rejected } = send(stage);
  await stage.turn();
  stage.say("p", { kind: "result", id: 2, value: { drop: true } });
  await rejected;
  await stage.turn();
  assert.equal(stage.calls("q").length, 0, "it ended before");
});

test("Only what matches is seen; all else is handled at once, as without plugins", async () => {
  const stage = new Stage(plugins(
    '{ id: p, match: { service: "chat:send", room: "vip:*" }, worker: a.ts }',
    '{ id: q, match: { service: "*:secret" }, worker: b.ts }',
    '{ id: s, match: { service: "*" , room: everything }, worker: c.ts }',
  ));
  await stage.ready("onIngress");
  const seenBy = async (more: Partial<Envelope>) => {
    const { later } = send(stage, more);
    await stage.turn();
    const found: string[] = [];
    for (const name of ["p", "q", "s"]) {
      for (const { id } of stage.calls(name)) {
        found.push(name);
        stage.say(name, { kind: "result", id });
        await stage.turn();
      }
    }
    assert.equal(later, found.length > 0);
    return found.join("");
  };
  assert.equal(await seenBy({ room: "vip:1" }), "p");
  assert.equal(await seenBy({ room: "hall" }), "");
  assert.equal(await seenBy({ room: null }), "");
  assert.equal(await seenBy({ room: "vip:1", type: "edit" }), "");
  assert.equal(await seenBy({ svc: "other", room: "vip:1" }), "");
  assert.equal(await seenBy({ svc: "other", type: "secret", room: null }), "q");
  assert.equal(await seenBy({ svc: "other", type: "secret", room: "everything" }), "qs");
  assert.equal(await seenBy({ room: "everything" }), "s");
});

test("A plugin that fails refuses the message, or lets it pass where on_failure says so", async () => {
  const failures: readonly [how: (stage: Stage) => void | Promise<void>, code: string][] = [
    [(stage) => stage.say("p", { kind: "thrown", id: 1, error: "e" }), "INTERNAL"],
    [(stage) => stage.say("p", { kind: "result", id: 1, value: "nonsense" }), "INTERNAL"],
    [(stage) => stage.host.report(4000), "UNAVAILABLE"],
    [(stage) => stage.pass(1020), "TIMEOUT"],
  ];
  for (const [fail, code] of failures) {
    for (const mode of ["closed", "open"]) {
      const stage = new Stage(plugins(plugin("p", "a.ts", `on_failure: ${mode}`)));
      await stage.ready("onIngress");
      const { answer, seen } = send(stage);
      await stage.turn();
      await fail(stage);
      assert.deepEqual(await outcomeOf(answer), mode === "open" ? { reply: "served" } : code);
      assert.equal(seen.length, mode === "open" ? 1 : 0);
    }
  }
});

test("An ExtensionError of a plugin is a rejection, whatever on_failure says", async () => {
  const stage = new Stage(plugins(plugin("p", "a.ts", "on_failure: open")));
  await stage.ready("onIngress");
  const { answer } = send(stage);
  await stage.turn();
  stage.say("p", { kind: "thrown", id: 1, code: "NOT_ALLOWED", msg: "no", error: "e" });
  assert.equal(await outcomeOf(answer), "NOT_ALLOWED");
});

test("A plugin without onIngress lets everything pass", async () => {
  const stage = new Stage(plugins(plugin("p", "a.ts")));
  await stage.ready("onTick");
  assert.deepEqual(await outcomeOf(send(stage).answer), { reply: "served" });
});

test("A message that is with a plugin when that changes goes on to the next one's successor", async () => {
  const both = (file: string) => plugins(plugin("p", file), plugin("q", file === "a.ts" ? "b.ts" : "c.ts"));
  const stage = new Stage(both("a.ts"));
  await stage.ready("onIngress");
  const { answer, seen } = send(stage);
  await stage.turn();
  const p = stage.at("p"), q = stage.at("q");
  stage.adopt(both("changed.ts"));
  await stage.ready("onIngress");
  q.host.worker(q.slot, { kind: "stopped" });
  await stage.turn();
  p.host.worker(p.slot, { kind: "result", id: 1 });
  await stage.turn();
  const [call] = stage.calls("q");
  stage.say("q", { kind: "result", id: call!.id, value: { data: "new q" } });
  assert.deepEqual(await outcomeOf(answer), { reply: "served" });
  assert.equal(seen[0]!.data?.text, '"new q"');
});

test("A tenant without plugins has none of this", () => {
  assert.equal(new Stage("services: [{ svc: a, worker: a.ts }]").set.plugins, null);
});
