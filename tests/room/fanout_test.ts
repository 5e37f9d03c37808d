import { strict as assert } from "node:assert";
import { test } from "node:test";
import { keeping } from "./kept.ts";
import fc from "fast-check";
import { type Frame, hotFrame, LANE } from "../../src/protocol/frame.ts";
import { LocalBus } from "../../src/cluster/local.ts";
import { Fanout } from "../../src/room/fanout.ts";
import { BUSY, type Membership, Rooms, type Subscriber } from "../../src/room/rooms.ts";

/** Deliveries that one turn has room for. */
const TURN = 20_000;
const NO_LIMITS = { max_rooms_total: 0, max_users_per_room: 0, max_rooms_per_user: 0 };

class Listener implements Subscriber {
  readonly user: string;
  readonly sid = "";
  readonly session: string;
  readonly traceId = "";
  readonly heard: Frame[] = [];

  constructor(user: string) {
    this.user = user;
    this.session = `session of ${user}`;
  }
  receive(frame: Frame): void {
    this.heard.push(frame);
  }
  deliver(): void {
    assert.fail("nothing is for one alone");
  }
}

/** Rooms whose turns end when the test says so. */
class House {
  wanted = false;
  readonly fanout = new Fanout(() => void (this.wanted = true), TURN);
  readonly rooms = new Rooms({
    limits: () => NO_LIMITS,
    fanout: this.fanout,
    openBus: (receiver) => new LocalBus(receiver),
    histories: keeping(),
  });

  /** Ends the turn, if somebody asked for its end. @returns whether */
  turn(): boolean {
    if (!this.wanted) return false;
    this.wanted = this.fanout.advance();
    return true;
  }

  join(room: string, listener: Listener): Membership {
    const membership = this.rooms.join(room, listener);
    if ("ok" in membership) assert.fail(membership.msg);
    return membership;
  }

  fill(room: string, count: number): { listeners: Listener[]; memberships: Membership[] } {
    const listeners = Array.from({ length: count }, (_, i) => new Listener(`${room} ${i}`));
    return { listeners, memberships: listeners.map((listener) => this.join(room, listener)) };
  }

  publish(room: string, frame: Frame, except: Subscriber | null = null): boolean {
    return this.rooms.publish(room, frame, { except: except?.session ?? null }) !== BUSY;
  }
}

function frame(bytes = 1): Frame {
  return hotFrame(new Uint8Array(bytes), LANE.lossy);
}

for (const size of [1, 2, 3, 100, TURN - 1, TURN, TURN + 1, 25_000, 2 * TURN + 1]) {
  test(`Each of ${size} members gets every message of a room once and in order, in turns of ${TURN} deliveries`, () => {
    const house = new House();
    const { listeners } = house.fill("r", size);
    const frames = [frame(), frame(), frame()];
    for (const each of frames) assert.equal(house.publish("r", each), true);
    let before = 0;
    for (;;) {
      const delivered = listeners.reduce((sum, { heard }) => sum + heard.length, 0);
      assert.ok(delivered - before <= TURN, "too much for one turn");
      before = delivered;
      if (!house.turn()) break;
    }
    assert.equal(before, 3 * size);
    for (const { heard } of listeners) assert.ok(heard.every((got, i) => got === frames[i]), "out of order");
    assert.equal(house.fanout.size, 0);
  });
}

test("A message that fits the turn reaches everyone before publish returns, and the exception is left out", () => {
  const house = new House();
  const { listeners } = house.fill("r", 10);
  house.publish("r", frame(), listeners[3]!);
  assert.deepEqual(listeners.map(({ heard }) => heard.length), [1, 1, 1, 0, 1, 1, 1, 1, 1, 1]);
  assert.equal(house.wanted, true);
});

test("The exception is left out of a sliced message too, whichever slice it is in", () => {
  const house = new House();
  const { listeners } = house.fill("r", 2 * TURN);
  const exceptions = [0, TURN - 1, TURN, 2 * TURN - 1].map((i) => listeners[i]!);
  for (const except of exceptions) house.publish("r", frame(), except);
  while (house.turn());
  for (const listener of listeners) {
    assert.equal(listener.heard.length, exceptions.includes(listener) ? 3 : 4);
  }
});

test("A new turn has a whole budget again, though nothing was left over", () => {
  const house = new House();
  const { listeners } = house.fill("r", TURN);
  for (let turn = 1; turn <= 3; turn++) {
    house.publish("r", frame());
    assert.equal(listeners[0]!.heard.length, turn, "not at once");
    house.turn();
  }
});

test("Who joins between a message and its slice does not get it, but all that come after", () => {
  const house = new House();
  const { listeners } = house.fill("r", 30_000);
  const [first, second] = [frame(), frame()];
  house.publish("r", first);
  const late = new Listener("late");
  house.join("r", late);
  house.publish("r", second);
  while (house.turn());
  assert.deepEqual(late.heard, [second]);
  for (const { heard } of listeners) assert.deepEqual(heard.length, 2);
});

