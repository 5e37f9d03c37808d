import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { extFrame, type Frame, LANE } from "../../src/protocol/frame.ts";
import { type HistoryBounds, RoomHistory } from "../../src/room/history.ts";

const WIDE: HistoryBounds = { maxMessages: 1000, maxBytes: 1_000_000, maxAgeMs: 1_000_000 };

function frameOf(offset: number, bytes = 1): Frame {
  return extFrame(
    { v: 1, svc: "chat", type: "msg", data: { offset, fill: "x".repeat(bytes) } },
    LANE.reliable,
  );
}

function filled(count: number, bounds: HistoryBounds = WIDE): RoomHistory {
  const history = new RoomHistory("e1", bounds);
  for (let offset = 1; offset <= count; offset++) history.append(frameOf(offset), offset);
  return history;
}

test("A history is a list that is cut at its old end: by number, by bytes and by age", () => {
  const step = fc.oneof(
    {
      weight: 10,
      arbitrary: fc.record({ add: fc.integer({ min: 1, max: 40 }), bytes: fc.integer({ min: 1, max: 90 }) }),
    },
    { weight: 2, arbitrary: fc.record({ wait: fc.integer({ min: 1, max: 500 }) }) },
    {
      weight: 1,
      arbitrary: fc.record({
        bounds: fc.record({
          maxMessages: fc.integer({ min: 1, max: 50 }),
          maxBytes: fc.integer({ min: 1, max: 4000 }),
          maxAgeMs: fc.integer({ min: 0, max: 400 }),
        }),
      }),
    },
  );
  fc.assert(fc.property(fc.array(step, { minLength: 1, maxLength: 60 }), fc.nat(), (steps, start) => {
    let bounds: HistoryBounds = { maxMessages: 30, maxBytes: 2000, maxAgeMs: 300 };
    const history = new RoomHistory("e", bounds, start);
    let model: { offset: number; frame: Frame; at: number }[] = [];
    let now = 0, last = start;
    const cut = () => {
      model = model.slice(-bounds.maxMessages);
      while (model.reduce((sum, { frame }) => sum + frame.bytes, 0) > bounds.maxBytes) model.shift();
      model = model.filter(({ at }) => at >= now - bounds.maxAgeMs);
    };
    for (const one of steps) {
      if ("add" in one) {
        for (let i = 0; i < one.add; i++) {
          const frame = frameOf(++last, one.bytes);
          history.append(frame, now);
          model.push({ offset: last, frame, at: now });
          cut();
        }
      } else if ("wait" in one) {
        now += one.wait;
        history.trim(now);
        cut();
      } else {
        bounds = one.bounds;
        history.apply(bounds, now);
        cut();
      }
      assert.equal(history.last, last);
      assert.equal(history.first, model[0]?.offset ?? last + 1);
      assert.equal(history.size, model.length);
      assert.equal(history.bytes, model.reduce((sum, { frame }) => sum + frame.bytes, 0));
      const { frames } = history.after(0, 1000);
      assert.ok(frames.length === model.length && frames.every((frame, i) => frame === model[i]!.frame));
    }
  }));
});

test("A cursor whose message, or the one after it, is still there recovers all after it", () => {
  const history = filled(10, { ...WIDE, maxMessages: 4 });
  assert.deepEqual([history.first, history.last], [7, 10]);
  for (const offset of [6, 7, 9, 10]) {
    assert.deepEqual(history.recover({ epoch: "e1", offset }, 100), { recovered: true, after: offset });
  }
});

test("What cannot be proven is said not to be recovered, with its reason and the newest there is", () => {
  const history = filled(10, { ...WIDE, maxMessages: 4 });
  const lost = (epoch: string, offset: number, max = 100) => history.recover({ epoch, offset }, max);
  assert.deepEqual(lost("e1", 5), { recovered: false, reason: "trimmed", after: 6 });
  assert.deepEqual(lost("e1", 0), { recovered: false, reason: "trimmed", after: 6 });
  assert.deepEqual(lost("e1", 11), { recovered: false, reason: "ahead", after: 6 });
  assert.deepEqual(lost("e0", 10), { recovered: false, reason: "epoch", after: 6 });
  assert.deepEqual(lost("", 10), { recovered: false, reason: "epoch", after: 6 });
  assert.deepEqual(lost("e1", 7, 2), { recovered: false, reason: "too_many", after: 8 });
  assert.deepEqual(lost("e1", 8, 2), { recovered: true, after: 8 });
});

test("A room that kept nothing yet, and one whose messages are all too old, recover who missed nothing", () => {
  const empty = new RoomHistory("e1", WIDE);
  assert.deepEqual(empty.recover({ epoch: "e1", offset: 0 }, 10), { recovered: true, after: 0 });
  const old = filled(3, { ...WIDE, maxAgeMs: 10 });
  old.trim(1000);
  assert.deepEqual([old.first, old.last, old.size, old.bytes], [4, 3, 0, 0]);
  assert.deepEqual(old.recover({ epoch: "e1", offset: 3 }, 10), { recovered: true, after: 3 });
  assert.deepEqual(old.recover({ epoch: "e1", offset: 2 }, 10), {
    recovered: false,
    reason: "trimmed",
    after: 3,
  });
  old.append(frameOf(4), 1000);
  assert.deepEqual([old.first, old.last], [4, 4]);
});

test("Pages go forward and backward, and say whether there is more", () => {
  const history = filled(10, { ...WIDE, maxMessages: 8 });
  const page = ({ frames, from, more }: ReturnType<RoomHistory["after"]>) => [from, frames.length, more];
  assert.deepEqual(page(history.after(0, 3)), [3, 3, true]);
  assert.deepEqual(page(history.after(5, 5)), [6, 5, false]);
  assert.deepEqual(page(history.after(10, 5)), [11, 0, false]);
  assert.deepEqual(page(history.before(11, 3)), [8, 3, true]);
  assert.deepEqual(page(history.before(5, 5)), [3, 2, false]);
  assert.deepEqual(page(history.before(3, 5))[1], 0);
  assert.equal(history.before(3, 5).more, false);
});
