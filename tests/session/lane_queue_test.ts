import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { Frame, hotFrame, LANE } from "../../src/protocol/frame.ts";
import { LaneQueue, LatestQueue } from "../../src/session/lane_queue.ts";

/** One frame that waits in a model. */
interface Entry {
  frame: Frame;
  at: number;
}

/** A lane as a plain list. */
class Model {
  readonly entries: Entry[] = [];
  readonly #latest: boolean;

  constructor(latest: boolean) {
    this.#latest = latest;
  }

  push(frame: Frame, at: number): boolean {
    const waiting = this.entries.find((entry) => entry.frame.key === frame.key);
    if (!this.#latest || waiting === undefined) {
      this.entries.push({ frame, at });
      return false;
    }
    waiting.frame = frame;
    waiting.at = at;
    return true;
  }
  get bytes(): number {
    return this.entries.reduce((sum, { frame }) => sum + frame.bytes, 0);
  }
}

function frameOf(bytes: number, key: number): Frame {
  return hotFrame(new Uint8Array(bytes), LANE.lossy, key);
}

/** What both have must be the same, and what the queue no longer has, it must not hold on to. */
function same(queue: LaneQueue, model: Model): void {
  assert.equal(queue.size, model.entries.length);
  assert.equal(queue.bytes, model.bytes);
  const at = queue.ring.indexOf(model.entries[0]?.frame as Frame);
  const inOrder = <T>(list: readonly T[]) => [...list.slice(at), ...list.slice(0, at)].slice(0, queue.size);
  const kept = inOrder(queue.ring);
  assert.ok(kept.every((frame, i) => frame === model.entries[i]!.frame), "other frames, or another order");
  if (queue.times !== null && model.entries.length > 0) {
    assert.equal(queue.oldestAt(), model.entries[0]!.at);
    assert.deepEqual(inOrder(queue.times), model.entries.map(({ at }) => at));
  }
}

type Step =
  | { readonly do: "push"; readonly count: number; readonly bytes: number; readonly key: number }
  | { readonly do: "shift"; readonly count: number }
  | { readonly do: "move"; readonly at: number }
  | { readonly do: "clear" };

/** Long runs of pushes and shifts, so that lists grow past every threshold; keys from few to many. */
function steps(keys: number): fc.Arbitrary<Step[]> {
  const run = fc.oneof(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 200, max: 700 }));
  const push = fc.record({
    do: fc.constant("push" as const),
    count: run,
    bytes: fc.integer({ min: 1, max: 50 }),
    key: fc.nat(keys),
  });
  const shift = fc.record({ do: fc.constant("shift" as const), count: run });
  return fc.array(
    fc.oneof(
      { weight: 12, arbitrary: push },
      { weight: 10, arbitrary: shift },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("move" as const), at: fc.nat(3) }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("clear" as const) }) },
    ),
    { minLength: 1, maxLength: 40 },
  );
}

function replay(queue: LaneQueue, model: Model, script: readonly Step[], keys: number): void {
  let now = 0;
  for (const step of script) {
    switch (step.do) {
      case "push":
        for (let i = 0; i < step.count; i++) {
          const frame = frameOf(step.bytes + i % 3, (step.key + i * 7) % keys);
          now += i % 2;
          assert.equal(queue.push(frame, now), model.push(frame, now));
        }
        break;
      case "shift":
        for (let i = 0; i < step.count && queue.size > 0; i++) {
          assert.equal(queue.shift(), model.entries.shift()?.frame);
          assert.equal(queue.bytes, model.bytes);
        }
        break;
      case "move": {
        const list: Frame[] = [];
        const frames = model.entries.splice(0).map(({ frame }) => frame);
        assert.equal(queue.moveTo(list, step.at), step.at + frames.length);
        assert.ok(frames.every((frame, i) => list[step.at + i] === frame));
        break;
      }
      case "clear":
        queue.clear();
        model.entries.length = 0;
    }
    same(queue, model);
  }
}

for (const aged of [false, true]) {
  const which = aged ? "with ages" : "without ages";
  test(`A lane ${which} is a list: what was pushed leaves in order, with its bytes counted`, () => {
    fc.assert(
      fc.property(steps(5), (script) => replay(new LaneQueue(aged), new Model(false), script, 5)),
      { numRuns: 150 },
    );
  });
  // At 3 keys a scan finds them, at 12 the switch between scan and map is crossed, at 997 the list is long.
  for (const keys of [3, 12, 997]) {
    test(`A latest lane ${which} keeps each of ${keys} keys once, the newest in the place of the oldest`, () => {
      fc.assert(
        fc.property(steps(keys), (script) => replay(new LatestQueue(aged), new Model(true), script, keys)),
        { numRuns: 100 },
      );
    });
  }
}

