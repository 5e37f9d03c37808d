import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { Answer } from "../../src/service/service.ts";
import { writeCbor } from "../protocol/naive.ts";
import { type Client, House, settle } from "./house.ts";

/** The type of each message, and what it is about. */
function brief(messages: readonly unknown[]): string[] {
  return (messages as { type: string; seq?: number; data?: { code?: string } }[]).map(({ type, seq, data }) =>
    [type, data?.code, seq].filter((part) => part !== undefined).join(" ")
  );
}

const HOT = [1, 1, 1, 0, 42];

/** Promises that a test settles by hand. */
class Calls {
  readonly under: { seq: number | null; answer: (answer: Answer) => void; fail: (cause: unknown) => void }[] =
    [];

  readonly handle = (_: unknown, message: { seq: number | null }): Promise<Answer> =>
    new Promise((answer, fail) => this.under.push({ seq: message.seq, answer, fail }));

  /** Settles the oldest call. */
  async answer(answer: Answer = { ok: true }): Promise<void> {
    this.under.shift()!.answer(answer);
    await settle();
  }
}

test("Whatever cannot be read ends the session with the code that the protocol names", async () => {
  const cases: [send: (client: Client) => void, told: string, close: number][] = [
    [(c) => c.handler.text("{"), "error BAD_REQUEST", 4505],
    [(c) => c.handler.text(""), "error BAD_REQUEST", 4505],
    [(c) => c.tell("a", "b", { seq: 5, more: 1 }), "error BAD_REQUEST 5", 4505],
    [(c) => c.handler.text('{"v":2,"seq":6}'), "error UNSUPPORTED_VERSION 6", 4506],
    [(c) => c.handler.text("x".repeat(4097)), "error PAYLOAD_TOO_LARGE", 4508],
    [(c) => c.handler.text("é".repeat(2049)), "error PAYLOAD_TOO_LARGE", 4508],
    [(c) => c.handler.binary(new Uint8Array(0)), "error BAD_REQUEST", 4505],
    [(c) => c.handler.binary(Uint8Array.of(1, 1, 1)), "error BAD_REQUEST", 4505],
    [(c) => c.handler.binary(Uint8Array.of(2, 1, 1, 0)), "error UNSUPPORTED_VERSION", 4506],
    [(c) => c.handler.binary(Uint8Array.of(0xa0, 1, 1, 0)), "error UNSUPPORTED_VERSION", 4506],
    [(c) => c.handler.binary(Uint8Array.of(1, 1, 1, 8)), "error BAD_REQUEST", 4505],
    [(c) => c.handler.binary(new Uint8Array(4097)), "error PAYLOAD_TOO_LARGE", 4508],
  ];
  const house = await new House().start();
  for (const [i, [send, told, close]] of cases.entries()) {
    const client = house.connect(`user ${i}`);
    send(client);
    house.turn();
    assert.deepEqual(brief(client.link.read()), [told], `case ${i}`);
    assert.equal(client.link.closed?.code, close, `case ${i}`);
  }
  assert.deepEqual(await house.metric("decode_errors_total"), [`{tenant="acme"} ${cases.length - 3}`]);
  assert.deepEqual((await house.metric("policy_decisions_total")).filter((line) => line.includes("close")), [
    '{tenant="acme",lane="ext",decision="close",reason="size"} 2',
    '{tenant="acme",lane="hot",decision="close",reason="size"} 1',
  ]);
});

test("A message of exactly the largest size is taken", async () => {
  const house = await new House().start();
  const client = house.connect("ann");
  const text = (data: string) => JSON.stringify({ v: 1, svc: "sys", type: "ping", data });
  const rest = 4096 - new TextEncoder().encode(text("")).length;
  client.handler.text(text("x".repeat(rest)));
  client.handler.text(text("é".repeat(rest / 2) + "x".repeat(rest % 2)));
  house.turn();
  assert.deepEqual(brief(client.link.read()), ["pong", "pong"]);
  client.join("a");
  assert.equal(client.askHot(1, 1, 1, 0, ...new Uint8Array(4092)).length, 1);
  assert.equal(client.link.closed, null);
});

