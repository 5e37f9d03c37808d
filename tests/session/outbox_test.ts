// What reaches a client that reads, one that reads slowly and one that does not read, seen from the far end of its link.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { extFrame, type Frame, hotFrame, LANE, type Lane } from "../../src/protocol/frame.ts";
import type { Context } from "../../src/service/service.ts";
import { type Client, House } from "./house.ts";

const KIB = 1024;

/** A house with a service that hands out its caller's context, and that context. */
async function place(
  gateway = "",
): Promise<{ house: House; client: Client; deliver: (frame: Frame) => void }> {
  let context: Context | null = null;
  const house = await new House({
    gateway,
    services: {
      t: (given) => {
        context = given;
        return { ok: true };
      },
    },
  }).start();
  const client = house.connect("ann");
  client.ask("t", "hold");
  client.link.writes.length = 0;
  return { house, client, deliver: (frame) => context!.deliver(frame) };
}

let number = 0;
/** A frame of about that size, told from all others by its number. */
function sized(lane: Lane, bytes: number): Frame {
  number++;
  if (lane === LANE.lossy) {
    const payload = new Uint8Array(Math.max(5, bytes));
    payload.set([1, number & 255, number >> 8 & 255, number >> 16 & 255]);
    return hotFrame(payload, lane);
  }
  const empty = JSON.stringify({ v: 1, svc: "t", type: "x", seq: number, data: "" }).length;
  return extFrame(
    { v: 1, svc: "t", type: "x", seq: number, data: "x".repeat(Math.max(0, bytes - empty)) },
    lane,
  );
}

const control = () => sized(LANE.control, 100), reliable = (bytes = 100) => sized(LANE.reliable, bytes);
const lossy = (bytes = 100) => sized(LANE.lossy, bytes);

/** Compares by identity: a frame's payload is handed on as it is. */
function assertGot(client: Client, frames: readonly Frame[]): void {
  const got = client.link.got.splice(0);
  assert.equal(got.length, frames.length);
  frames.forEach((frame, i) => assert.equal(got[i], frame.payload, `message ${i}`));
}

test("What is said in one event-loop turn is written at its end, in one go, the lanes in their order", async () => {
  const { house, client, deliver } = await place();
  const [l1, r1, c1, l2, r2, c2] = [lossy(), reliable(), control(), lossy(), reliable(), control()];
  for (const frame of [l1, r1, c1, l2, r2, c2]) deliver(frame);
  assert.deepEqual(client.link.got, [], "not before the turn is over");
  house.turn();
  assert.equal(client.link.writes.length, 1);
  assertGot(client, [c1, c2, r1, r2, l1, l2]);
  assert.equal(house.transport.turn(), 0, "nothing is left to do");
});

test("A turn in which many sessions were written to is ended once for all of them", async () => {
  const house = await new House().start();
  const clients = Array.from({ length: 20 }, (_, i) => house.connect(`user ${i}`));
  for (const client of clients) client.join("a");
  house.turn();
  for (const client of clients) client.link.read();
  for (let i = 0; i < 10; i++) clients[i]!.handler.binary(Uint8Array.of(1, 1, 1, 0, i));
  assert.equal(house.transport.turn(), 1);
  for (const client of clients) assert.equal(client.link.read().length, 10);
});

/** Ends turns until nothing is left to do. */
function turns(house: House): void {
  while (house.transport.turn() > 0);
}

test("No write is larger than 64 KiB, save one message that is, and none is empty", async () => {
  const { house, client, deliver } = await place();
  const frames = Array.from(
    { length: 300 },
    (_, i) => [reliable, lossy][i % 2]!(i % 7 === 0 ? 20 * KIB : 300),
  );
  const large = [reliable(200 * KIB), reliable(64 * KIB), reliable(64 * KIB + 1)];
  for (const frame of [...frames.slice(0, 40), ...large]) deliver(frame);
  turns(house);
  assert.equal(client.link.got.length, 43);
  for (const { bytes, count } of client.link.writes) {
    assert.ok(count > 0 && (bytes <= 64 * KIB || count === 1), `${bytes} bytes`);
  }
  assert.ok(client.link.writes.length >= 4);
});

