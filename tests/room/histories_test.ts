import { strict as assert } from "node:assert";
import { test } from "node:test";
import { LocalBus } from "../../src/cluster/local.ts";
import { extFrame, type Frame, hotFrame, LANE } from "../../src/protocol/frame.ts";
import { Fanout } from "../../src/room/fanout.ts";
import { NO_MORE_ROOMS, NOT_STORED, type Published } from "../../src/room/kept_room.ts";
import { type RoomClass, RoomClasses } from "../../src/room/room_class.ts";
import { BUSY, type Membership, type RoomLimits, Rooms, type Subscriber } from "../../src/room/rooms.ts";
import { FakeDisk } from "./fake_disk.ts";
import { keeping, keepsAll } from "./kept.ts";

const NO_LIMITS: RoomLimits = { max_rooms_total: 0, max_users_per_room: 0, max_rooms_per_user: 0 };

interface Listener extends Subscriber {
  readonly heard: Frame[];
}

function listener(user: string): Listener {
  const heard: Frame[] = [];
  const receive = (frame: Frame) => void heard.push(frame);
  return { user, sid: "", session: user, traceId: "", heard, receive, deliver: receive };
}

/** Rooms whose turns end when the test says so. */
function newRooms(
  histories: ReturnType<typeof keeping>,
  { limits = NO_LIMITS, turn = 100_000 }: { limits?: RoomLimits; turn?: number } = {},
): { rooms: Rooms; fanout: Fanout; turns: () => void } {
  const fanout = new Fanout(() => {}, turn);
  const openBus = (receiver: ConstructorParameters<typeof LocalBus>[0]) => new LocalBus(receiver);
  const rooms = new Rooms({ limits: () => limits, fanout, openBus, histories });
  return {
    rooms,
    fanout,
    turns: () => {
      while (fanout.advance());
    },
  };
}

function join(rooms: Rooms, name: string, subscriber: Subscriber): Membership {
  const joined = rooms.join(name, subscriber);
  if ("ok" in joined) assert.fail(joined.msg);
  return joined;
}

const said = (n: number) => extFrame({ v: 1, svc: "chat", type: "msg", data: n }, LANE.reliable);
const offsetsOf = (frames: readonly Frame[]) =>
  frames.filter(({ isExt }) => isExt).map(({ payload }) => JSON.parse(payload as string).offset);
const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

test("What is stored reaches all members in its order, however much waits for them already", async () => {
  const disk = new FakeDisk();
  const { rooms, turns } = newRooms(keeping([keepsAll("disk")], { disk }), { turn: 1 });
  const all = [listener("ann"), listener("bob")];
  for (const one of all) join(rooms, "k", one);
  await disk.commit();
  // The fan-out is nearly full when as much as may be on its way to the disk comes back from there.
  const outcomes = range(1, 4096).map((n) => rooms.publish("k", said(n)));
  for (let n = 0; n < 4000; n++) rooms.publishHot("k", hotFrame(Uint8Array.of(1), LANE.lossy));
  await disk.commit();
  turns();
  for (const { heard } of all) assert.deepEqual(offsetsOf(heard), range(1, 4096));
  const settled = await Promise.all(outcomes);
  assert.deepEqual(settled.map((one) => typeof one === "number" ? one : one.offset), range(1, 4096));
});

test("A room takes no more for the disk than may be under way, nor while its members have too much to hear", async () => {
  const disk = new FakeDisk();
  const { rooms, turns } = newRooms(keeping([keepsAll("disk")], { disk }), { turn: 1 });
  join(rooms, "k", listener("ann"));
  join(rooms, "k", listener("bob"));
  await disk.commit();
  const isTaken = (outcome: Published) => outcome !== BUSY;
  assert.equal(range(1, 5000).filter((n) => isTaken(rooms.publish("k", said(n)))).length, 4096);
  await disk.commit();
  const { waiting } = disk;
  assert.equal(rooms.publish("k", said(0)), BUSY, "all of it waits for the members now");
  assert.equal(disk.waiting, waiting, "and nothing is stored that nobody could be told");
  turns();
  assert.ok(isTaken(rooms.publish("k", said(0))));
  await disk.fail();
  const big = extFrame({ v: 1, svc: "chat", type: "msg", data: "x".repeat(1_048_576) }, LANE.reliable);
  const outcomes = range(1, 6).map(() => rooms.publish("k", big));
  assert.equal(outcomes.filter(isTaken).length, 4);
  await disk.fail();
  assert.deepEqual(await Promise.all(outcomes), [...range(1, 4).map(() => NOT_STORED), BUSY, BUSY]);
  assert.ok(isTaken(rooms.publish("k", big)));
});

