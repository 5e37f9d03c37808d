import { strict as assert } from "node:assert";
import { test } from "node:test";
import { keeping } from "./kept.ts";
import { extFrame, type Frame, LANE } from "../../src/protocol/frame.ts";
import { LocalBus } from "../../src/cluster/local.ts";
import { Presence } from "../../src/room/presence.ts";
import { type Membership, Rooms, type Subscriber } from "../../src/room/rooms.ts";
import { Fanout } from "../../src/room/fanout.ts";

function place(turnDeliveries = 1000) {
  const limits = { max_rooms_total: 0, max_users_per_room: 0, max_rooms_per_user: 0 };
  const fanout = new Fanout(() => {}, turnDeliveries);
  const rooms = new Rooms({
    limits: () => limits,
    fanout: fanout,
    openBus: (receiver) => new LocalBus(receiver),
    histories: keeping(),
  });
  rooms.watch(new Presence(fanout, (name) => rooms.find(name)));
  const heard: { to: string; frame: Frame }[] = [];
  const join = (user: string, wanted = false): Membership => {
    const subscriber: Subscriber = {
      user,
      sid: "",
      session: user,
      traceId: `trace of ${user}`,
      receive: (frame) => void heard.push({ to: user, frame }),
      deliver: () => assert.fail("past the turn's budget"),
    };
    const membership = rooms.join("r", subscriber);
    if ("ok" in membership) assert.fail(membership.msg);
    membership.room.setPresence(membership, wanted);
    return membership;
  };
  const told = () => heard.splice(0).map(({ to, frame }) => [to, JSON.parse(frame.payload as string)]);
  return { rooms, fanout, join, told, heard };
}

test("Whoever asked is told who comes and who goes, with the number of members after it", () => {
  const { rooms, join, told } = place();
  join("ann", true);
  const bob = join("bob");
  const message = (event: string, count: number) => ({
    v: 1,
    svc: "sys",
    type: "presence",
    room: "r",
    data: { event, user: "bob", member: bob.member, count },
    trace_id: "trace of bob",
  });
  assert.deepEqual(told(), [["ann", message("join", 2)]]);
  rooms.leave(bob);
  assert.deepEqual(told(), [["ann", message("leave", 1)]]);
});

test("Nobody is told of their own coming and going, nor without having asked", () => {
  const { rooms, join, told } = place();
  const ann = join("ann", true), bob = join("bob");
  assert.equal(told().length, 1);
  rooms.leave(ann);
  assert.deepEqual(told(), []);
  rooms.leave(bob);
  assert.deepEqual(told(), []);
});

test("Presence can be taken back, and asking twice counts once", () => {
  const { join, told } = place();
  const ann = join("ann", true);
  ann.room.setPresence(ann, true);
  assert.equal(ann.room.observers?.members.length, 1);
  ann.room.setPresence(ann, false);
  assert.equal(ann.room.observers?.members.length, 0);
  join("bob");
  assert.deepEqual(told(), []);
});

test("An observer that leaves is no observer any more", () => {
  const { rooms, join } = place();
  const ann = join("ann", true), bob = join("bob", true);
  assert.equal(bob.room.observers?.members.length, 2);
  rooms.leave(ann);
  assert.equal(bob.room.observers?.members.length, 1);
});

test("All observers of a change hold the same frame, and it must not get lost", () => {
  const { join, heard } = place();
  join("ann", true);
  join("bob", true);
  heard.length = 0;
  join("eve");
  assert.deepEqual(heard.map(({ to }) => to).sort(), ["ann", "bob"]);
  assert.equal(heard[0]!.frame, heard[1]!.frame);
  assert.equal(heard[0]!.frame.lane, LANE.reliable);
});

test("Events are deliveries of the turn: above its budget they wait, in one order with the room's messages", () => {
  const { rooms, fanout, join, heard } = place(3);
  for (const user of ["ann", "bob", "eve"]) join(user, true);
  heard.length = 0;
  fanout.advance();
  const said = extFrame({ v: 1, svc: "chat", type: "msg", room: "r" }, LANE.reliable);
  assert.equal(rooms.publish("r", said), 3);
  join("dan");
  assert.equal(rooms.publish("r", said), 4);
  assert.equal(heard.length, 3, "the budget of this turn");
  while (fanout.advance());
  const words = (user: string) =>
    heard.filter(({ to }) => to === user).map(({ frame }) => JSON.parse(frame.payload as string).type);
  for (const user of ["ann", "bob", "eve"]) assert.deepEqual(words(user), ["msg", "presence", "msg"]);
  assert.deepEqual(words("dan"), ["msg"]);
});

test("A join looks at those alone who want to hear of it", () => {
  const { join, heard } = place();
  const quiet = Array.from({ length: 500 }, (_, i) => join(`quiet ${i}`));
  const ann = join("ann", true);
  assert.deepEqual(ann.room.observers?.members, [ann]);
  assert.equal(quiet.every(({ observerIndex }) => observerIndex < 0), true);
  heard.length = 0;
  join("bob");
  assert.deepEqual(heard.map(({ to }) => to), ["ann"]);
});

test("Observers keep their places when some of them leave or stop asking", () => {
  const { rooms, join } = place();
  const all = Array.from({ length: 6 }, (_, i) => join(`u${i}`, true));
  const { room } = all[0]!;
  const places = () => {
    const members = room.observers!.members;
    assert.ok(members.every((member, i) => member.observerIndex === i));
    return members.map(({ subscriber: { user } }) => user).sort();
  };
  room.setPresence(all[1]!, false);
  rooms.leave(all[0]!);
  rooms.leave(all[5]!);
  assert.deepEqual(places(), ["u2", "u3", "u4"]);
  room.setPresence(all[1]!, true);
  assert.deepEqual(places(), ["u1", "u2", "u3", "u4"]);
});
