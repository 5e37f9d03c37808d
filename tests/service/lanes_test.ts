import { strict as assert } from "node:assert";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { type Client, House, type HouseOptions } from "../session/house.ts";

const POLICY =
  'policy: { ext_allowlist: ["room:*", "chat:*"], hot_allowlist: ["1:*", "2:*", "3:*", "4:*"], ' +
  "rate_limit_rps: 1000000, rate_limit_burst: 1000000 }";

interface Sys {
  readonly svc: string;
  readonly type: string;
  readonly data: Record<string, unknown>;
}

function house(
  options: { hot?: string; delivery?: string; gateway?: string; frame?: number } = {},
): Promise<House> {
  const tenant = [POLICY, `limits: { max_frame_bytes: ${options.frame ?? 65_536} }`];
  if (options.hot !== undefined) tenant.push(`hot_services: [${options.hot}]`);
  if (options.delivery !== undefined) tenant.push(`delivery: { ${options.delivery} }`);
  const all: HouseOptions = { gateway: options.gateway ?? "", tenant };
  return new House(all).start();
}

const RELAY = "{ id: 2, kind: relay }";
const RELAY_LATEST = "{ id: 2, kind: relay, lane: latest }";

/** A hot frame of `bytes` in all, its payload filled with `mark`. */
function hot(svc: number, opcode: number, mark: number, bytes = 8): Uint8Array {
  const frame = new Uint8Array(bytes).fill(mark);
  frame.set([1, svc, opcode, 0]);
  return frame;
}

/** Its socket takes nothing any more, and has one byte too many waiting. */
function stall(to: Client, from: Client, house: House): void {
  to.link.room = 0;
  from.handler.binary(hot(2, 250, 0, 60_000));
  from.handler.binary(hot(2, 251, 0, 60_000));
  house.turn();
  assert.ok(to.link.waiting > 65_536);
  to.link.read();
}

function joined(house: House, users: readonly string[], room = "r"): Client[] {
  const clients = users.map((user) => house.connect(user));
  for (const client of clients) client.join(room);
  for (const client of clients) client.link.read();
  return clients;
}

/** The first payload byte of each hot frame with a sender, and the type of each envelope. */
function summary(messages: readonly unknown[]): (string | number)[] {
  return messages.map((message) => Array.isArray(message) ? message[8] as number : (message as Sys).type);
}

test("A client that stalls with a chat message waiting is told, closed with 4000 and counted", async () => {
  const all = await house({ hot: RELAY, gateway: "writer_send_timeout_ms: 1500" });
  const [slow, fast] = joined(all, ["slow", "fast"]) as [Client, Client];
  stall(slow, fast, all);
  fast.ask("chat", "send", { room: "r", data: { msg: "hello" } });
  all.clock.advance(1400);
  all.turn();
  assert.equal(slow.link.closed, null);
  assert.deepEqual(slow.link.read(), []);
  all.clock.advance(200);
  all.turn();
  const [error, ...others] = slow.link.read() as Sys[];
  assert.deepEqual(others, []);
  assert.deepEqual([error?.svc, error?.type, error?.data["code"]], ["sys", "error", "RESOURCE_EXHAUSTED"]);
  assert.deepEqual(slow.link.closed, { code: 4000, reason: "too slow to read reliable messages" });
  assert.deepEqual(await all.metric("writer_timeouts_total"), ['{tenant="acme"} 1']);
  assert.deepEqual(await all.metric("session_closes_total"), ['{tenant="acme",name="slow_consumer"} 1']);
  assert.deepEqual(await all.metric("drops_total"), ['{tenant="acme",lane="reliable",reason="closed"} 1']);
  const warnings = all.logged.filter(({ level, message }) =>
    level === "warn" && message.startsWith("session")
  );
  assert.deepEqual(warnings.map(({ message, fields }) => [message, fields["cause"]]), [[
    "session too slow",
    "stalled",
  ]]);
  assert.equal(fast.link.closed, null);
  assert.deepEqual(await all.metric("outbox_bytes"), ["0"]);
});

test("A client that stalls with nothing but hot frames waiting is left alone", async () => {
  const all = await house({ hot: RELAY });
  const [slow, fast] = joined(all, ["slow", "fast"]) as [Client, Client];
  stall(slow, fast, all);
  fast.askHot(...hot(2, 1, 7));
  all.clock.advance(10_000);
  assert.equal(slow.link.closed, null);
});