test("A CBOR session speaks CBOR and text, hot frames begin with 1, and anything else is refused", async () => {
  const house = await new House().start();
  const client = house.connect("ann", { cbor: true });
  const cbor = (more: Record<string, number>) =>
    Uint8Array.from(writeCbor({ v: 1, svc: "sys", type: "ping", ...more }));
  client.handler.binary(cbor({ seq: 2 ** 53 - 1 }));
  client.handler.text(JSON.stringify({ v: 1, svc: "sys", type: "ping", seq: 3 }));
  house.turn();
  assert.ok(client.link.got.every((payload) => payload instanceof Uint8Array), "all answers are CBOR");
  assert.deepEqual(brief(client.link.read()), [`pong ${2 ** 53 - 1}`, "pong 3"]);
  client.join("a");
  assert.deepEqual(client.askHot(...HOT), [[42]]);
  for (const first of [0, 2, 0x80, 0x9f, 0xc0, 0xff]) {
    const other = house.connect(`user ${first}`, { cbor: true });
    assert.deepEqual(brief(other.askHot(first, 1, 1, 0)), ["error BAD_REQUEST"], String(first));
    assert.equal(other.link.closed?.code, 4505, String(first));
  }
});

test("What the allowlists do not name is refused and the session stays", async () => {
  const house = await new House({
    tenant: ['policy: { ext_allowlist: ["room:join"], hot_allowlist: ["1:1"] }'],
  }).start();
  const client = house.connect("ann");
  assert.deepEqual(brief(client.ask("chat", "send", { seq: 1, room: "a", data: { msg: "x" } })), [
    "error NOT_ALLOWED 1",
  ]);
  assert.deepEqual(brief(client.ask("room", "leave", { seq: 2 })), ["error NOT_ALLOWED 2"]);
  assert.deepEqual(brief(client.ask("sys", "authed", { seq: 3 })), ["error NOT_ALLOWED 3"]);
  client.join("a");
  assert.deepEqual(brief(client.askHot(1, 1, 2, 1, 9, 0, 0, 0)), ["error NOT_ALLOWED 9"]);
  assert.deepEqual(client.askHot(...HOT), [[42]]);
  assert.equal(client.link.closed, null);
});

test("sys.ping, sys.auth and sys.ack need no allowlist", async () => {
  const house = await new House({ tenant: ["policy: { ext_allowlist: [] }"] }).start();
  const client = house.connect("ann");
  assert.deepEqual(brief(client.ask("sys", "ping", { seq: 1 })), ["pong 1"]);
  assert.deepEqual(brief(client.ask("sys", "auth", { seq: 2 })), ["error BAD_REQUEST 2"]);
  assert.deepEqual(client.ask("sys", "ack", { seq: 3 }), []);
});

test("Without an active room a hot message is refused where the tenant says so, and taken where it does not", async () => {
  const strict = await new House().start();
  assert.deepEqual(brief(strict.connect("ann").askHot(1, 1, 1, 1, 7, 0, 0, 0)), ["error BAD_REQUEST 7"]);
  const lax = await new House({
    tenant: ['policy: { hot_allowlist: ["1:*"], hot_requires_active_room: false }'],
  }).start();
  assert.deepEqual(lax.connect("ann").askHot(...HOT), [[42]]);
});

