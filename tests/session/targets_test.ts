// Whom a message goes to that nobody's client has sent, and that none of it goes past the turn's budget.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { keeping } from "../room/kept.ts";
import { LocalBus } from "../../src/cluster/local.ts";
import { extFrame, type Frame, LANE } from "../../src/protocol/frame.ts";
import { Fanout } from "../../src/room/fanout.ts";
import { BUSY, Rooms } from "../../src/room/rooms.ts";
import { Registry, Totals } from "../../src/session/registry.ts";
import type { SessionHandle } from "../../src/session/session_handle.ts";
import { Targets } from "../../src/session/targets.ts";

/** A tenant with so many users of two sessions each, in turns of so many deliveries. */
function place(users: number, turnDeliveries: number) {
  const fanout = new Fanout(() => {}, turnDeliveries);
  const limits = { max_rooms_total: 0, max_users_per_room: 0, max_rooms_per_user: 0 };
  const rooms = new Rooms({
    limits: () => limits,
    fanout: fanout,
    openBus: (receiver) => new LocalBus(receiver),
    histories: keeping(),
  });
  const none = { maxSessions: 0, maxPerAddress: 0, maxPerUser: 2, onExceed: "deny" } as const;
  const registry = new Registry<SessionHandle>(() => none, new Totals(() => 0));
  const heard = new Map<string, Frame[]>();
  for (let i = 0; i < 2 * users; i++) {
    const session = `s${i}`, user = `u${i >> 1}`, got: Frame[] = [];
    heard.set(session, got);
    const fake = {
      session,
      user,
      sid: session,
      ticketId: null,
      receive: (frame: Frame) => void got.push(frame),
    };
    assert.equal(registry.admit(fake as unknown as SessionHandle), null);
  }
  const counts = () => [...heard.values()].map((got) => got.splice(0).length);
  return { fanout, rooms, heard, counts, targets: new Targets({ rooms, registry, fanout, peers: null }) };
}

const news = () => extFrame({ v: 1, svc: "news", type: "flash" }, LANE.reliable);

test("Users, sessions and everybody are found once each, without the one that is left out, and counted", () => {
  const { targets, rooms, counts } = place(2, 100);
  const frame = news();
  assert.equal(targets.users(["u1", "nobody", "u1"], frame, null), 2);
  assert.deepEqual(counts(), [0, 0, 1, 1]);
  assert.equal(targets.sessions(["s0", "s3", "s3"], frame, "s3"), 1);
  assert.deepEqual(counts(), [1, 0, 0, 0]);
  assert.equal(targets.all(frame, "s1"), 3);
  assert.deepEqual(counts(), [1, 0, 1, 1]);
  assert.equal(targets.all(frame, "of another node"), 4);
  assert.equal(targets.users([], frame, null), 0);
  assert.equal(rooms.delivered.bytes, (2 + 1 + 3 + 4) * frame.bytes);
});

test("What goes to everybody obeys the turn's budget, and what follows it does not overtake it", () => {
  const { targets, fanout, counts, heard } = place(10, 8);
  const [first, second] = [news(), news()];
  assert.equal(targets.all(first, null), 20);
  assert.equal(targets.sessions(["s19"], second, null), 1);
  assert.deepEqual(heard.get("s19"), []);
  const turns: number[] = [];
  for (let more = true; more;) {
    more = fanout.advance();
    turns.push([...heard.values()].reduce((sum, { length }) => sum + length, 0));
  }
  assert.deepEqual(turns, [8, 16, 21]);
  assert.deepEqual(heard.get("s19"), [first, second]);
  assert.equal(counts().reduce((a, b) => a + b), 21);
});

test("When too much waits already, a message goes to nobody and that is said", () => {
  const { targets, counts, fanout, rooms } = place(10, 8);
  const frame = news();
  for (let i = 0; i < 4096; i++) assert.equal(targets.all(frame, null), 20);
  const { bytes } = rooms.delivered;
  assert.equal(targets.users(["u1"], frame, null), BUSY);
  assert.equal(rooms.delivered.bytes, bytes);
  while (fanout.advance());
  assert.equal(targets.users(["u1"], frame, null), 2);
  fanout.advance();
  assert.equal(counts()[3], 4097);
});
