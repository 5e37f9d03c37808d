import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { extFrame, type Frame, LANE } from "../../src/protocol/frame.ts";
import { Replay } from "../../src/session/replay.ts";

const WIDE = { maxBytes: 1_000_000, maxMessages: 1000 };
const frame = (n: number) => extFrame({ v: 1, svc: "s", type: "t", seq: n }, LANE.reliable);
const greeting = frame(0);

function drained(replay: Replay): Frame[] {
  const frames: Frame[] = [];
  while (replay.waiting > 0) frames.push(replay.next());
  return frames;
}

test("The first message of a connection is not counted, all later ones are", () => {
  const replay = new Replay(() => WIDE);
  replay.sent(greeting);
  assert.equal(replay.sentCount, 0);
  replay.sent(frame(1));
  replay.sent(frame(2));
  assert.equal(replay.sentCount, 2);
  replay.detach([]);
  replay.sent(greeting);
  assert.equal(replay.sentCount, 2);
});

test("After a loss all that was not heard waits: what was sent, what was never written, what came since", () => {
  const replay = new Replay(() => WIDE);
  const [a, b, c, d, e] = [1, 2, 3, 4, 5].map(frame) as [Frame, Frame, Frame, Frame, Frame];
  for (const one of [greeting, a, b, c]) replay.sent(one);
  assert.ok(replay.detach([d]));
  assert.ok(replay.wait(e));
  assert.ok(replay.reachesBackTo(1));
  replay.rewind(1);
  assert.equal(replay.sentCount, 1);
  assert.deepEqual(drained(replay), [b, c, d, e]);
});

test("What the client has heard is let go of, and a number that cannot be is told", () => {
  const replay = new Replay(() => WIDE);
  for (const one of [greeting, frame(1), frame(2), frame(3)]) replay.sent(one);
  assert.ok(replay.heard(2));
  assert.equal(replay.bytes, frame(3).bytes);
  assert.ok(replay.heard(1), "an older number is no fault");
  assert.equal(replay.heard(4), false);
  assert.equal(replay.reachesBackTo(1), false);
  assert.ok(replay.reachesBackTo(2));
});

test("Above its bounds it lets go of what was sent, and never of what waits", () => {
  const replay = new Replay(() => ({ maxBytes: 1_000_000, maxMessages: 3 }));
  for (const one of [greeting, frame(1), frame(2), frame(3), frame(4)]) replay.sent(one);
  assert.equal(replay.reachesBackTo(0), false);
  assert.ok(replay.reachesBackTo(1));
  assert.ok(replay.detach([]));
  assert.ok(replay.wait(frame(5)) && replay.wait(frame(6)) && replay.wait(frame(7)));
  assert.equal(replay.reachesBackTo(3), false);
  assert.equal(replay.wait(frame(8)), false);
  assert.equal(replay.waiting, 4);
});

test("Whatever is cut wherever, a client that counts hears every message once and in order, or is told of an overflow", () => {
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ say: fc.integer({ min: 1, max: 5 }) }) },
    { weight: 4, arbitrary: fc.record({ write: fc.integer({ min: 1, max: 6 }) }) },
    { weight: 4, arbitrary: fc.record({ arrive: fc.integer({ min: 1, max: 6 }) }) },
    { weight: 2, arbitrary: fc.record({ ack: fc.constant(true) }) },
    { weight: 2, arbitrary: fc.record({ cut: fc.constant(true) }) },
    { weight: 3, arbitrary: fc.record({ resume: fc.constant(true) }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), fc.integer({ min: 5, max: 40 }), (steps, maxMessages) => {
      const replay = new Replay(() => ({ maxBytes: 1_000_000, maxMessages }));
      const heard: number[] = [];
      let said = 0, count = 0, attached = true;
      let outbox: Frame[] = [greeting], wire: Frame[] = [], first = true;
      const write = (n: number) => {
        for (const one of outbox.splice(0, n)) {
          replay.sent(one);
          wire.push(one);
        }
      };
      for (const one of steps) {
        if ("say" in one) {
          for (let i = 0; i < one.say; i++) {
            const next = frame(++said);
            if (attached && replay.waiting === 0) outbox.push(next);
            else if (!replay.wait(next)) return; // an overflow, told
          }
        } else if ("write" in one) write(one.write);
        else if ("arrive" in one) {
          for (const got of wire.splice(0, one.arrive)) {
            if (first) first = false;
            else {
              heard.push(JSON.parse(got.payload as string).seq);
              count++;
            }
          }
        } else if ("ack" in one) assert.ok(replay.heard(count));
        else if ("cut" in one && attached) {
          attached = false;
          wire = [];
          const room = replay.detach(outbox);
          outbox = [];
          if (!room) return;
        } else if ("resume" in one && !attached) {
          if (!replay.reachesBackTo(count)) return; // an overflow, told
          replay.rewind(count);
          attached = first = true;
          outbox = [greeting, ...drained(replay)];
        }
      }
      if (!attached) {
        if (!replay.reachesBackTo(count)) return;
        replay.rewind(count);
        first = true;
        outbox = [greeting, ...drained(replay)];
      }
      write(outbox.length);
      for (const got of wire) {
        if (first) first = false;
        else heard.push(JSON.parse(got.payload as string).seq);
      }
      assert.deepEqual(heard, Array.from({ length: said }, (_, i) => i + 1));
    }),
    { numRuns: 2000 },
  );
});