test("In silent mode no refusal of a hot message is told, and each is counted", async () => {
  const house = await new House({
    tenant: [
      'policy: { hot_error_mode: silent, hot_allowlist: ["1:1", "9:1"], rate_limit_rps: 1, rate_limit_burst: 4 }',
    ],
  }).start();
  const client = house.connect("ann");
  assert.deepEqual(client.askHot(1, 1, 2, 0), [], "not allowed");
  assert.deepEqual(client.askHot(...HOT), [], "no active room");
  client.join("a");
  assert.deepEqual(client.askHot(1, 9, 1, 0), [], "no such service");
  assert.deepEqual(client.askHot(...HOT), [], "above the rate");
  assert.deepEqual((await house.metric("policy_decisions_total")).filter((line) => !line.includes("pass")), [
    '{tenant="acme",lane="hot",decision="reject",reason="allowlist"} 1',
    '{tenant="acme",lane="hot",decision="reject",reason="no_active_room"} 1',
    '{tenant="acme",lane="hot",decision="drop",reason="session_rate"} 1',
  ]);
  assert.deepEqual(await house.metric("unknown_service_total"), ["1"]);
});

test("A limiter's first drop in a second is told with the time to wait, and each is counted", async () => {
  const house = await new House({ tenant: ["policy: { rate_limit_rps: 2, rate_limit_burst: 2 }"] }).start();
  const client = house.connect("ann");
  const ping = (seq: number) => brief(client.ask("sys", "ping", { seq }));
  assert.deepEqual([ping(1), ping(2)], [["pong 1"], ["pong 2"]]);
  const [told] = client.ask("sys", "ping", { seq: 3 }) as [{ seq: number; data: unknown }];
  assert.deepEqual([told.seq, told.data], [3, {
    code: "RATE_LIMITED",
    msg: "too many messages",
    rule_id: "quota.session",
    retry_after_ms: 500,
  }]);
  for (let i = 0; i < 20; i++) assert.deepEqual(ping(4), []);
  house.clock.ms += 499;
  assert.deepEqual(ping(5), []);
  house.clock.ms += 1;
  assert.deepEqual(ping(6), ["pong 6"]);
  assert.deepEqual(ping(7), [], "still the same second");
  house.clock.ms += 499;
  assert.deepEqual(ping(8), [], "999 ms after it was told");
  house.clock.ms += 1;
  assert.deepEqual(ping(9), ["pong 9"]);
  assert.deepEqual(ping(10), ["error RATE_LIMITED 10"]);
  assert.equal(client.link.closed, null);
  assert.deepEqual((await house.metric("policy_decisions_total")).filter((line) => line.includes("drop")), [
    '{tenant="acme",lane="ext",decision="drop",reason="session_rate"} 25',
  ]);
});

test("A message above the session's rate is not read, save for the seq of the one that is told", async () => {
  const house = await new House({ tenant: ["policy: { rate_limit_rps: 1, rate_limit_burst: 1 }"] }).start();
  const client = house.connect("ann");
  client.ask("sys", "ping");
  client.handler.text("nonsense");
  house.turn();
  assert.deepEqual(brief(client.link.read()), ["error RATE_LIMITED"]);
  client.handler.binary(Uint8Array.of(9));
  assert.equal(client.link.closed, null);
});

test("Messages that are refused take nothing of the tenant's common rate", async () => {
  const policy = (scope: string) =>
    `policy: { rate_limit_rps: 10, rate_limit_burst: 3, rate_limit_scope: ${scope}, hot_allowlist: ["1:1"] }`;
  for (const scope of ["tenant", "both"]) {
    const house = await new House({ tenant: [policy(scope)] }).start();
    for (let i = 0; i < 20; i++) {
      const noisy = house.connect(`noisy ${i}`);
      noisy.ask("chat", "send", { room: "a", data: {} }); // Not allowed.
      noisy.askHot(1, 1, 2, 0); // Not allowed.
      noisy.askHot(...HOT); // No active room.
      noisy.handler.text("nonsense");
    }
    const good = house.connect("good"), other = house.connect("other");
    for (const client of [good, good, other]) {
      assert.deepEqual(brief(client.ask("sys", "ping")), ["pong"], scope);
    }
    assert.deepEqual(brief(other.ask("sys", "ping", { seq: 1 })), ["error RATE_LIMITED 1"], scope);
  }
});

