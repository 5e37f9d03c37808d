import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { LANE, type Lane } from "../../src/protocol/frame.ts";
import { type Flushable, Flusher } from "../../src/session/flusher.ts";
import type { OutboxLimits } from "../../src/session/outbox_limits.ts";
import { RealBox, RealHouse } from "./outbox_script.ts";

/** Turns that end when the test says so. */
class Turns {
  tasks: (() => void)[] = [];
  prepared = 0;
  /** How often `prepare` still says that more is left. */
  preparations = 0;
  readonly flusher: Flusher;

  constructor(maxHeldBytes = 0) {
    this.flusher = new Flusher({
      afterTurn: (task) => void this.tasks.push(task),
      now: () => 0,
      prepare: () => {
        this.prepared++;
        return --this.preparations > 0;
      },
      maxHeldBytes: () => maxHeldBytes,
    });
  }

  /** @returns whether there was anything to run */
  end(): boolean {
    const tasks = this.tasks;
    this.tasks = [];
    assert.ok(tasks.length <= 1, "scheduled twice");
    for (const task of tasks) task();
    return tasks.length > 0;
  }
}

/** Something to flush that notes when it was. */
class Noted implements Flushable {
  heldBytes = 0;
  flushes = 0;
  looks: number[] = [];
  readonly onFlush: () => void;

  constructor(onFlush: () => void = () => {}) {
    this.onFlush = onFlush;
  }
  flush(): number {
    this.flushes++;
    this.onFlush();
    return 1;
  }
  look(now: number): void {
    this.looks.push(now);
  }
  shed(): void {}
  evict(): void {}
}

test("A turn flushes 1,024 outboxes at most, in the order in which they came, and the rest in the next turns", () => {
  const turns = new Turns();
  const order: number[] = [];
  for (let i = 0; i < 2500; i++) turns.flusher.add(new Noted(() => void order.push(i)));
  const sizes: number[] = [];
  while (turns.end()) sizes.push(order.length);
  assert.deepEqual(sizes, [1024, 2048, 2500]);
  assert.ok(order.every((number, i) => number === i));
});

test("Outboxes that are always dirty have their turns in rotation: none is flushed twice before every other was", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 3000 }), fc.integer({ min: 1, max: 40 }), (count, turnCount) => {
      const turns = new Turns();
      const all: Noted[] = [];
      for (let i = 0; i < count; i++) {
        const noted: Noted = new Noted(() => turns.flusher.add(noted));
        all.push(noted);
        turns.flusher.add(noted);
      }
      for (let turn = 1; turn <= turnCount; turn++) {
        assert.ok(turns.end());
        const flushes = all.map((noted) => noted.flushes);
        assert.ok(Math.max(...flushes) - Math.min(...flushes) <= 1, `unfair after turn ${turn}`);
        assert.equal(flushes.reduce((a, b) => a + b), turn * Math.min(count, 1024));
      }
    }),
    { numRuns: 25, examples: [[1024, 9], [1025, 9], [5000, 30]] },
  );
});

test("What a flush makes dirty waits for the next turn, even when nothing else does", () => {
  const turns = new Turns();
  const second = new Noted();
  turns.flusher.add(new Noted(() => turns.flusher.add(second)));
  turns.end();
  assert.equal(second.flushes, 0);
  turns.end();
  assert.equal(second.flushes, 1);
  assert.equal(turns.end(), false);
});

test("Nothing runs when nothing is dirty, and any number of outboxes take one task", () => {
  const turns = new Turns();
  assert.equal(turns.end(), false);
  for (let i = 0; i < 10; i++) turns.flusher.add(new Noted());
  turns.flusher.wake();
  assert.equal(turns.tasks.length, 1);
  turns.end();
  assert.equal(turns.end(), false);
});

test("A turn asked for without an outbox prepares, and goes on as long as more is left", () => {
  const turns = new Turns();
  turns.preparations = 3;
  turns.flusher.wake();
  while (turns.end());
  assert.equal(turns.prepared, 3);
});

test("What is prepared in a turn is flushed in the same turn", () => {
  const noted = new Noted();
  const tasks: (() => void)[] = [];
  const flusher: Flusher = new Flusher({
    afterTurn: (task) => void tasks.push(task),
    now: () => 0,
    prepare: () => {
      if (noted.flushes === 0) flusher.add(noted);
      return false;
    },
    maxHeldBytes: () => 0,
  });
  flusher.wake();
  tasks.shift()!();
  assert.equal(noted.flushes, 1);
});

test("Watched outboxes are looked at until they are watched no more, also by themselves", () => {
  let now = 5;
  const flusher = new Flusher({
    afterTurn() {},
    now: () => now,
    prepare: () => false,
    maxHeldBytes: () => 0,
  });
  const [one, two] = [new Noted(), new Noted()];
  const leaving = new Noted();
  leaving.look = () => flusher.unwatch(leaving);
  flusher.watch(leaving);
  for (const noted of [one, two, one]) flusher.watch(noted);
  flusher.look();
  now = 105;
  flusher.unwatch(two);
  flusher.look();
  assert.deepEqual([one.looks, two.looks], [[5, 105], [5]]);
  assert.equal(flusher.watchedCount, 1);
});

const LIMITS: OutboxLimits = {
  reliableBytes: 1_000_000,
  reliableMessages: 4096,
  latestBytes: 100_000,
  latestAgeMs: 0,
  lossyBytes: 1_000_000,
  lossyAgeMs: 0,
  lossyDropsOldest: true,
  sendTimeoutMs: 1500,
  watermarkBytes: 0,
};