test("A client that reads on, however slowly, is not stalled", async () => {
  const all = await house({ hot: RELAY });
  const [slow, fast] = joined(all, ["slow", "fast"]) as [Client, Client];
  stall(slow, fast, all);
  fast.ask("chat", "send", { room: "r", data: { msg: "hello" } });
  for (let i = 0; i < 10; i++) {
    slow.link.take(1);
    all.clock.advance(1000);
  }
  assert.equal(slow.link.closed?.code, undefined);
  all.clock.advance(1600);
  assert.equal(slow.link.closed?.code, 4000);
});

test("A client whose reliable lane overflows is told, closed with 4000, and nothing is lost in silence", async () => {
  const all = await house({ hot: RELAY, delivery: "reliable: { max_messages: 3 }" });
  const [slow, fast] = joined(all, ["slow", "fast"]) as [Client, Client];
  stall(slow, fast, all);
  for (let i = 0; i < 5; i++) fast.tell("chat", "send", { room: "r", data: { msg: `${i}` } });
  all.turn();
  const [error, ...others] = slow.link.read() as Sys[];
  assert.deepEqual(others, []);
  assert.deepEqual([error?.type, error?.data["code"]], ["error", "RESOURCE_EXHAUSTED"]);
  assert.equal(slow.link.closed?.code, 4000);
  assert.deepEqual(await all.metric("drops_total"), [
    '{tenant="acme",lane="reliable",reason="full"} 4',
    '{tenant="acme",lane="reliable",reason="closed"} 1',
  ]);
  // It is no member any more, and those who read have everything.
  assert.equal(fast.link.read().length, 5);
  assert.deepEqual((fast.ask("room", "members", { room: "r" })[0] as Sys).data["count"], 1);
});

test("Lossy frames dropped for a slow client are told of on its wire when it reads again, before what is left", async () => {
  const all = await house({ hot: RELAY, delivery: "lossy: { max_bytes: 1024 }" });
  const [slow, fast] = joined(all, ["slow", "fast"]) as [Client, Client];
  // One large frame fills the socket: it goes straight there.
  stall(slow, fast, all);
  for (let i = 0; i < 5; i++) fast.handler.binary(hot(2, 1, i, 396));
  all.turn();
  assert.deepEqual(slow.link.read(), []);
  all.clock.advance(700);
  slow.link.open();
  all.turn();
  const [gap, ...frames] = slow.link.read();
  assert.deepEqual((gap as Sys).data, { lane: "lossy", dropped: 3, bytes: 1200, since_ms: 700 });
  assert.equal(typeof (gap as { trace_id?: unknown }).trace_id, "string");
  assert.deepEqual(summary(frames), [3, 4]);
  assert.deepEqual(await all.metric("drops_total"), ['{tenant="acme",lane="lossy",reason="full"} 3']);
  assert.deepEqual(await all.metric("dropped_bytes_total"), [
    '{tenant="acme",lane="lossy",reason="full"} 1200',
  ]);
});

test("With drop_newest it is the new frames that leave", async () => {
  const all = await house({ hot: RELAY, delivery: "lossy: { max_bytes: 1024, on_full: drop_newest }" });
  const [slow, fast] = joined(all, ["slow", "fast"]) as [Client, Client];
  stall(slow, fast, all);
  for (let i = 0; i < 5; i++) fast.handler.binary(hot(2, 1, i, 396));
  slow.link.open();
  all.turn();
  assert.deepEqual(summary(slow.link.read()), ["gap", 0, 1]);
});

test("A gap on the latest lane names it, and the oldest key is the one that left", async () => {
  const all = await house({ hot: RELAY_LATEST, delivery: "latest: { max_bytes: 1024 }" });
  const [slow, fast] = joined(all, ["slow", "fast"]) as [Client, Client];
  stall(slow, fast, all);
  for (let opcode = 0; opcode < 5; opcode++) fast.handler.binary(hot(2, opcode, opcode, 396));
  slow.link.open();
  all.turn();
  const [gap, ...frames] = slow.link.read();
  assert.deepEqual((gap as Sys).data, { lane: "latest", dropped: 3, bytes: 1200, since_ms: 0 });
  assert.deepEqual(summary(frames), [3, 4]);
});