test("In scope tenant a flood of refused messages is answered no more often than the rate", async () => {
  const house = await new House({
    tenant: ["policy: { rate_limit_rps: 5, rate_limit_burst: 5, rate_limit_scope: tenant }"],
  }).start();
  const client = house.connect("ann");
  let told = 0;
  for (let i = 0; i < 1000; i++) told += client.ask("chat", "send").length;
  assert.equal(told, 5);
});

test("An ack comes once the service has taken the message, and an error instead when it has not", async () => {
  const house = await new House().start();
  const client = house.connect("ann");
  assert.deepEqual(brief(client.ask("room", "join", { room: "a", seq: 1, flags: 4 })), ["joined 1", "ack 1"]);
  assert.deepEqual(brief(client.ask("chat", "send", { room: "a", seq: 2, flags: 4, data: { msg: "x" } })), [
    "ack 2",
    "msg",
  ]);
  assert.deepEqual(brief(client.ask("chat", "send", { room: "b", seq: 3, flags: 4, data: { msg: "x" } })), [
    "error NOT_ALLOWED 3",
  ]);
  assert.deepEqual(
    brief(client.ask("chat", "send", { room: "a", seq: 4, data: { msg: "x" } })),
    ["msg"],
    "none was asked for",
  );
  assert.deepEqual(
    brief(client.ask("chat", "send", { room: "a", flags: 4, data: { msg: "x" } })),
    ["msg"],
    "no seq to ack",
  );
  assert.deepEqual(brief(client.ask("room", "members", { room: "a", seq: 5, flags: 7 })), [
    "ack 5",
    "reply 5",
  ]);
});

test("A hot ack has service, opcode and seq and overtakes the payload", async () => {
  const house = await new House().start();
  const client = house.connect("ann");
  client.join("a");
  assert.deepEqual(client.askHot(1, 1, 9, 3, 4, 3, 2, 1, 42), [[1, 1, 9, 3, 4, 3, 2, 1], [42]]);
  assert.deepEqual(
    brief(client.askHot(1, 3, 9, 3, 5, 0, 0, 0)),
    ["error NOT_FOUND 5"],
    "no ack for what was refused",
  );
});

test("A service that the tenant does not have is NOT_FOUND, and so is a type that a service does not know", async () => {
  const house = await new House().start();
  const client = house.connect("ann");
  assert.deepEqual(brief(client.ask("t", "x", { seq: 1 })), ["error NOT_FOUND 1"]);
  assert.deepEqual(brief(client.ask("room", "x", { seq: 2 })), ["error NOT_FOUND 2"]);
  assert.deepEqual(await house.metric("unknown_service_total"), ["1"]);
  assert.deepEqual(await house.metric("service_errors_total"), [
    '{tenant="acme",lane="ext"} 2',
    '{tenant="acme",lane="hot"} 0',
  ]);
});

test("What a service throws is INTERNAL to the client, stands in the log, and the session stays", async () => {
  const house = await new House({
    services: {
      t: () => {
        throw new Error("secret of the house");
      },
      slow: () => Promise.reject(new Error("later secret")),
    },
  }).start();
  const client = house.connect("ann");
  const at_once = client.ask("t", "x", { seq: 1 });
  client.tell("slow", "x", { seq: 2 });
  await settle();
  house.turn();
  const later = client.link.read();
  assert.deepEqual(brief([...at_once, ...later]), ["error INTERNAL 1", "error INTERNAL 2"]);
  assert.ok(!JSON.stringify([at_once, later]).includes("secret"));
  const errors = house.logged.filter(({ level }) => level === "error");
  assert.deepEqual(errors.map(({ fields }) => [fields.tenant, fields.user, fields.svc]), [[
    "acme",
    "ann",
    "t",
  ], ["acme", "ann", "slow"]]);
  assert.match(String(errors[0]!.fields.error), /secret of the house/);
  assert.match(String(errors[1]!.fields.error), /later secret/);
  assert.equal(client.ask("sys", "ping").length, 1);
});

