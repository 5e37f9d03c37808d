// Long work of administrators gives turns away: counted by turns of the loop, not by time.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { AdminTenant } from "../../../src/ops/admin/admin_context.ts";
import { pageAmong } from "../../../src/ops/admin/page.ts";
import { Published } from "../../../src/ops/admin/published.ts";
import { type Message, publish } from "../../../src/ops/admin/publisher.ts";
import { inSlices, Slice, SliceQueue, type Slices } from "../../../src/ops/admin/slices.ts";
import type { Place } from "../../../src/room/fanout.ts";

/** A loop whose time passes by work alone, a tenth of a millisecond each time that somebody looks at it. */
class Loop {
  #ms = 0;
  turns = 0;
  readonly now = () => this.#ms += 0.1;
  readonly turn = async () => {
    await Promise.resolve();
    this.turns++;
  };
  /** For one request that has the loop to itself. */
  readonly slices: Slices = { now: this.now, turn: this.turn };
}

const MESSAGE = { svc: "a", type: "t", data: "x".repeat(1000) };

/** A tenant with so many rooms, and so many sessions. */
function tenant(rooms: number, sessions: number): { seat: AdminTenant; sent: string[] } {
  const sent: string[] = [];
  const all = Array.from({ length: sessions }, (_, i) => ({ session: `s${i}`, user: `u${i}` }));
  const byName = new Map(all.map((session) => [session.session, session]));
  const targets = {
    peers: null,
    room: (name: string) => sent.push(name) && 1,
    places: (places: readonly Place[]) => {
      sent.push(...places.map(({ subscriber }) => subscriber.session));
      return places.length;
    },
  };
  const found = {
    find: (name: string) => Number(name.slice(1)) < rooms ? {} : undefined,
    count: (name: string) => Number(name.slice(1)) < rooms ? 1 : 0,
    keeps: () => false,
  };
  const registry = {
    all: () => all,
    find: (name: string) => byName.get(name),
    ofUser: (user: string) => all.filter((session) => session.user === user),
  };
  const config = { limits: { max_frame_bytes: 65_536, max_json_depth: 64 }, hot_services: [] };
  const seat = { tenant: { targets, rooms: found, registry }, config };
  return { seat: seat as unknown as AdminTenant, sent };
}

const roomsOf = (count: number) => Array.from({ length: count }, (_, i) => `r${i}`);

test("One message to a thousand rooms is published in slices, whether they exist or not, and to each in order", async () => {
  for (const existing of [1000, 0]) {
    const loop = new Loop();
    const { seat, sent } = tenant(existing, 0);
    const message = { to: { rooms: roomsOf(1000) }, ...MESSAGE } as Message;
    const handed = await publish(seat, message, {
      sender: "admin",
      digest: null,
      slice: new Slice(loop.slices, 2),
    });
    assert.deepEqual(handed, { ok: true, deliveries: existing, busy: [], stored: [] });
    assert.deepEqual(sent, roomsOf(existing));
    assert.ok(loop.turns >= 40, `${loop.turns} turns`);
  }
});

test("One message to everybody, or to many sessions, looks for them in slices", async () => {
  const { seat, sent } = tenant(0, 50_000);
  const names = Array.from({ length: 50_000 }, (_, i) => `s${i}`);
  for (const to of [{ all: true }, { sessions: names.slice(0, 1000) }]) {
    const loop = new Loop();
    const handed = await publish(seat, { to, ...MESSAGE } as Message, {
      digest: null,
      sender: "admin",
      slice: new Slice(loop.slices, 0.15),
    });
    const count = "all" in to ? 50_000 : 1000;
    assert.deepEqual(handed, { ok: true, deliveries: count, busy: [], stored: [] });
    assert.deepEqual(sent.splice(0), names.slice(0, count));
    assert.ok(loop.turns >= count / 1024, `${loop.turns} turns`);
  }
});

test("What is asked again while it is being published is not published twice", async () => {
  const loop = new Loop();
  const { seat, sent } = tenant(100, 0);
  const published = new Published(() => 0);
  const message = { to: { rooms: roomsOf(100) }, ...MESSAGE, idempotency_key: "k" } as Message;
  const other = { ...message, to: { rooms: ["r1"] } } as Message;
  const outcomes = await Promise.all(
    [message, message, other].map((each) => published.once(seat, each, "root", new Slice(loop.slices, 2))),
  );
  assert.deepEqual(outcomes[0], { ok: true, deliveries: 100, busy: [], stored: [] });
  assert.deepEqual(outcomes[1], outcomes[0]);
  assert.equal(outcomes[2]!.ok, false);
  assert.equal(sent.length, 100);
  assert.ok(loop.turns > 0);
});

test("However many requests work, one slice is done in a turn; keys take turns, and so do the requests of one", async () => {
  const loop = new Loop();
  const queue = new SliceQueue(loop);
  const order: string[] = [];
  const work = async (key: string, name: string, slices: number) => {
    const { turn } = queue.of({ id: key });
    for (let i = 0; i < slices; i++) {
      await turn();
      order.push(`${name}@${loop.turns}`);
    }
  };
  await Promise.all([
    work("greedy", "a", 3),
    work("greedy", "b", 3),
    work("greedy", "c", 3),
    work("modest", "m", 2),
  ]);
  assert.deepEqual(
    order.map((entry) => Number(entry.split("@")[1])),
    Array.from({ length: 11 }, (_, i) => i + 1),
  );
  const turnsOf = (name: string) => order.findIndex((entry) => entry.startsWith(name));
  assert.ok(turnsOf("m") <= 1, order.join(" "));
  assert.ok(
    order.findLastIndex((entry) => entry.startsWith("m")) <= 3,
    `a key with much to do is not first: ${order}`,
  );
  assert.ok(turnsOf("c") <= 4, order.join(" "));
});

test("Pages and endings of many are done in slices", async () => {
  const loop = new Loop();
  const items = Array.from({ length: 10_000 }, (_, i) => i);
  let done = 0;
  await inSlices(items, () => void done++, loop.slices);
  assert.equal(done, 10_000);
  assert.ok(loop.turns >= 200, `${loop.turns} turns`);
  const before = loop.turns;
  const page = await pageAmong(items, { keyOf: (item) => item, after: 99, limit: 10 }, loop.slices);
  assert.deepEqual([page.items[0], page.items.length, page.next], [100, 10, 109]);
  assert.ok(loop.turns - before >= 200);
});