test("Frames that waited too long are dropped when the client reads again, and it is told within the next looks", async () => {
  const all = await house({ hot: RELAY, delivery: "lossy: { max_age_ms: 500 }" });
  const [slow, fast] = joined(all, ["slow", "fast"]) as [Client, Client];
  stall(slow, fast, all);
  fast.askHot(...hot(2, 1, 1));
  all.clock.advance(400);
  fast.askHot(...hot(2, 1, 2));
  all.clock.advance(101);
  slow.link.open();
  all.turn();
  assert.deepEqual(summary(slow.link.read()), [2]);
  all.clock.advance(100);
  all.turn();
  const [gap, ...others] = slow.link.read() as Sys[];
  assert.deepEqual(others, []);
  assert.deepEqual([gap?.type, gap?.data["lane"], gap?.data["dropped"]], ["gap", "lossy", 1]);
  assert.deepEqual(await all.metric("drops_total"), ['{tenant="acme",lane="lossy",reason="age"} 1']);
});

test("A reply overtakes megabytes of hot frames that wait, whichever lane they are on", async () => {
  for (const service of [RELAY, RELAY_LATEST]) {
    const all = await house({
      hot: service,
      delivery: "lossy: { max_bytes: 8388608 }, latest: { max_bytes: 8388608 }",
    });
    const [slow, fast] = joined(all, ["slow", "fast"]) as [Client, Client];
    stall(slow, fast, all);
    for (let opcode = 0; opcode < 80; opcode++) fast.handler.binary(hot(2, opcode, opcode, 60_000));
    fast.tell("chat", "send", { room: "r", data: { msg: "reliable" } });
    slow.tell("sys", "ping", { data: { n: 1 } });
    all.turn();
    assert.deepEqual(slow.link.read(), []);
    slow.link.open();
    const got: (string | number)[] = [];
    while (got.length < 82) {
      all.turn();
      got.push(...summary(slow.link.read()));
    }
    assert.deepEqual(got, ["pong", "msg", ...Array.from({ length: 80 }, (_, i) => i)]);
  }
});

test("One turn writes a quarter of a megabyte to one client at most, and 64 KiB at once", async () => {
  const all = await house({ hot: RELAY, delivery: "lossy: { max_bytes: 8388608 }" });
  const [slow, fast] = joined(all, ["slow", "fast"]) as [Client, Client];
  stall(slow, fast, all);
  for (let i = 0; i < 100; i++) fast.handler.binary(hot(2, 1, i, 20_000));
  slow.link.writes.length = 0;
  slow.link.open();
  for (let turn = 0; turn < 20; turn++) {
    all.turn();
    const bytes = slow.link.writes.splice(0).map((write) => write.bytes);
    assert.ok(bytes.every((each) => each <= 65_536));
    assert.ok(bytes.reduce((a, b) => a + b, 0) < 262_144 + 65_536);
  }
  assert.equal(slow.link.read().length, 100);
});

test("The latest lane keeps the newest of each sender and opcode, in the place of the first", async () => {
  const all = await house({ hot: RELAY_LATEST });
  const [slow, ann, bob] = joined(all, ["slow", "ann", "bob"]) as [Client, Client, Client];
  stall(slow, ann, all);
  const send = (from: Client, opcode: number, mark: number) => from.handler.binary(hot(2, opcode, mark));
  send(ann, 1, 10);
  send(bob, 1, 20);
  send(ann, 2, 30);
  send(ann, 1, 11);
  send(bob, 1, 21);
  send(ann, 1, 12);
  slow.link.open();
  all.turn();
  assert.deepEqual(summary(slow.link.read()), [12, 21, 30]);
  assert.deepEqual(await all.metric("conflated_total"), [`{tenant="acme"} ${3 + 2 + 1}`]);
});

test("Frames of one sender and opcode in two rooms are two states", async () => {
  const all = await house({ hot: RELAY_LATEST });
  const [slow, ann] = joined(all, ["slow", "ann"]) as [Client, Client];
  for (const client of [slow, ann]) client.join("other");
  for (const client of [slow, ann]) client.link.read();
  stall(slow, ann, all);
  ann.askHot(...hot(2, 1, 10));
  ann.join("r");
  ann.askHot(...hot(2, 1, 20));
  slow.link.open();
  all.turn();
  assert.deepEqual(summary(slow.link.read()), [10, 20]);
});

test("A sender that leaves and comes back is another sender", async () => {
  const all = await house({ hot: RELAY_LATEST });
  const [slow, ann] = joined(all, ["slow", "ann"]) as [Client, Client];
  stall(slow, ann, all);
  ann.askHot(...hot(2, 1, 10));
  ann.ask("room", "leave", { room: "r" });
  ann.join("r");
  ann.askHot(...hot(2, 1, 20));
  slow.link.open();
  all.turn();
  assert.deepEqual(summary(slow.link.read()), [10, 20]);
});

