import assert from "node:assert/strict";
import { test } from "node:test";
import { FreshEnough } from "../../src/ops/fresh_enough.ts";

/** A clock that stands still until somebody waits. */
function clock() {
  let now = 1000;
  return {
    now: () => now,
    wait: (ms: number) => {
      now += ms;
      return Promise.resolve();
    },
  };
}

test("What is dear to make takes a tenth of the time at most, and those who ask meanwhile share it", async () => {
  const time = clock();
  let made = 0;
  const answer = new FreshEnough(async () => {
    await time.wait(50);
    return { text: String(++made), ms: 50 };
  }, time);
  assert.deepEqual(await Promise.all([answer.get(1), answer.get(1)]), ["1", "1"]);
  assert.equal(await answer.get(1), "2", "now and then it is made anew");
  // Twice 450 ms are to be paid, less the 50 that the second took.
  await time.wait(349);
  assert.equal(await answer.get(1), "2");
  await time.wait(1);
  assert.equal(await answer.get(1), "3");
});

test("Time that others had while it was made is not counted", async () => {
  const time = clock();
  let made = 0;
  const answer = new FreshEnough(async () => {
    await time.wait(5000);
    return { text: String(++made), ms: 1 };
  }, time);
  assert.equal(await answer.get(1), "1");
  assert.equal(await answer.get(1), "2");
});

test("Answers to different questions share that tenth: one that was never made waits for its turn", async () => {
  const time = clock();
  const made: string[] = [];
  const answer = new FreshEnough(async (key: string) => {
    await time.wait(100);
    made.push(key);
    return { text: `${key}${made.length}`, ms: 100 };
  }, time);
  assert.equal(await answer.get("a"), "a1");
  assert.equal(await answer.get("a"), "a1", "900 ms are to be paid");
  const before = time.now();
  assert.equal(await answer.get("b"), "b2");
  assert.equal(time.now() - before, 400 + 100);
  assert.equal(await answer.get("a"), "a1");
  assert.deepEqual(made, ["a", "b"]);
});

test("Of many questions the last answers are kept", async () => {
  const time = clock();
  let made = 0;
  const answer = new FreshEnough(
    (key: number) => Promise.resolve({ text: `${key} ${++made}`, ms: 10_000 }),
    time,
  );
  for (let key = 0; key < 65; key++) await answer.get(key);
  assert.equal(await answer.get(1), "1 2");
  assert.equal(await answer.get(0), "0 66");
});

test("What is cheap is made anew each time, and what failed is tried again", async () => {
  let made = 0;
  const cheap = new FreshEnough(() => Promise.resolve({ text: String(++made), ms: 0 }), clock());
  assert.equal(await cheap.get(1), "1");
  assert.equal(await cheap.get(1), "2");
  let fails = true;
  const failing = new FreshEnough(
    () => fails ? Promise.reject(new Error("no")) : Promise.resolve({ text: "yes", ms: 0 }),
    clock(),
  );
  await assert.rejects(failing.get(1));
  fails = false;
  assert.equal(await failing.get(1), "yes");
});