test("What is too large for the rest of a write is not overtaken by a lower lane that would fit", async () => {
  const { house, client, deliver } = await place();
  const [l1, r1, r2, c1] = [lossy(), reliable(50 * KIB), reliable(50 * KIB), control()];
  for (const frame of [l1, r1, r2, c1]) deliver(frame);
  house.turn();
  assertGot(client, [c1, r1, r2, l1]);
});

test("A link is fed no further than the watermark, and goes on when it has drained", async () => {
  const { house, client, deliver } = await place();
  client.link.room = 0;
  const frames = Array.from({ length: 20 }, () => reliable(16 * KIB));
  for (const frame of frames) deliver(frame);
  house.turn();
  const given = client.link.waiting;
  assert.ok(given > 64 * KIB && given <= 128 * KIB, `${given} bytes`);
  const later = reliable(), first = control();
  deliver(later);
  deliver(first);
  house.turn();
  assert.equal(client.link.waiting, given, "a full socket is given nothing more");
  client.link.take(given - 1);
  house.turn();
  assert.equal(client.link.waiting, 1, "not before all of it is taken");
  client.link.open();
  house.turn();
  const got = client.link.got.splice(0);
  assert.equal(got.length, 22);
  const rest = got.slice(got.indexOf(first.payload as string));
  assert.equal(rest[0], first.payload, "what the gateway itself says overtakes what waits");
  assert.deepEqual(
    got.filter((payload) => payload !== first.payload),
    [...frames, later].map(({ payload }) => payload),
  );
  assert.equal(client.link.closed, null);
});

test("Reliable messages above the bound end the session: 4000, and the client is told", async () => {
  for (const [count, bytes] of [[6000, 100], [100, 16 * KIB]] as const) {
    const { house, client, deliver } = await place();
    client.link.room = 0;
    deliver(reliable(128 * KIB));
    house.turn();
    for (let i = 0; i < count; i++) deliver(reliable(bytes));
    assert.equal(client.link.closed, null, "not while somebody publishes");
    house.turn();
    assert.equal(client.link.closed!.code, 4000);
    const got = client.link.got.splice(0).map((payload) => JSON.parse(payload as string));
    assert.deepEqual(got.map(({ svc }) => svc), ["t", "sys"]);
    assert.deepEqual([got[1].type, got[1].data.code], ["error", "RESOURCE_EXHAUSTED"]);
    const drops = await house.metric("drops_total");
    assert.match(drops[0]!, /lane="reliable",reason="full"/);
    const lost = drops.map((line) => Number(line.split(" ")[1])).reduce((sum, value) => sum + value);
    assert.equal(lost, count, "every one is accounted for");
    assert.deepEqual(await house.metric("session_closes_total"), ['{tenant="acme",name="slow_consumer"} 1']);
    assert.deepEqual(await house.metric("writer_timeouts_total"), ['{tenant="acme"} 0']);
    deliver(reliable());
    house.turn();
    client.gone();
    assert.deepEqual(house.census(), { sessions: 0, users: 0, rooms: 0, roomUsers: 0, timers: 0 });
  }
});

test("The bound is exact: 4096 messages wait, one more is too many; 1 MiB waits, one byte more is too much", async () => {
  // What waits in the socket counts: 128 KiB.
  const left = (1024 - 128) * KIB;
  const cases = [[4096, 4096 * 100, null], [4097, 4097 * 100, 4000], [16, left, null], [
    16,
    left + 1,
    4000,
  ]] as const;
  for (const [count, bytes, close] of cases) {
    const { house, client, deliver } = await place();
    client.link.room = 0;
    deliver(reliable(128 * KIB));
    house.turn();
    for (let i = 0; i < count - 1; i++) deliver(reliable(Math.floor(bytes / count)));
    deliver(reliable(bytes - (count - 1) * Math.floor(bytes / count)));
    house.turn();
    assert.equal(client.link.closed?.code ?? null, close, `${count} messages, ${bytes} bytes`);
  }
});