test("A key that left the latest lane comes back at its end, not in its former place", () => {
  const queue = new LatestQueue(false);
  const frames = Array.from({ length: 20 }, (_, key) => frameOf(1, key));
  for (const frame of frames) queue.push(frame, 0);
  assert.equal(queue.shift(), frames[0]);
  const again = frameOf(1, 0);
  assert.equal(queue.push(again, 0), false);
  assert.equal(queue.ring[20], again);
  const newer = frameOf(9, 0);
  assert.equal(queue.push(newer, 0), true);
  assert.equal(queue.size, 20);
  assert.equal(queue.bytes, 28);
});

test("Places stay right over ten thousand shifts of a lane that is never empty", () => {
  const queue = new LatestQueue(true);
  const model = new Model(true);
  for (let i = 0; i < 10_000; i++) {
    for (const key of [i, i + 17, Math.floor(i / 2)]) {
      const frame = frameOf(1 + key % 5, key);
      assert.equal(queue.push(frame, i), model.push(frame, i));
    }
    while (model.entries.length > 40) assert.equal(queue.shift(), model.entries.shift()!.frame);
    assert.equal(queue.bytes, model.bytes);
  }
  same(queue, model);
});

test("A frame that left a lane is held no longer, however many still wait", () => {
  for (const queue of [new LaneQueue(false), new LatestQueue(true)]) {
    const frames = Array.from({ length: 300 }, (_, key) => frameOf(1000, key));
    for (const frame of frames) queue.push(frame, 0);
    for (let left = 300; left > 0; left--) {
      const gone = queue.shift();
      assert.ok(!queue.ring.includes(gone), `after ${301 - left} shifts`);
    }
  }
});

test("A lane that was long gives its list back when it is empty, a short one keeps it", () => {
  const queue = new LaneQueue(true);
  for (let i = 0; i < 64; i++) queue.push(frameOf(1, 0), 0);
  const { ring } = queue;
  queue.clear();
  assert.equal(queue.ring, ring);
  for (let i = 0; i < 65; i++) queue.push(frameOf(1, 0), 0);
  while (queue.size > 0) queue.shift();
  assert.deepEqual([queue.ring.length, queue.times?.length, queue.size, queue.bytes], [0, 0, 0, 0]);
});

test("Frames that are numbered are conflated as those that are not, in whatever order they come", () => {
  const op = fc.oneof(
    { weight: 6, arbitrary: fc.record({ publish: fc.nat(30) }) },
    { weight: 2, arbitrary: fc.record({ shift: fc.integer({ min: 1, max: 40 }) }) },
    { weight: 1, arbitrary: fc.record({ replay: fc.array(fc.nat(30), { maxLength: 12 }) }) },
    { weight: 1, arbitrary: fc.record({ unnumbered: fc.nat(5) }) },
  );
  fc.assert(
    fc.property(fc.array(op, { maxLength: 200, size: "max" }), (ops) => {
      const queue = new LatestQueue(false);
      const naive: Frame[] = [];
      let stamps = 0;
      const newest = new Map<number, Frame>();
      const push = (frame: Frame) => {
        const at = naive.findIndex(({ key }) => key === frame.key);
        assert.equal(queue.push(frame, 0), at >= 0);
        if (at >= 0) naive[at] = frame;
        else naive.push(frame);
      };
      for (const each of ops) {
        if ("publish" in each) {
          const frame = new Frame(new Uint8Array(3), LANE.latest, each.publish);
          frame.stampBefore = newest.get(each.publish)?.stamp ?? 0;
          frame.stamp = ++stamps;
          newest.set(each.publish, frame);
          push(frame);
        } else if ("replay" in each) {
          // As to a member that joins: what is the newest, in no particular order.
          for (const key of each.replay) if (newest.has(key)) push(newest.get(key)!);
        } else if ("unnumbered" in each) {
          push(new Frame(new Uint8Array(3), LANE.latest, 1000 + each.unnumbered));
        } else {
          for (let i = 0; i < each.shift && queue.size > 0; i++) assert.equal(queue.shift(), naive.shift());
        }
        assert.equal(queue.size, naive.length);
      }
      while (queue.size > 0) assert.equal(queue.shift(), naive.shift());
    }),
    { numRuns: 300 },
  );
});
