import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { OpenBus } from "../../src/cluster/bus.ts";
import { keeping } from "./kept.ts";
import fc from "fast-check";
import { type Frame, hotFrame, LANE } from "../../src/protocol/frame.ts";
import {
  type Membership,
  Room,
  ROOM_FULL,
  type RoomLimits,
  Rooms,
  type Subscriber,
  TOO_MANY_ROOMS,
  USER_IN_TOO_MANY_ROOMS,
} from "../../src/room/rooms.ts";
import { LocalBus } from "../../src/cluster/local.ts";
import { Fanout } from "../../src/room/fanout.ts";

const NO_LIMITS: RoomLimits = { max_rooms_total: 0, max_users_per_room: 0, max_rooms_per_user: 0 };

interface Listener extends Subscriber {
  readonly heard: Frame[];
}

function listener(user: string): Listener {
  const heard: Frame[] = [];
  return {
    user,
    sid: "",
    session: `session of ${user}`,
    traceId: `trace of ${user}`,
    heard,
    receive: (frame) => void heard.push(frame),
    deliver: () => assert.fail("nothing is for one alone"),
  };
}

function joined(rooms: Rooms, name: string, subscriber: Subscriber): Membership {
  const membership = rooms.join(name, subscriber);
  if ("ok" in membership) assert.fail(membership.msg);
  return membership;
}

const frame = () => hotFrame(Uint8Array.of(1), LANE.lossy);

const SESSIONS = 7;
const userOf = (session: number) => `user ${session % 3}`;

/** The same by counting everything anew each time. */
class Model {
  /** Room and session of each member. */
  readonly members: { room: string; session: number }[] = [];

  users(room: string): Set<string> {
    return new Set(this.members.filter((m) => m.room === room).map((m) => userOf(m.session)));
  }
  rooms(user?: string): Set<string> {
    return new Set(
      this.members.filter((m) => user === undefined || userOf(m.session) === user).map((m) => m.room),
    );
  }

  refuses(room: string, session: number, limits: RoomLimits): string | null {
    const user = userOf(session);
    const above = (count: number, max: number) => max !== 0 && count > max;
    // What would be, were it allowed.
    const rooms = new Set([...this.rooms(), room]), users = new Set([...this.users(room), user]);
    const roomsOfUser = new Set([...this.rooms(user), room]);
    if (above(rooms.size, limits.max_rooms_total)) return TOO_MANY_ROOMS.msg;
    if (above(users.size, limits.max_users_per_room)) return ROOM_FULL.msg;
    if (above(roomsOfUser.size, limits.max_rooms_per_user)) return USER_IN_TOO_MANY_ROOMS.msg;
    return null;
  }
}

type Step = { kind: "join" | "leave"; session: number; room: string } | { kind: "end"; session: number };
const step = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant("join" as const),
      session: fc.nat(SESSIONS - 1),
      room: fc.constantFrom("a", "b", "c", "d"),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("leave" as const),
      session: fc.nat(SESSIONS - 1),
      room: fc.constantFrom("a", "b", "c", "d"),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("end" as const), session: fc.nat(SESSIONS - 1) }) },
) satisfies fc.Arbitrary<Step>;
const limits = fc.record({
  max_rooms_total: fc.nat(3),
  max_users_per_room: fc.nat(2),
  max_rooms_per_user: fc.nat(3),
});

/** Rooms of a gateway that is alone, without turns. */
function newRooms(limits: RoomLimits): Rooms {
  return new Rooms({
    limits: () => limits,
    fanout: new Fanout(() => {}),
    openBus: (receiver) => new LocalBus(receiver),
    histories: keeping(),
  });
}

/** Where rooms that belong to nobody count. */
const DELIVERED = { bytes: 0 };

