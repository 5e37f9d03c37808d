import assert from "node:assert/strict";
import { test } from "node:test";
import { FreshEnough } from "../../src/ops/fresh_enough.ts";

test("What is dear to make takes a tenth of the time at most, and those who ask meanwhile share it", async () => {
  let now = 1000, made = 0;
  const answer = new FreshEnough(() => {
    now += 50;
    return Promise.resolve(String(++made));
  }, () => now);
  assert.deepEqual(await Promise.all([answer.get(), answer.get()]), ["1", "1"]);
  assert.equal(await answer.get(), "2", "now and then it is made anew");
  // Twice 450 ms are to be paid, less the 50 that the second took.
  now += 349;
  assert.equal(await answer.get(), "2");
  now += 1;
  assert.equal(await answer.get(), "3");
});

test("What is cheap is made anew each time, and what failed is tried again", async () => {
  let made = 0;
  const cheap = new FreshEnough(() => Promise.resolve(String(++made)), () => 0);
  assert.equal(await cheap.get(), "1");
  assert.equal(await cheap.get(), "2");
  let fails = true;
  const failing = new FreshEnough(
    () => fails ? Promise.reject(new Error("no")) : Promise.resolve("yes"),
    () => 0,
  );
  await assert.rejects(failing.get());
  fails = false;
  assert.equal(await failing.get(), "yes");
});