test("What waits within the bound is delivered in full, however slowly the client reads", async () => {
  const { house, client, deliver } = await place("writer_send_timeout_ms: 1000");
  client.link.room = 0;
  const frames = Array.from({ length: 4000 }, () => reliable(200));
  for (const frame of frames) deliver(frame);
  house.turn();
  for (let i = 0; i < 400 && client.link.got.length < frames.length; i++) {
    house.clock.advance(900);
    client.link.take(4 * KIB);
    client.handler.pong();
    house.turn();
  }
  assert.equal(client.link.closed, null);
  assertGot(client, frames);
});

test("One turn may bring a reading client more than the bounds hold", async () => {
  const { house, client, deliver } = await place();
  const frames = Array.from({ length: 10_000 }, (_, i) => i % 2 === 0 ? reliable(300) : lossy(300));
  for (const frame of frames) deliver(frame);
  turns(house);
  const got = client.link.got.splice(0);
  assert.equal(got.length, frames.length);
  assert.deepEqual(
    got.filter((payload) => typeof payload === "string"),
    frames.filter(({ lane }) => lane === LANE.reliable).map(({ payload }) => payload),
  );
  assert.deepEqual(await house.metric("drops_total"), []);
});

test("Lossy messages above the bound push out the oldest, are counted, and end no session", async () => {
  const { house, client, deliver } = await place();
  client.link.room = 0;
  const frames = Array.from({ length: 600 }, () => lossy(KIB));
  for (const frame of frames) deliver(frame);
  house.turn();
  house.clock.advance(60_000 - 5000);
  assert.equal(client.link.closed, null);
  const inSocket = client.link.got.length;
  client.link.open();
  turns(house);
  const got = client.link.got.splice(0).filter((payload) => typeof payload !== "string");
  const dropped = frames.length - got.length;
  assert.equal(got.length - inSocket, 256, "256 KiB wait");
  assert.deepEqual(got, [...frames.slice(0, inSocket), ...frames.slice(-256)].map(({ payload }) => payload));
  assert.deepEqual(await house.metric("drops_total"), [
    `{tenant="acme",lane="lossy",reason="full"} ${dropped}`,
  ]);
  assert.deepEqual(await house.metric("dropped_bytes_total"), [
    `{tenant="acme",lane="lossy",reason="full"} ${dropped * KIB}`,
  ]);
  assert.deepEqual(await house.metric("egress_drop_total"), [String(dropped)]);
  assert.equal(client.link.closed, null);
});

/** Stalls a client with 200 KiB of one lane, of which the socket holds a part. */
async function stalled(lane: Lane): Promise<Awaited<ReturnType<typeof place>>> {
  const here = await place("writer_send_timeout_ms: 1000, idle_timeout_ms: 600000");
  here.client.link.room = 0;
  for (let i = 0; i < 200; i++) here.deliver(sized(lane, KIB));
  here.house.turn();
  assert.ok(here.client.link.waiting > 64 * KIB);
  return here;
}

test("A socket that takes nothing for the timeout ends its session when reliable messages wait", async () => {
  const { house, client } = await stalled(LANE.reliable);
  house.clock.advance(900);
  assert.equal(client.link.closed, null);
  house.clock.advance(300);
  assert.equal(client.link.closed!.code, 4000);
  assert.deepEqual(await house.metric("writer_timeouts_total"), ['{tenant="acme"} 1']);
  assert.match(
    (await house.metric("drops_total"))[0]!,
    /^\{tenant="acme",lane="reliable",reason="closed"\} \d+$/,
  );
});

test("A reliable message that waits in the socket only counts as waiting", async () => {
  const { house, client, deliver } = await place("writer_send_timeout_ms: 1000");
  client.link.room = 0;
  deliver(reliable(100 * KIB));
  house.turn();
  assert.equal(client.link.waiting, 100 * KIB);
  house.clock.advance(1200);
  assert.equal(client.link.closed?.code, 4000);
});