test("Rooms count, limit and forget as a list of members does that is counted anew at each step", () => {
  const seen = { joined: 0, [TOO_MANY_ROOMS.msg]: 0, [ROOM_FULL.msg]: 0, [USER_IN_TOO_MANY_ROOMS.msg]: 0 };
  fc.assert(
    fc.property(limits, fc.array(step, { maxLength: 80, size: "max" }), (limits, steps) => {
      const rooms = newRooms(limits), model = new Model();
      const subscribers = Array.from({ length: SESSIONS }, (_, i) => listener(userOf(i)));
      const held = subscribers.map(() => new Map<string, Membership>());
      const events: string[] = [];
      rooms.watch({
        joined: (m) => events.push(`joined ${m.room.name}`),
        left: (m) => events.push(`left ${m.room.name}`),
        emptied: (room) => events.push(`emptied ${room.name}`),
      });
      const leave = (session: number, room: string) => {
        rooms.leave(held[session]!.get(room)!);
        held[session]!.delete(room);
        model.members.splice(model.members.findIndex((m) => m.room === room && m.session === session), 1);
        const expected = [`left ${room}`, ...model.users(room).size === 0 ? [`emptied ${room}`] : []];
        assert.deepEqual(events.splice(0), expected);
      };
      const compare = () => {
        assert.equal(rooms.size, model.rooms().size);
        assert.equal(rooms.userCount, new Set(model.members.map((m) => userOf(m.session))).size);
        for (const name of ["a", "b", "c", "d"]) {
          const room = rooms.find(name);
          const expected = model.members.filter((m) => m.room === name).map((m) => subscribers[m.session]!);
          assert.equal(room !== undefined, expected.length > 0);
          if (room === undefined) continue;
          assert.deepEqual(new Set(room.members.map((m) => m.subscriber)), new Set(expected));
          assert.equal(room.members.length, expected.length);
          assert.equal(room.userCount, model.users(name).size);
          for (const m of room.members) assert.equal(room.members[m.index], m, "each knows its place");
          assert.equal(
            new Set(room.members.map((m) => m.member)).size,
            room.members.length,
            "a number twice",
          );
          for (const user of ["user 0", "user 1", "user 2"]) {
            assert.equal(room.hasUser(user), model.users(name).has(user));
          }
        }
      };
      for (const step of steps) {
        const mine = held[step.session]!;
        if (step.kind === "end") { for (const room of [...mine.keys()]) leave(step.session, room); }
        else if (step.kind === "leave") { if (mine.has(step.room)) leave(step.session, step.room); }
        else if (!mine.has(step.room)) {
          const refused = model.refuses(step.room, step.session, limits);
          const answer = rooms.join(step.room, subscribers[step.session]!);
          if (refused !== null) {
            assert.ok("ok" in answer);
            assert.equal(answer.msg, refused);
            assert.equal(answer.code, "RESOURCE_EXHAUSTED");
            assert.deepEqual(events, []);
            seen[refused]!++;
          } else {
            if ("ok" in answer) assert.fail(answer.msg);
            assert.ok(answer.member >= 1 && answer.member <= 0xffff_ffff);
            mine.set(step.room, answer);
            model.members.push({ room: step.room, session: step.session });
            assert.deepEqual(events.splice(0), [`joined ${step.room}`]);
            seen.joined++;
          }
        }
        compare();
      }
      held.forEach((mine, session) => [...mine.keys()].forEach((room) => leave(session, room)));
      assert.deepEqual([rooms.size, rooms.userCount], [0, 0]);
    }),
    { numRuns: 500 },
  );
  for (const [outcome, count] of Object.entries(seen)) assert.ok(count > 50, `${outcome}: ${count}`);
});

test("A message goes to every member once, and not to the one it is kept from", () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 12 }), fc.nat(20), (count, who) => {
    const rooms = newRooms(NO_LIMITS);
    const all = Array.from({ length: count }, (_, i) => listener(`u${i}`));
    for (const each of all) joined(rooms, "r", each);
    const except = all[who] ?? null;
    const sent = frame();
    const kept = all.includes(except!) ? 1 : 0;
    assert.equal(rooms.publish("r", sent, { except: except?.session ?? null }), count - kept);
    assert.equal(rooms.delivered.bytes, (count - kept) * sent.bytes, "deliveries are counted, not members");
    for (const each of all) assert.deepEqual(each.heard, each === except ? [] : [sent]);
  }));
});

test("Member numbers are given once as long as a room lasts", () => {
  const rooms = newRooms(NO_LIMITS);
  const stays = joined(rooms, "r", listener("stays"));
  const numbers = new Set([stays.member]);
  for (let i = 0; i < 1000; i++) {
    const m = joined(rooms, "r", listener("comes and goes"));
    assert.ok(!numbers.has(m.member));
    numbers.add(m.member);
    rooms.leave(m);
  }
});