test("A reply that cannot be written is INTERNAL too, at once and later", async () => {
  const circle: Record<string, unknown> = {};
  circle.self = circle;
  const house = await new House({
    services: {
      t: () => ({ ok: true, reply: circle }),
      slow: () => Promise.resolve({ ok: true, reply: 1n }),
    },
  }).start();
  const client = house.connect("ann");
  assert.deepEqual(brief(client.ask("t", "x", { seq: 1 })), ["error INTERNAL 1"]);
  for (const seq of [2, 3]) client.tell("slow", "x", { seq });
  await settle();
  house.turn();
  assert.deepEqual(brief(client.link.read()), ["error INTERNAL 2", "error INTERNAL 3"]);
});

test("Messages to a slow service are handled one after the other and answered in order", async () => {
  const calls = new Calls();
  const house = await new House({ services: { slow: calls.handle } }).start();
  const client = house.connect("ann");
  for (const seq of [1, 2, 3]) client.tell("slow", "x", { seq, flags: 4 });
  assert.deepEqual(calls.under.map(({ seq }) => seq), [1], "one at a time");
  await calls.answer({ ok: true, reply: "a" });
  assert.deepEqual(calls.under.map(({ seq }) => seq), [2]);
  await calls.answer({ ok: false, code: "UNAVAILABLE", msg: "no" });
  await calls.answer({ ok: true, reply: "c" });
  house.turn();
  // The lanes differ: acks and errors overtake replies, each in order.
  assert.deepEqual(brief(client.link.read()), [
    "ack 1",
    "error UNAVAILABLE 2",
    "ack 3",
    "reply 1",
    "reply 3",
  ]);
});

test("A service that answers at once after it was slow keeps the order too", async () => {
  const calls = new Calls();
  const house = await new House({
    services: {
      slow: (context, message) =>
        message.type === "fast" ? { ok: true, reply: "fast" } : calls.handle(context, message),
    },
  }).start();
  const client = house.connect("ann");
  client.tell("slow", "x", { seq: 1 });
  client.tell("slow", "fast", { seq: 2 });
  client.tell("slow", "fast", { seq: 3 });
  client.tell("slow", "x", { seq: 4 });
  await calls.answer({ ok: true, reply: "slow" });
  assert.deepEqual(calls.under.map(({ seq }) => seq), [4]);
  await calls.answer({ ok: true, reply: "slow" });
  client.tell("slow", "fast", { seq: 5 });
  house.turn();
  assert.deepEqual(brief(client.link.read()), ["reply 1", "reply 2", "reply 3", "reply 4", "reply 5"]);
});

test("Another service, and another session, do not wait for a slow one", async () => {
  const calls = new Calls();
  const house = await new House({ services: { slow: calls.handle, other: () => ({ ok: true, reply: 1 }) } })
    .start();
  const client = house.connect("ann"), second = house.connect("bob");
  client.tell("slow", "x", { seq: 1 });
  assert.deepEqual(brief(client.ask("other", "x", { seq: 2 })), ["reply 2"]);
  assert.deepEqual(brief(client.ask("sys", "ping", { seq: 3 })), ["pong 3"]);
  client.join("a");
  assert.deepEqual(client.askHot(...HOT), [[42]]);
  second.tell("slow", "x", { seq: 4 });
  assert.deepEqual(calls.under.map(({ seq }) => seq), [1, 4]);
});

