import { strict as assert } from "node:assert";
import { test } from "node:test";
import { type Frame, LANE } from "../../src/protocol/frame.ts";
import { presence } from "../../src/room/presence.ts";
import { type Membership, Rooms, type Subscriber } from "../../src/room/rooms.ts";
import { Fanout } from "../../src/room/fanout.ts";

function place() {
  const rooms = new Rooms(
    { max_rooms_total: 0, max_users_per_room: 0, max_rooms_per_user: 0 },
    new Fanout(() => {}),
  );
  rooms.watch(presence);
  const heard: { to: string; frame: Frame }[] = [];
  const join = (user: string, wanted = false): Membership => {
    const subscriber: Subscriber = {
      user,
      sid: "",
      session: "",
      traceId: `trace of ${user}`,
      receive: () => assert.fail("nothing is for the whole room"),
      deliver: (frame) => void heard.push({ to: user, frame }),
    };
    const membership = rooms.join("r", subscriber);
    if ("ok" in membership) assert.fail(membership.msg);
    membership.room.setPresence(membership, wanted);
    return membership;
  };
  const told = () => heard.splice(0).map(({ to, frame }) => [to, JSON.parse(frame.payload as string)]);
  return { rooms, join, told, heard };
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
  assert.equal(ann.room.observerCount, 1);
  ann.room.setPresence(ann, false);
  assert.equal(ann.room.observerCount, 0);
  join("bob");
  assert.deepEqual(told(), []);
});

test("An observer that leaves is no observer any more", () => {
  const { rooms, join } = place();
  const ann = join("ann", true), bob = join("bob", true);
  assert.equal(bob.room.observerCount, 2);
  rooms.leave(ann);
  assert.equal(bob.room.observerCount, 1);
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