test("A socket that holds lossy messages only may stall as long as it likes", async () => {
  const { house, client } = await stalled(LANE.lossy);
  house.clock.advance(500_000);
  assert.equal(client.link.closed, null);
});

test("A reliable message that begins to wait behind a stalled socket counts as well", async () => {
  const { house, client, deliver } = await stalled(LANE.lossy);
  house.clock.advance(5000);
  deliver(reliable());
  house.turn();
  house.clock.advance(1200);
  assert.equal(client.link.closed?.code, 4000);
});

test("A socket that takes a little now and then is slow, and not stalled", async () => {
  const { house, client } = await stalled(LANE.reliable);
  for (let i = 0; i < 70; i++) {
    house.clock.advance(900);
    client.link.take(KIB);
    assert.equal(client.link.closed, null, `at ${i}`);
  }
  house.clock.advance(1200);
  assert.equal(client.link.closed?.code, 4000, "until it takes nothing more");
});

test("A socket that has drained is watched no more", async () => {
  const { house, client } = await stalled(LANE.reliable);
  client.link.open();
  house.turn();
  house.clock.advance(500_000);
  assert.equal(client.link.closed, null);
});

test("At an orderly end what waits reliably is written before the close, and what is lossy is not", async () => {
  const { house, client, deliver } = await place();
  client.link.room = 0;
  const waiting = Array.from({ length: 10 }, () => reliable(16 * KIB)), dropped = [lossy(), lossy()];
  for (const frame of [...waiting, ...dropped]) deliver(frame);
  house.turn();
  client.handler.text("nonsense");
  assert.equal(client.link.closed?.code, 4505);
  const got = client.link.got.splice(0);
  assert.deepEqual(
    got.filter((payload) => typeof payload === "string" && payload.includes('"svc":"t"')),
    waiting.map(({ payload }) => payload),
  );
  assert.equal(got.length, waiting.length + 1, "and the error");
  for (const { bytes, count } of client.link.writes) assert.ok(bytes <= 64 * KIB || count === 1);
  assert.deepEqual(await house.metric("drops_total"), ['{tenant="acme",lane="lossy",reason="closed"} 2']);
});

test("When the link is gone nothing is written to it, and what waited is counted as lost", async () => {
  const { house, client, deliver } = await place();
  client.link.room = 0;
  for (let i = 0; i < 10; i++) deliver(reliable(16 * KIB));
  deliver(lossy());
  house.turn();
  const { length } = client.link.got;
  client.gone();
  deliver(reliable());
  client.handler.onDrain();
  house.turn();
  house.clock.advance(10_000);
  assert.equal(client.link.got.length, length);
  assert.deepEqual(await house.metric("drops_total"), [
    `{tenant="acme",lane="reliable",reason="closed"} ${10 - length}`,
    '{tenant="acme",lane="lossy",reason="closed"} 1',
  ]);
});

test("A session that ends while others are being written to disturbs none of them", async () => {
  const house = await new House().start();
  const clients = Array.from({ length: 8 }, (_, i) => house.connect(`user ${i}`));
  for (const client of clients) client.join("a");
  house.turn();
  for (const client of clients) client.link.read();
  // Every second one is full: its end comes inside the flush that serves the others.
  clients.forEach((client, i) => {
    if (i % 2 === 1) client.link.room = 0;
  });
  const text = JSON.stringify({
    v: 1,
    svc: "chat",
    type: "send",
    room: "a",
    data: { msg: "x".repeat(3900) },
  });
  for (let i = 0; i < 350; i++) clients[0]!.handler.text(text);
  turns(house);
  clients.forEach((client, i) => {
    if (i % 2 === 1) assert.equal(client.link.closed?.code, 4000, `client ${i}`);
    else assert.equal(client.link.read().length, 350, `client ${i}`);
  });
});