test("Frames of one sender and opcode to two services are two states", async () => {
  const all = await house({ hot: `${RELAY_LATEST}, { id: 4, kind: relay, lane: latest }` });
  const [slow, ann] = joined(all, ["slow", "ann"]) as [Client, Client];
  stall(slow, ann, all);
  ann.askHot(...hot(2, 1, 10));
  ann.askHot(...hot(4, 1, 20));
  slow.link.open();
  all.turn();
  assert.deepEqual(summary(slow.link.read()), [10, 20]);
});

test("The lossy lane keeps every frame of one sender and opcode", async () => {
  const all = await house({ hot: RELAY });
  const [slow, ann] = joined(all, ["slow", "ann"]) as [Client, Client];
  stall(slow, ann, all);
  for (const mark of [1, 2, 3]) ann.askHot(...hot(2, 1, mark));
  slow.link.open();
  all.turn();
  assert.deepEqual(summary(slow.link.read()), [1, 2, 3]);
});

test("State frames are latest: of many ticks a slow client gets the last", async () => {
  const all = await house({ hot: `${RELAY}, { id: 3, kind: state, tick_ms: 50 }` });
  const [slow, ann] = joined(all, ["slow", "ann"]) as [Client, Client];
  stall(slow, ann, all);
  for (const mark of [1, 2, 3]) {
    ann.askHot(...hot(3, 1, mark));
    all.clock.advance(50);
    all.turn();
  }
  slow.link.open();
  all.turn();
  assert.deepEqual(summary(slow.link.read()), [3]);
  assert.deepEqual(await all.metric("conflated_total"), ['{tenant="acme"} 2']);
});

test("A latest echo conflates for everyone in the room by its sender, without one for the sender alone", async () => {
  const all = await house({ hot: "{ id: 1, kind: echo, lane: latest }, " + RELAY });
  const [slow, ann, bob] = joined(all, ["slow", "ann", "bob"]) as [Client, Client, Client];
  stall(slow, ann, all);
  const say = (from: Client, mark: number) => from.askHot(...hot(1, 1, mark, 13));
  say(ann, 10);
  say(bob, 20);
  say(ann, 11);
  slow.link.open();
  all.turn();
  assert.deepEqual(slow.link.read().map((bytes) => (bytes as number[])[0]), [11, 20]);
});

test("Above max_outbox_bytes those who hold most lose first what may be lost, then their connection", async () => {
  const all = await house({
    hot: RELAY,
    gateway: "max_outbox_bytes: 1000000",
    delivery: "lossy: { max_bytes: 1048576 }",
  });
  const [large, small, fast] = joined(all, ["large", "small", "fast"]) as [Client, Client, Client];
  stall(large, fast, all);
  // What the large one alone has waiting: frames that it gets as the only member of a room with the sender.
  large.tell("room", "join", { room: "two" });
  fast.join("two");
  for (let i = 0; i < 10; i++) fast.handler.binary(hot(2, 1, i, 60_000));
  all.turn();
  fast.join("r");
  small.link.room = 0;
  const both = () => fast.handler.binary(hot(2, 1, 99, 60_000));
  both();
  both();
  all.turn();
  const [before] = await all.metric("outbox_bytes");
  assert.ok(Number(before) > 900_000 && Number(before) <= 1_000_000, before ?? "none");
  assert.deepEqual(await all.metric("drops_total"), []);
  both();
  all.turn();
  all.turn();
  const [after] = await all.metric("outbox_bytes");
  assert.ok(Number(after) <= 900_000, after ?? "none");
  assert.deepEqual(
    (await all.metric("drops_total")).map((line) => line.replace(/ \d+$/, "")),
    ['{tenant="acme",lane="lossy",reason="shed"}'],
  );
  assert.deepEqual([large.link.closed, small.link.closed], [null, null]);
  large.link.open();
  all.turn();
  assert.ok(summary(large.link.read()).includes("gap"), "the large one was shed");
  small.link.open();
  all.turn();
  assert.ok(!summary(small.link.read()).includes("gap"), "the small one was not");
});