test("A room on disk that is no more while a message is on its way there gives it to members without a number", async () => {
  const disk = new FakeDisk();
  let classes = new RoomClasses([keepsAll("disk")]);
  const { rooms } = newRooms(keeping([], { disk, classes: () => classes }));
  const ann = listener("ann");
  join(rooms, "k", ann);
  await disk.commit();
  const outcome = rooms.publish("k", said(1));
  classes = new RoomClasses([]);
  rooms.applyClasses();
  await disk.commit();
  assert.ok(typeof await outcome !== "number");
  assert.deepEqual(offsetsOf(ann.heard), [undefined]);
  assert.equal(rooms.find("k")!.kept, null);
});

for (const store of ["memory", "disk"] as const) {
  test(`Rooms in ${store} begin with a message within the tenant's limit, which members' rooms have for themselves`, async () => {
    const disk = new FakeDisk();
    const limits = { ...NO_LIMITS, max_rooms_total: 2 };
    const { rooms } = newRooms(keeping([keepsAll(store)], { disk }), { limits });
    for (const name of ["k1", "k2"]) assert.notEqual(rooms.publish(name, said(1)), NO_MORE_ROOMS);
    assert.equal(rooms.publish("k3", said(1)), NO_MORE_ROOMS);
    assert.notEqual(rooms.publish("k1", said(2)), NO_MORE_ROOMS);
    assert.deepEqual([rooms.size, rooms.occupied], [2, 0]);
    join(rooms, "k3", listener("ann"));
    join(rooms, "k4", listener("ann"));
    const third = rooms.join("k5", listener("ann"));
    assert.ok("ok" in third, "two with members are all there may be");
    assert.deepEqual([rooms.size, rooms.occupied], [4, 2]);
    await disk.commit();
    rooms.histories.stop();
  });

  test(`Rooms in ${store} that nobody is in go with the budget, those with members stay`, async () => {
    const disk = new FakeDisk();
    const options = keeping([keepsAll(store)], { disk, maxBytes: 20_000 });
    const { rooms } = newRooms(options);
    const ann = listener("ann");
    const joined = join(rooms, "k ann", ann);
    for (let n = 0; n < 1000; n++) {
      rooms.publish(`k${n}`, said(n));
      await disk.commit();
    }
    assert.ok(rooms.size < 40, `${rooms.size} rooms`);
    assert.ok(options.budget.bytes <= 20_000, `${options.budget.bytes} bytes`);
    assert.equal(rooms.histories.size, rooms.size);
    assert.equal(rooms.find("k ann")!.kept!.last, 0);
    rooms.publish("k ann", said(1));
    await disk.commit();
    assert.deepEqual(offsetsOf(ann.heard), [1]);
    rooms.leave(joined);
    rooms.histories.stop();
    assert.deepEqual([rooms.size, options.budget.bytes, options.budget.rooms], [0, 0, 0]);
    assert.deepEqual([rooms.histories.counts.messages, rooms.histories.counts.bytes], [0, 0]);
  });
}

test("With nothing left to give, a budget asks nobody again and again", () => {
  const options = keeping([keepsAll("memory")], { maxBytes: 2000 });
  const { rooms } = newRooms(options);
  for (let n = 0; n < 100; n++) join(rooms, `k${n}`, listener(`${n}`));
  assert.equal(rooms.size, 100, "a room with members stays");
  assert.ok(options.budget.rooms <= 1, "those that are empty are not asked before their next use");
  const epoch = rooms.find("k5")!.kept!.epoch;
  rooms.publish("k7", said(1));
  assert.equal(rooms.find("k5")!.kept!.epoch, epoch, "nothing that is empty loses its epoch");
});