test("Who leaves between a message and its slice gets no more of the room, even when back before the slice", () => {
  const house = new House();
  const { listeners, memberships } = house.fill("r", 30_000);
  house.publish("r", frame());
  const gone = [0, 1, 29_999];
  for (const i of gone) house.rooms.leave(memberships[i]!);
  house.join("r", listeners[1]!);
  while (house.turn());
  for (const [i, { heard }] of listeners.entries()) {
    assert.equal(heard.length, gone.includes(i) ? 0 : 1, `${i}`);
  }
});

test("A room may hold back 4,096 messages; one more is refused and goes to nobody", () => {
  const house = new House();
  const { listeners } = house.fill("huge", TURN + 1);
  let delivered = 0;
  for (const listener of listeners.slice(0, -1)) listener.receive = () => void delivered++;
  const sent = Array.from({ length: 4097 }, () => frame());
  for (const [i, each] of sent.entries()) assert.equal(house.publish("huge", each), i < 4096);
  // Other rooms are not concerned.
  const { listeners: others } = house.fill("small", 2);
  assert.equal(house.publish("small", frame()), true);
  for (let turn = 0; turn < 200; turn++) house.turn();
  assert.equal(others[0]!.heard.length, 1);
  const { heard } = listeners.at(-1)!;
  assert.equal(delivered + heard.length, 200 * TURN);
  assert.ok(heard.length === 199 && heard.every((got, i) => got === sent[i]), "out of order");
  assert.equal(house.publish("huge", frame()), true);
});

test("A room may hold back 4 MiB of payloads and member lists, but always one message", () => {
  const house = new House();
  const { listeners } = house.fill("r", TURN + 1);
  const list = (TURN + 1) * 8;
  const left = 4_194_304 - list - 1000;
  assert.equal(house.publish("r", frame(1000)), true);
  assert.equal(house.publish("r", frame(left + 1)), false);
  assert.equal(house.publish("r", frame(left)), true);
  assert.equal(house.publish("r", frame(1)), false);
  // Two turns serve the first message, and what it took is free again, list included.
  house.turn();
  house.turn();
  assert.equal(house.publish("r", frame(1000)), true);
  assert.equal(house.publish("r", frame(list + 1)), false);
  while (house.turn());
  assert.equal(house.publish("r", frame(5_000_000)), true);
  assert.equal(house.publish("r", frame(1)), false);
  while (house.turn());
  assert.equal(listeners[0]!.heard.length, 4);
});

test("A message that would fit the turn waits behind one of its room that did not", () => {
  const house = new House();
  const { listeners, memberships } = house.fill("r", TURN + 1);
  const [first, second] = [frame(), frame()];
  house.publish("r", first);
  house.rooms.leave(memberships[7]!);
  house.publish("r", second);
  while (house.turn());
  const { heard } = listeners[0]!;
  assert.ok(heard[0] === first && heard[1] === second);
});

test("Messages to the same members share one list; each change of them costs a new one", () => {
  const house = new House();
  house.fill("r", TURN + 1);
  const list = (TURN + 1) * 8;
  let sent = 0;
  while (house.publish("r", frame(1))) {
    sent++;
    house.join("r", new Listener(`extra ${sent}`));
  }
  assert.equal(sent, Math.floor(4_194_304 / (list + 1)));
});

test("Rooms that wait are served in rotation: a small one is not held up by the backlog of a huge one", () => {
  const house = new House();
  const huge = house.fill("huge", TURN).listeners;
  for (let i = 0; i < 10; i++) house.publish("huge", frame());
  const small = house.fill("small", 10).listeners;
  house.publish("small", frame());
  assert.deepEqual([huge[0]!.heard.length, small[0]!.heard.length], [1, 0]);
  house.turn();
  house.turn();
  assert.equal(small[0]!.heard.length, 1, "waited for more than two turns");
  assert.ok(huge[0]!.heard.length <= 3);
  while (house.turn());
  assert.equal(huge[0]!.heard.length, 10);
});

test("Rooms of one size with one load wait alike", () => {
  const house = new House();
  const rooms = Array.from({ length: 5 }, (_, i) => house.fill(`room ${i}`, TURN).listeners);
  for (let i = 0; i < 6; i++) for (let room = 0; room < 5; room++) house.publish(`room ${room}`, frame());
  do {
    // A member in the middle of each room.
    const heard = rooms.map((listeners) => listeners[TURN / 2]!.heard.length);
    assert.ok(Math.max(...heard) - Math.min(...heard) <= 1, heard.join());
  } while (house.turn());
});

test("A room whose last member left is forgotten with all that waited", () => {
  const house = new House();
  const { listeners, memberships } = house.fill("r", TURN + 1);
  house.publish("r", frame());
  assert.equal(house.fanout.size, 1);
  for (const membership of memberships) house.rooms.leave(membership);
  assert.equal(house.fanout.size, 0);
  const again = house.fill("r", 3).listeners;
  house.publish("r", frame());
  while (house.turn());
  assert.ok(listeners.every(({ heard }) => heard.length === 0));
  assert.ok(again.every(({ heard }) => heard.length === 1));
});