/** Outboxes whose sockets are full with 100 bytes each. */
function stalled(maxHeldBytes: number, count: number): { house: RealHouse; boxes: RealBox[] } {
  const house = new RealHouse(maxHeldBytes);
  const boxes = Array.from({ length: count }, () => {
    const box = new RealBox(house, LIMITS);
    box.socket.takes = 0;
    push(box, LANE.control, 100);
    return box;
  });
  house.turn();
  return { house, boxes };
}

function push(box: RealBox, lane: Lane, bytes: number): void {
  box.push({ name: "x", lane, bytes, key: 0 });
}

function fates(boxes: readonly RealBox[]): string[] {
  return boxes.map((box) =>
    box.happenings.some((happening) => "tooSlow" in happening)
      ? "ended"
      : box.drops().has("lossy shed")
      ? "shed"
      : "kept"
  );
}

test("Up to the bound nobody is shed; one byte more, and the largest gives first, down to nine tenths", () => {
  const { house, boxes } = stalled(10_000, 4);
  for (const [i, bytes] of [1000, 4600, 3000, 1000].entries()) push(boxes[i]!, LANE.lossy, bytes);
  assert.equal(house.flusher.heldBytes, 10_000);
  house.flusher.wake();
  house.turn();
  assert.deepEqual(fates(boxes), ["kept", "kept", "kept", "kept"]);
  push(boxes[0]!, LANE.lossy, 1);
  house.turn();
  assert.deepEqual(fates(boxes), ["kept", "shed", "kept", "kept"]);
  assert.equal(house.flusher.heldBytes, 10_001 - 4600);
});

test("Shedding goes on to the next largest until nine tenths of the bound are reached, and no further", () => {
  const { house, boxes } = stalled(10_000, 12);
  for (const [i, box] of boxes.entries()) push(box, LANE.lossy, 895 + (i * 5) % 12);
  const held = boxes.map((box) => box.outbox.heldBytes);
  const most = [...held].sort((a, b) => b - a);
  house.turn();
  // 12,006 are held; four must give about 900 each.
  assert.deepEqual(fates(boxes), held.map((bytes) => bytes >= most[3]! ? "shed" : "kept"));
  assert.ok(house.flusher.heldBytes <= 9000 && house.flusher.heldBytes > 8000);
});

test("Sessions end only when all have given what they may lose, those that hold most first", () => {
  const { house, boxes } = stalled(10_000, 4);
  for (const [i, bytes] of [2000, 6000, 3000, 100].entries()) push(boxes[i]!, LANE.reliable, bytes);
  for (const box of boxes) push(box, LANE.lossy, 300);
  house.turn();
  assert.deepEqual(fates(boxes), ["shed", "ended", "shed", "shed"]);
  assert.deepEqual(boxes[1]!.happenings.filter((happening) => "tooSlow" in happening), [{ tooSlow: "shed" }]);
  assert.equal(house.flusher.heldBytes, 2000 + 3000 + 100 + 3 * 100);
});

test("A crowd of slow readers never holds more than the bound once a turn has ended, whatever it is sent", () => {
  const lane = fc.constantFrom(LANE.reliable, LANE.latest, LANE.lossy);
  const pushes = fc.array(fc.tuple(fc.nat(7), lane, fc.integer({ min: 1, max: 4000 }), fc.nat(9)), {
    minLength: 1,
    maxLength: 150,
    size: "max",
  });
  fc.assert(
    fc.property(pushes, (script) => {
      const { house, boxes } = stalled(20_000, 8);
      for (const [to, lane, bytes, turn] of script) {
        push(boxes[to]!, lane, bytes);
        if (turn > 0) continue;
        house.turn();
        assert.ok(house.flusher.heldBytes <= 20_000);
      }
      for (const box of boxes) box.discard();
      assert.equal(house.flusher.heldBytes, 0);
      assert.equal(house.flusher.watchedCount, 0);
    }),
    { numRuns: 150 },
  );
});

test("Without a bound nobody is shed", () => {
  const { house, boxes } = stalled(0, 3);
  for (const box of boxes) push(box, LANE.lossy, 500_000);
  house.turn();
  assert.deepEqual(fates(boxes), ["kept", "kept", "kept"]);
});

test("A flush that ends its own session and others leaves nothing behind, and those that remain are flushed", () => {
  const house = new RealHouse(0);
  const boxes = Array.from({ length: 4 }, () => new RealBox(house, { ...LIMITS, reliableBytes: 300 }));
  const [first, second, third, fourth] = boxes as [RealBox, RealBox, RealBox, RealBox];
  for (const box of boxes) box.socket.takes = 0;
  for (const box of boxes) push(box, LANE.reliable, 200);
  house.turn();
  const tooSlow = second.tooSlow.bind(second);
  second.tooSlow = (cause) => {
    // Its end takes one that was flushed before and one that waits for it.
    first.discard();
    tooSlow(cause);
    third.discard();
  };
  for (const box of boxes) {
    box.socket.waiting = 0;
    if (box !== second) box.outbox.drained();
    push(box, LANE.reliable, 250);
  }
  house.turn();
  assert.deepEqual(second.happenings.at(-2), { tooSlow: "full" });
  assert.deepEqual(third.happenings, [{ wrote: ["x"], waiting: 200 }]);
  assert.deepEqual(fourth.happenings.at(-1), { wrote: ["x"], waiting: 250 });
  assert.equal(house.flusher.heldBytes, fourth.outbox.heldBytes);
  assert.equal(house.flusher.watchedCount, 1);
  house.turn();
  fourth.discard();
  assert.equal(house.flusher.heldBytes, 0);
});