test("A session that holds too much of what must not be lost is cut off, and the others live on", async () => {
  const all = await house({
    hot: RELAY,
    gateway: "max_outbox_bytes: 500000",
    delivery: "reliable: { max_bytes: 1048576 }",
  });
  const [slow, fast] = joined(all, ["slow", "fast"]) as [Client, Client];
  stall(slow, fast, all);
  for (let i = 0; i < 8; i++) fast.tell("chat", "send", { room: "r", data: { msg: "x".repeat(60_000) } });
  all.turn();
  all.turn();
  assert.equal(slow.link.closed?.code, 4000);
  assert.equal(slow.link.terminated, 1);
  assert.equal(fast.link.closed, null);
  assert.equal(fast.link.read().length, 8);
  assert.deepEqual(await all.metric("outbox_bytes"), ["0"]);
  assert.equal(all.logged.filter(({ fields }) => fields["cause"] === "shed").length, 1);
});

test("Frames out are counted by tenant and lane when they are written, not when they are queued", async () => {
  const all = await house({ hot: RELAY });
  const [slow, fast] = joined(all, ["slow", "fast"]) as [Client, Client];
  stall(slow, fast, all);
  const count = async () => {
    const lines = await all.metric("messages_out_total");
    return Object.fromEntries(
      lines.map((line) => [/lane="(\w+)"/.exec(line)![1], Number(line.split(" ").at(-1))]),
    );
  };
  const before = await count();
  fast.tell("chat", "send", { room: "r", data: { msg: "hello" } });
  fast.askHot(...hot(2, 1, 5));
  assert.deepEqual(await count(), { ...before, reliable: before["reliable"]! + 1 });
  slow.link.open();
  all.turn();
  assert.deepEqual(await count(), {
    ...before,
    reliable: before["reliable"]! + 2,
    lossy: before["lossy"]! + 1,
  });
});

test("A client whose socket goes takes what waited with it, counted as closed", async () => {
  const all = await house({ hot: RELAY });
  const [slow, fast] = joined(all, ["slow", "fast"]) as [Client, Client];
  stall(slow, fast, all);
  fast.tell("chat", "send", { room: "r", data: { msg: "hello" } });
  fast.askHot(...hot(2, 1, 5));
  slow.tell("sys", "ping");
  slow.gone();
  all.turn();
  const drops = await all.metric("drops_total");
  assert.deepEqual(drops.sort(), [
    '{tenant="acme",lane="control",reason="closed"} 1',
    '{tenant="acme",lane="lossy",reason="closed"} 1',
    '{tenant="acme",lane="reliable",reason="closed"} 1',
  ]);
  assert.deepEqual(await all.metric("outbox_bytes"), ["0"]);
});

test("A CBOR client is told of gaps and of its end as CBOR", async () => {
  const all = await house({ hot: RELAY, delivery: "lossy: { max_bytes: 1024 }" });
  const slow = all.connect("slow", { cbor: true });
  const fast = all.connect("fast");
  slow.join("r");
  fast.join("r");
  stall(slow, fast, all);
  for (let i = 0; i < 5; i++) fast.handler.binary(hot(2, 1, i, 396));
  slow.link.open();
  all.turn();
  const binary = slow.link.got.every((payload) => payload instanceof Uint8Array || Buffer.isBuffer(payload));
  assert.ok(binary);
  const [gap] = slow.link.read() as Sys[];
  assert.deepEqual([gap?.type, gap?.data["dropped"]], ["gap", 3]);
});

test("A sender is told when its room has too much to deliver already", async () => {
  const all = await house({ hot: "{ id: 1, kind: echo }, " + RELAY, frame: 16_777_216 });
  const ann = all.connect("ann");
  ann.join("r");
  // A room larger than a turn's share would take long to fill; its bound of bytes is reached by large messages once
  // other rooms have used the turn up.
  const crowd = Array.from({ length: 500 }, (_, i) => all.connect(`member ${i}`));
  for (const client of crowd) client.join("crowd");
  for (const client of crowd) client.link.read();
  ann.link.read();
  for (let i = 0; i < 201; i++) crowd[0]!.handler.binary(hot(1, 1, 1, 5));
  const large = { room: "r", data: { msg: "x".repeat(4_194_304) } };
  ann.tell("chat", "send", { seq: 1, ...large });
  ann.tell("chat", "send", { seq: 2, ...large });
  ann.handler.binary(hot(1, 1, 1, 4_194_304));
  all.turn();
  const answers = ann.link.read();
  const errors = (answers as (Sys & { seq?: number })[]).filter(({ type }) => type === "error");
  assert.deepEqual(errors.map(({ seq, data }) => [seq, data["code"]]), [[2, "UNAVAILABLE"], [
    undefined,
    "UNAVAILABLE",
  ]]);
  // What was taken arrives once, in this turn or the next ones.
  for (let turn = 0; turn < 3; turn++) all.turn();
  const arrived = [...answers, ...ann.link.read()].filter((message) => (message as Sys).type === "msg");
  assert.equal(arrived.length, 1);
  assert.ok(crowd.every((client) => client.link.read().length === 201));
});