type Op =
  | { readonly op: "publish"; readonly room: number; readonly except: number; readonly bytes: number }
  | { readonly op: "join" | "leave"; readonly room: number; readonly who: number }
  | { readonly op: "turn" };

const ROOMS = 3;
/** Some people who come and go, beside those who fill the rooms. */
const PEOPLE = 6;

const ops: fc.Arbitrary<Op[]> = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        op: fc.constant("publish" as const),
        room: fc.nat(ROOMS - 1),
        except: fc.integer({ min: -1, max: PEOPLE - 1 }),
        bytes: fc.constantFrom(1, 1, 900_000),
      }),
    },
    {
      weight: 6,
      arbitrary: fc.record({
        op: fc.constantFrom("join" as const, "leave" as const),
        room: fc.nat(ROOMS - 1),
        who: fc.nat(PEOPLE - 1),
      }),
    },
    { weight: 2, arbitrary: fc.constant<Op>({ op: "turn" }) },
  ),
  { minLength: 1, maxLength: 60, size: "max" },
);

/** A message in the model: who is to get it, unless they leave before their slice comes. */
interface Sent {
  readonly frame: Frame;
  readonly to: ReadonlySet<Membership>;
  readonly except: Subscriber | null;
}

test("All members see one sequence of their room, cut to the time of their membership, whatever is sliced", () => {
  const sizes = fc.array(fc.constantFrom(0, 1, 7000, 15_000, 23_000), { minLength: ROOMS, maxLength: ROOMS });
  fc.assert(
    fc.property(sizes, ops, (sizes, script) => {
      const house = new House();
      const people = Array.from({ length: PEOPLE }, (_, i) => new Listener(`person ${i}`));
      const fillers = sizes.map((size, room) => house.fill(String(room), size).listeners);
      const sent: Sent[][] = Array.from({ length: ROOMS }, () => []);
      const here: Map<number, Membership>[] = Array.from({ length: ROOMS }, () => new Map());
      /** Every membership there was, with what its subscriber had heard when it began and ended. */
      const stays: { membership: Membership; room: number; from: number; until: number }[] = [];
      for (const op of script) {
        if (op.op === "turn") house.turn();
        else if (op.op === "publish") {
          const room = house.rooms.find(String(op.room));
          if (room === undefined) continue;
          const message = frame(op.bytes);
          const except = people[op.except] ?? null;
          const to = new Set(room.members);
          const { bytes: before } = house.rooms.delivered;
          const deliveries = house.rooms.publish(room.name, message, { except: except?.session ?? null });
          const expected = [...to].filter(({ subscriber }) => subscriber !== except).length;
          assert.ok(deliveries === BUSY || deliveries === expected, "deliveries, not members");
          const counted = house.rooms.delivered.bytes - before;
          assert.equal(counted, deliveries === BUSY ? 0 : deliveries * message.bytes);
          if (deliveries !== BUSY) sent[op.room]!.push({ frame: message, to, except });
        } else if (op.op === "join") {
          if (here[op.room]!.has(op.who)) continue;
          const membership = house.join(String(op.room), people[op.who]!);
          here[op.room]!.set(op.who, membership);
          stays.push({ membership, room: op.room, from: people[op.who]!.heard.length, until: Infinity });
        } else {
          const membership = here[op.room]!.get(op.who);
          if (membership === undefined) continue;
          here[op.room]!.delete(op.who);
          stays.find((stay) => stay.membership === membership)!.until = people[op.who]!.heard.length;
          house.rooms.leave(membership);
        }
      }
      for (let turns = 0; house.turn(); turns++) assert.ok(turns < 1000, "never done");
      assert.equal(house.fanout.size, 0);
      // Those who stayed all the time heard everything in order.
      for (const [room, listeners] of fillers.entries()) {
        const all = sent[room]!.map(({ frame }) => frame);
        for (const { heard } of [...listeners.slice(0, 5), ...listeners.slice(-5)]) {
          assert.equal(heard.length, all.length);
          assert.ok(heard.every((got, i) => got === all[i]));
        }
      }
      // A stay's share: what was published during it, from the first on, up to when it ended.
      for (const { membership, room, from, until } of stays) {
        const mine = sent[room]!
          .filter(({ to, except }) => to.has(membership) && except !== membership.subscriber)
          .map(({ frame }) => frame);
        const inRoom = new Set(mine);
        const heard = (membership.subscriber as Listener).heard.slice(from, until).filter((got) =>
          inRoom.has(got)
        );
        assert.ok(heard.every((got, i) => got === mine[i]), "another order, or a hole");
        if (until === Infinity) assert.equal(heard.length, mine.length, "not all");
      }
      // And nobody heard what was not for them.
      for (const person of people) {
        const forMe = sent.flat().filter(({ to, except }) =>
          except !== person && [...to].some(({ subscriber }) => subscriber === person)
        );
        assert.equal(new Set(person.heard).size, person.heard.length, "twice");
        const allowed = new Set(forMe.map(({ frame }) => frame));
        assert.ok(person.heard.every((got) => allowed.has(got)), "not for them");
      }
    }),
    { numRuns: 20 },
  );
});