test("One message more than may wait is refused, and room comes back with each answer", async () => {
  const calls = new Calls();
  const house = await new House({
    tenant: ["limits: { max_pending_per_session: 3 }", 'policy: { ext_allowlist: ["slow:*"] }'],
    services: { slow: calls.handle },
  }).start();
  const client = house.connect("ann");
  for (const seq of [1, 2, 3, 4, 5]) client.tell("slow", "x", { seq });
  house.turn();
  assert.deepEqual(brief(client.link.read()), ["error RATE_LIMITED 4", "error RATE_LIMITED 5"]);
  await calls.answer();
  client.tell("slow", "x", { seq: 6 });
  client.tell("slow", "x", { seq: 7 });
  house.turn();
  assert.deepEqual(brief(client.link.read()), ["error RATE_LIMITED 7"]);
  const handled: (number | null)[] = [];
  while (calls.under.length > 0) {
    handled.push(calls.under[0]!.seq);
    await calls.answer();
  }
  assert.deepEqual(handled, [2, 3, 6]);
  assert.deepEqual(
    (await house.metric("policy_decisions_total")).filter((line) => line.includes("pending")),
    [
      '{tenant="acme",lane="ext",decision="reject",reason="pending"} 3',
    ],
  );
});

test("A slow service that has all the messages it may have holds up no other", async () => {
  const calls = new Calls();
  const house = await new House({
    tenant: ["limits: { max_pending_per_session: 1 }", 'policy: { ext_allowlist: ["slow:*", "room:*"] }'],
    services: { slow: calls.handle },
  }).start();
  const client = house.connect("ann");
  client.tell("slow", "x", { seq: 1 });
  client.tell("slow", "x", { seq: 2 });
  client.tell("room", "leave", { seq: 3 });
  house.turn();
  assert.deepEqual(brief(client.link.read()), ["error RATE_LIMITED 2", "left 3"]);
});

test("When a session has ended, its answers go nowhere and its waiting messages are not handled", async () => {
  const calls = new Calls();
  const house = await new House({ services: { slow: calls.handle } }).start();
  const client = house.connect("ann");
  for (const seq of [1, 2]) client.tell("slow", "x", { seq });
  client.gone();
  await calls.answer({ ok: true, reply: "late" });
  house.turn();
  assert.deepEqual(client.link.read(), []);
  assert.deepEqual(calls.under, []);
});

test("A service may end its own session inside a message", async () => {
  const house = await new House({
    services: {
      t: () => {
        client.gone();
        return { ok: true, reply: "late" };
      },
    },
  }).start();
  const client = house.connect("ann");
  client.join("a");
  client.tell("t", "x", { seq: 1, flags: 4 });
  house.turn();
  assert.deepEqual(client.link.read(), []);
  assert.deepEqual(house.census(), { sessions: 0, users: 0, rooms: 0, roomUsers: 0, timers: 0 });
});

test("Messages and bytes are counted by lane, and passed ones by the lane that passed them", async () => {
  const house = await new House().start();
  const client = house.connect("ann");
  client.join("é");
  client.askHot(...HOT);
  const text = JSON.stringify({ v: 1, svc: "room", type: "join", room: "é" });
  assert.deepEqual(await house.metric("messages_in_total"), [
    '{tenant="acme",lane="ext"} 1',
    '{tenant="acme",lane="hot"} 1',
  ]);
  assert.deepEqual(await house.metric("bytes_in_total"), [
    `{tenant="acme",lane="ext"} ${new TextEncoder().encode(text).length}`,
    '{tenant="acme",lane="hot"} 5',
  ]);
  assert.deepEqual((await house.metric("policy_decisions_total")).filter((line) => line.includes("pass")), [
    '{tenant="acme",lane="ext",decision="pass",reason="ok"} 1',
    '{tenant="acme",lane="hot",decision="pass",reason="ok"} 1',
  ]);
  assert.deepEqual(await house.metric("messages_out_total"), [
    '{tenant="acme",lane="control"} 2',
    '{tenant="acme",lane="reliable"} 0',
    '{tenant="acme",lane="latest"} 0',
    '{tenant="acme",lane="lossy"} 1',
  ]);
});