test("The bounds of the configuration reach the outbox: watermark, send timeout, reliable bytes, age of latest", async () => {
  const all = await house({
    hot: RELAY_LATEST,
    gateway: "socket_watermark_bytes: 1024, writer_send_timeout_ms: 50",
    delivery: "reliable: { max_bytes: 4096 }, latest: { max_age_ms: 300 }",
  });
  const [slow, full, fast] = joined(all, ["slow", "full", "fast"]) as [Client, Client, Client];
  slow.link.room = full.link.room = 0;
  for (const mark of [1, 2, 3]) fast.askHot(...hot(2, mark, mark, 700));
  // Above 1,024 bytes no more is written.
  assert.deepEqual(summary(slow.link.read()), [1, 2]);
  all.clock.advance(301);
  slow.link.open();
  all.turn();
  all.clock.advance(100);
  all.turn();
  assert.deepEqual(summary(slow.link.read()), ["gap"]);
  full.tell("sys", "ping");
  full.link.take(1);
  all.clock.advance(100);
  assert.equal(full.link.closed, null);
  all.clock.advance(100);
  assert.equal(full.link.closed?.["code"], 4000);
  // 4,096 bytes are too few for six messages of 800.
  slow.link.room = 0;
  for (let i = 0; i < 7; i++) {
    fast.tell("chat", "send", { room: "r", data: { msg: "x".repeat(800) } });
    all.turn();
  }
  assert.equal(slow.link.closed?.code, 4000);
  assert.ok((await all.metric("drops_total")).some((line) => line.includes('lane="reliable",reason="full"')));
});

test("Members of a room who have the same of a turn are given the very same frames, one member after the other", async () => {
  const at = await house({ hot: RELAY });
  const clients = ["ann", "bob", "eve", "dan"].map((user) => at.connect(user));
  for (const client of clients) client.join("a");
  const other = at.connect("joe");
  other.join("b");
  at.turn();
  const runs: { to: number; frames: unknown[] }[] = [];
  for (const [to, client] of [...clients, other].entries()) {
    client.link.write = (frames, count) => {
      runs.push({ to, frames: frames.slice(0, count) });
      return 0;
    };
  }
  const [ann, ...others] = clients;
  for (const mark of [1, 2, 3]) ann!.handler.binary(hot(2, 10, mark));
  other.tell("room", "members", { room: "b" });
  at.turn();
  const shared = runs.filter(({ to }) => to >= 1 && to <= others.length);
  assert.deepEqual(shared.map(({ to }) => to), [1, 2, 3]);
  const at0 = runs.indexOf(shared[0]!);
  assert.deepEqual(runs.slice(at0, at0 + 3), shared, "nobody else's in between");
  for (const { frames } of shared) {
    assert.equal(frames.length, 3);
    assert.ok(frames.every((frame, i) => frame === shared[0]!.frames[i]), "the same objects");
  }
});

test("The outbound quota counts deliveries: a relay pays for those who get it, and not for its sender", async () => {
  const tenant = [
    'policy: { ext_allowlist: ["room:*"], hot_allowlist: ["2:*"], rate_limit_rps: 1000000, ' +
    "rate_limit_burst: 1000000, quotas: { tenant: { outbound_bytes_per_second: 1000, outbound_bytes_burst: 100000 } } }",
    `hot_services: [${RELAY}]`,
  ];
  const at = await new House({ tenant }).start();
  const [ann, bob] = [at.connect("ann"), at.connect("bob")];
  for (const client of [ann, bob]) client.join("a");
  at.clock.advance(10_000);
  for (const client of [ann, bob]) client.link.read();
  // The sender's number is added on the way: four bytes.
  for (let i = 0; i < 400; i++) ann.handler.binary(hot(2, 10, 1, 496));
  at.turn();
  // Half of the burst may be one's own; of 500 bytes each, that are a hundred, and with the sender counted fifty.
  assert.equal(bob.link.read().length, 100);
});
