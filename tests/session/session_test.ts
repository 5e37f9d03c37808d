import { strict as assert } from "node:assert";
import { test } from "node:test";
import { CLOSE } from "../../src/protocol/codes.ts";
import type { Context } from "../../src/service/service.ts";
import type { Timer } from "../../src/session/timer_wheel.ts";
import { House, settle } from "./house.ts";

const NOTHING = { sessions: 0, users: 0, rooms: 0, roomUsers: 0, timers: 0 };
const TRACE = /^\d{16}$/;

test("The first message of a session says who it is and what holds for it", async () => {
  const house = await new House({ gateway: "ping_interval_ms: 7000" }).start();
  const client = house.connect("ann", { sid: "tab-1", greet: false });
  house.turn();
  const [greeting, ...more] = client.link.read() as [
    Record<string, unknown> & { data: Record<string, unknown> },
  ];
  assert.deepEqual(more, []);
  const { session, ...data } = greeting.data;
  assert.match(session as string, TRACE);
  assert.match(greeting.trace_id as string, TRACE);
  assert.notEqual(session, greeting.trace_id);
  assert.deepEqual({ ...greeting, data, trace_id: 0 }, {
    v: 1,
    svc: "sys",
    type: "authed",
    data: {
      tenant: "acme",
      user: "ann",
      sid: "tab-1",
      ping_interval_ms: 7000,
      max_frame_bytes: 4096,
      time_ms: house.clock.unixMs(),
    },
    trace_id: 0,
  });
});

test("A session that comes and goes leaves nothing behind, whichever side ends it", async () => {
  const house = await new House().start();
  assert.deepEqual(house.census(), NOTHING);
  const client = house.connect("ann");
  client.join("a");
  client.join("b");
  assert.deepEqual(house.census(), { sessions: 1, users: 1, rooms: 2, roomUsers: 1, timers: 1 });
  client.gone();
  assert.deepEqual(house.census(), NOTHING);

  const other = house.connect("bob");
  other.join("a");
  other.handler.text("nonsense");
  assert.equal(other.link.closed?.code, 4505);
  assert.deepEqual(house.census(), { ...NOTHING, timers: 1 }, "one timer until the peer answers");
  other.gone(4505);
  assert.deepEqual(house.census(), NOTHING);
});

test("After the close nothing that still arrives is heard, and nothing is written", async () => {
  const house = await new House().start();
  const client = house.connect("ann"), witness = house.connect("bob");
  client.join("a");
  witness.join("a");
  client.handler.text("nonsense");
  client.link.read();
  client.tell("chat", "send", { room: "a", data: { msg: "x" } });
  client.handler.binary(Uint8Array.of(1, 1, 1, 0, 9));
  client.handler.pong();
  client.handler.onDrain();
  house.turn();
  assert.deepEqual(client.link.read(), []);
  assert.deepEqual(witness.link.read(), []);
  client.gone();
  client.tell("room", "join", { room: "a" });
  client.handler.onDrain();
  client.handler.pong();
  house.turn();
  assert.deepEqual(house.census(), { sessions: 1, users: 1, rooms: 1, roomUsers: 1, timers: 1 });
});

test("Silence is met with pings, and with the end after the idle timeout", async () => {
  const house = await new House({ gateway: "ping_interval_ms: 5000, idle_timeout_ms: 12000" }).start();
  const client = house.connect("ann");
  house.clock.advance(4900);
  assert.equal(client.link.pings, 0);
  house.clock.advance(200);
  assert.equal(client.link.pings, 1);
  house.clock.advance(5000);
  assert.equal(client.link.pings, 2);
  house.clock.advance(1700);
  assert.equal(client.link.closed, null);
  house.clock.advance(300);
  assert.deepEqual(client.link.closed, { code: 4001, reason: CLOSE.idleTimeout.reason });
  assert.deepEqual((client.link.read() as [{ data: unknown }])[0].data, { code: "TIMEOUT", msg: "idle" });
});