test("A room that was left is kept for as long as it keeps messages, though nothing was said for longer", () => {
  let now = 0;
  const { rooms } = newRooms(keeping([keepsAll("memory", { max_age_ms: 1000 })], { now: () => now }));
  const joined = join(rooms, "k", listener("ann"));
  rooms.publish("k", said(1));
  const { epoch } = rooms.find("k")!.kept!;
  now = 5000;
  rooms.histories.sweep();
  rooms.leave(joined);
  now = 5999;
  rooms.histories.sweep();
  const again = join(rooms, "k", listener("ann"));
  const { kept } = again.room;
  assert.deepEqual(kept!.recover({ since: { epoch, offset: 1 } }).recovered, true, "nothing was missed");
  rooms.leave(again);
  now = 7001;
  rooms.histories.sweep();
  assert.equal(rooms.size, 0);
});

test("The class of a room is looked for once, however much is said in it", () => {
  let looks = 0;
  class Counting extends RoomClasses {
    override of(name: string): RoomClass | null {
      looks++;
      return super.of(name);
    }
  }
  const classes = new Counting([keepsAll("memory")]);
  const { rooms } = newRooms(keeping([], { classes: () => classes }));
  for (const name of ["k", "plain"]) {
    looks = 0;
    join(rooms, name, listener("ann"));
    for (let n = 0; n < 10; n++) rooms.publish(name, said(n));
    join(rooms, name, listener("bob"));
    assert.equal(looks, 1, name);
  }
});

test("Whoever only looks begins no room", async () => {
  const disk = new FakeDisk();
  const classes = new RoomClasses([{ ...keepsAll("disk"), match: "kd*" }, keepsAll("memory")]);
  const { rooms } = newRooms(keeping([], { disk, classes: () => classes }));
  assert.equal(rooms.histories.look("k1"), null);
  assert.equal(rooms.histories.look("plain"), null);
  const looked = rooms.histories.look("kd1")!;
  const page = looked.page({ before: 10, limit: 10, maxBytes: 1000 });
  await disk.commit();
  assert.equal((await page).last, 0);
  assert.deepEqual([rooms.size, rooms.histories.size], [0, 0]);
  assert.equal(rooms.keeps("k1"), true);
  assert.equal(rooms.size, 0);
});

test("Other classes hold at once for rooms with members, and each is kept by its own", async () => {
  const disk = new FakeDisk();
  let classes = new RoomClasses([]);
  const { rooms } = newRooms(keeping([], { disk, classes: () => classes }));
  const ann = listener("ann");
  join(rooms, "k", ann);
  rooms.publish("k", said(1));
  const apply = (next: RoomClasses) => {
    classes = next;
    rooms.applyClasses();
  };
  apply(new RoomClasses([keepsAll("memory")]));
  rooms.publish("k", said(2));
  apply(new RoomClasses([keepsAll("memory", { max_messages: 1 })]));
  rooms.publish("k", said(3));
  assert.equal(rooms.find("k")!.kept!.size, 1);
  apply(new RoomClasses([keepsAll("disk")]));
  await disk.commit();
  rooms.publish("k", said(4));
  await disk.commit();
  apply(new RoomClasses([]));
  rooms.publish("k", said(5));
  assert.deepEqual(offsetsOf(ann.heard), [undefined, 1, 2, 1, undefined]);
});

test("Counts say what is kept, what went and why, and what became of cursors", async () => {
  const disk = new FakeDisk();
  for (const store of ["memory", "disk"] as const) {
    const options = keeping([keepsAll(store, { max_messages: 3 })], { disk });
    const { rooms } = newRooms(options);
    const { counts } = rooms.histories;
    join(rooms, "k", listener("ann"));
    await disk.commit();
    for (let n = 1; n <= 5; n++) {
      rooms.publish("k", said(n));
      await disk.commit();
    }
    const kept = rooms.find("k")!.kept!;
    assert.deepEqual([counts.stored, counts.messages, counts.bytes], [5, kept.size, kept.bytes], store);
    if (store === "memory") assert.deepEqual([counts.messages, counts.trimmed.bounds], [3, 2]);
    const { epoch } = kept;
    for (const since of [{ epoch, offset: 4 }, { epoch, offset: 9 }, { epoch: "x", offset: 4 }]) {
      kept.recover({ since });
    }
    kept.recover({ last: 3 });
    assert.deepEqual(counts.recoveries, { recovered: 1, epoch: 1, trimmed: 0, ahead: 1, too_many: 0 }, store);
  }
});