test("Numbers begin anew after 2^32 - 1, and those still held are passed over", () => {
  const room = new Room("r", DELIVERED, 0xffff_ffff - 2);
  const add = () => room.add(listener("u"), 1).membership;
  const [a, b] = [add(), add()];
  assert.deepEqual([a.member, b.member], [0xffff_fffe, 0xffff_ffff]);
  const c = add();
  assert.equal(c.member, 1);
  const full = new Room("s", DELIVERED, 0xffff_ffff - 1);
  const last = full.add(listener("u"), 1).membership;
  const first = full.add(listener("u"), 1).membership;
  assert.deepEqual([last.member, first.member], [0xffff_ffff, 1]);
  // One more turn: 1 and the last number are still held.
  assert.deepEqual([
    full.add(listener("u"), 1).membership.member,
    full.add(listener("u"), 1).membership.member,
  ], [
    2,
    3,
  ]);
});

test("A held number is passed over when the count comes by it again", () => {
  const room = new Room("r", DELIVERED, 0xffff_ffff);
  const holders = [room.add(listener("u"), 1).membership, room.add(listener("u"), 1).membership];
  assert.deepEqual(holders.map(({ member }) => member), [1, 2]);
  // As if they had joined before the numbers began anew, 2^32 joins ago.
  holders.forEach((holder, i) => Object.assign(holder, { member: [3, 4][i] }));
  assert.equal(room.add(listener("u"), 1).membership.member, 5);
  room.remove(holders[0]!);
  assert.equal(room.add(listener("u"), 1).membership.member, 6, "3 is free, but its turn is over");
});

test("What is published to a room that nobody is in goes to nobody, and is no fault", () => {
  const rooms = newRooms(NO_LIMITS);
  assert.equal(rooms.publish("r", frame()), 0);
  assert.deepEqual([rooms.size, rooms.delivered.bytes], [0, 0]);
});

test("A room that is held exists without members, as often as it is held, and keeps who comes and goes", () => {
  const rooms = newRooms({ ...NO_LIMITS, max_rooms_total: 1 });
  const room = rooms.hold("r");
  assert.equal(rooms.hold("r"), room);
  assert.deepEqual([rooms.size, room.members.length, rooms.publish("r", frame())], [1, 0, 0]);
  const bob = joined(rooms, "s", listener("bob"));
  assert.equal(rooms.join("r", listener("ann")), TOO_MANY_ROOMS, "it counts as one once somebody is in");
  rooms.leave(bob);
  const ann = joined(rooms, "r", listener("ann"));
  assert.equal(ann.room, room);
  rooms.leave(ann);
  rooms.release(room);
  assert.equal(rooms.find("r"), room);
  const again = joined(rooms, "r", listener("ann"));
  assert.equal(again.member, 2, "its numbers go on");
  rooms.release(room);
  assert.equal(rooms.find("r"), room, "somebody is in");
  rooms.leave(again);
  assert.deepEqual([rooms.find("r"), rooms.size, [...rooms.behind(null)].length], [undefined, 0, 0]);
});

test("Everything goes over the bus, and what the bus brings goes to the members here", () => {
  const asked: unknown[] = [];
  const openBus: OpenBus = (receiver) => ({
    deliverHere: (room, frame, except) => receiver.receive(room, frame, except),
    publish: (room, frame, except) => {
      asked.push([room, except]);
      return receiver.receive(room, frame, "somebody elsewhere");
    },
    occupied: () => null,
    vacated: () => {},
    deliver: () => {},
    owns: () => true,
    peers: null,
  });
  const rooms = new Rooms({
    limits: () => NO_LIMITS,
    fanout: new Fanout(() => {}),
    openBus,
    histories: keeping(),
  });
  const ann = listener("ann");
  joined(rooms, "r", ann);
  const sent = frame();
  assert.equal(rooms.publish("r", sent, { except: ann.session }), 1);
  assert.equal(rooms.publish("elsewhere", sent), 0);
  assert.deepEqual(asked, [["r", ann.session], ["elsewhere", null]]);
  assert.deepEqual(ann.heard, [sent]);
});

test("A user in a room through one session may bring further ones when the room is full", () => {
  const rooms = newRooms({ max_rooms_total: 1, max_users_per_room: 1, max_rooms_per_user: 1 });
  const first = joined(rooms, "r", listener("ann")), second = joined(rooms, "r", listener("ann"));
  assert.equal(rooms.join("r", listener("bob")), ROOM_FULL);
  rooms.leave(first);
  assert.equal(rooms.join("r", listener("bob")), ROOM_FULL);
  rooms.leave(second);
  joined(rooms, "r", listener("bob"));
});