test("A pong or any message puts the idle timeout off, and pings go on all the same", async () => {
  const house = await new House({ gateway: "ping_interval_ms: 5000, idle_timeout_ms: 10000" }).start();
  const client = house.connect("ann");
  const signs = [
    () => client.handler.pong(),
    () => client.tell("sys", "ping"),
    () => client.handler.binary(Uint8Array.of(1, 9, 9, 0)),
  ];
  for (let i = 0; i < 30; i++) {
    house.clock.advance(9000);
    assert.equal(client.link.closed, null, `at ${i}`);
    signs[i % signs.length]!();
  }
  assert.ok(
    client.link.pings >= 30 * 9 / 5 - 3 && client.link.pings <= 30 * 9 / 5,
    String(client.link.pings),
  );
  house.clock.advance(10_200);
  assert.equal(client.link.closed?.code, 4001);
});

test("Where the transport watches for silence itself, the gateway does not", async () => {
  const house = await new House({ gateway: "ping_interval_ms: 5000, idle_timeout_ms: 10000", pings: false })
    .start();
  const client = house.connect("ann");
  house.clock.advance(100_000);
  assert.equal(client.link.closed, null);
});

test("A peer that does not answer the close is dropped after five seconds", async () => {
  const house = await new House().start();
  const client = house.connect("ann");
  client.handler.text("nonsense");
  assert.equal(client.link.closed?.code, 4505);
  house.clock.advance(4900);
  assert.equal(client.link.terminated, 0);
  house.clock.advance(200);
  assert.equal(client.link.terminated, 1);
  client.gone();
  house.clock.advance(20_000);
  assert.equal(client.link.terminated, 1);
  assert.deepEqual(house.census(), NOTHING);
});

test("A second session of the same user and sid takes the first one's place", async () => {
  const house = await new House().start();
  const first = house.connect("ann", { sid: "tab" });
  first.join("a");
  const second = house.connect("ann", { sid: "tab" });
  assert.deepEqual(first.link.closed, { code: 4502, reason: CLOSE.replaced.reason });
  assert.deepEqual((first.link.read() as [{ type: string; data: unknown }])[0].data, { reason: "replaced" });
  assert.equal(second.link.closed, null);
  assert.deepEqual(house.census(), { sessions: 1, users: 1, rooms: 0, roomUsers: 0, timers: 2 });
});

test("One session too many is told after the upgrade and closed with 4503, or the oldest one goes", async () => {
  const policy = (rule: string) => [`policy: { sessions: { max_sessions_per_user: 2, on_exceed: ${rule} } }`];
  const denying = await new House({ tenant: policy("deny") }).start();
  const [one, two] = [denying.connect("ann"), denying.connect("ann")];
  const refused = denying.connect("ann", { greet: false });
  denying.turn();
  const told = refused.link.read() as { type: string; data: { code: string } }[];
  assert.deepEqual(told.map(({ type, data }) => [type, data.code]), [["error", "TOO_MANY_SESSIONS"]]);
  assert.equal(refused.link.closed?.code, 4503);
  assert.deepEqual([one.link.closed, two.link.closed], [null, null]);
  refused.tell("sys", "ping");
  denying.turn();
  assert.deepEqual(refused.link.read(), []);
  denying.connect("bob");

  const kicking = await new House({ tenant: policy("kick_oldest") }).start();
  const [oldest, newer] = [kicking.connect("ann"), kicking.connect("ann")];
  kicking.connect("ann");
  assert.equal(oldest.link.closed?.code, 4501);
  assert.deepEqual((oldest.link.read() as [{ data: unknown }])[0].data, { reason: "max_sessions_exceeded" });
  assert.equal(newer.link.closed, null);
});

test("A service's word on a session that has ended does nothing", async () => {
  let held: Context | null = null;
  const house = await new House({
    services: {
      t: (context) => {
        held = context;
        return { ok: true };
      },
    },
  }).start();
  const client = house.connect("ann");
  client.join("a");
  client.ask("t", "hold");
  const context = held! as Context, membership = context.membership("a")!;
  client.gone();
  assert.deepEqual(house.census(), NOTHING);
  assert.ok("ok" in context.join("b"), "an ended session joins no room");
  context.leave(membership);
  assert.equal(context.active, null);
  assert.equal(context.membership("a"), undefined);
  assert.deepEqual(house.census(), NOTHING);
});

test("A membership that was left already is left no second time", async () => {
  let held: Context | null = null;
  const house = await new House({
    services: {
      t: (context) => {
        held = context;
        return { ok: true };
      },
    },
  }).start();
  const client = house.connect("ann"), other = house.connect("bob");
  client.join("a");
  client.ask("t", "hold");
  const context = held! as Context, stale = context.membership("a")!;
  client.ask("room", "leave", { room: "a" });
  other.join("a");
  client.join("a");
  context.leave(stale);
  assert.notEqual(context.membership("a"), undefined);
  assert.deepEqual(house.census(), { sessions: 2, users: 2, rooms: 1, roomUsers: 2, timers: 2 });
  assert.equal(client.ask("chat", "send", { room: "a", data: { msg: "x" } }).length, 1);
  assert.equal(other.link.read().length, 1);
  client.gone();
  other.gone();
  assert.deepEqual(house.census(), NOTHING);
});

test("The active room is the one joined last, until it is left", async () => {
  const house = await new House({
    services: {
      t: (context) => ({ ok: true, reply: context.active?.room.name ?? null }),
    },
  }).start();
  const client = house.connect("ann");
  const active = () => (client.ask("t", "active") as [{ data: unknown }])[0].data;
  assert.equal(active(), null);
  client.join("a");
  assert.equal(active(), "a");
  client.join("b");
  assert.equal(active(), "b");
  client.join("a");
  assert.equal(active(), "a", "joining again makes it active again");
  client.ask("room", "leave", { room: "b" });
  assert.equal(active(), "a");
  client.ask("room", "leave", { room: "a" });
  assert.equal(active(), null, "and not the one before it");
});

test("Thousands of sessions that come, join and go in any order leave nothing behind", async () => {
  const house = await new House().start();
  let random = 1;
  const next = (below: number) => (random = random * 48271 % 2147483647) % below;
  const open: ReturnType<House["connect"]>[] = [];
  for (let i = 0; i < 3000; i++) {
    const client = house.connect(`u${next(400)}`, { sid: `s${next(3)}` });
    open.push(client);
    for (let rooms = next(3); rooms > 0; rooms--) client.tell("room", "join", { room: `r${next(20)}` });
    if (next(3) === 0) open.splice(next(open.length), 1)[0]!.gone();
    if (next(100) === 0) house.clock.advance(100);
  }
  for (const client of open) client.gone();
  house.turn();
  await settle();
  assert.deepEqual(house.census(), NOTHING);
  assert.deepEqual(await house.metric("ws_sessions_active"), ['{tenant="acme"} 0']);
});

test("An open session always has a next deadline, however its times round", async () => {
  const house = await new House({ gateway: "ping_interval_ms: 21989" }).start();
  let checked = 0;
  for (let i = 0; i < 2000; i++) {
    const openedAt = 100_000 + i * 977.123456789;
    house.clock.ms = openedAt;
    const client = house.connect(`user ${i}`);
    // Visited at the very moment that was asked for, after an earlier visit that moved it there.
    house.clock.ms = openedAt + 1000 + i / 7;
    const session = client.handler as unknown as Timer;
    const due = house.clock.ms + session.onTimer(house.clock.ms);
    house.clock.ms = due;
    assert.ok(session.onTimer(due) > 0, `opened at ${openedAt}, visited at ${due}`);
    checked += client.link.pings;
    client.gone();
  }
  assert.ok(checked > 1000, "most are pinged then, the others a moment later");
});
