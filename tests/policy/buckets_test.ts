import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { Buckets } from "../../src/policy/buckets.ts";
import { Rate } from "../../src/policy/rate.ts";

test("Each key has a bucket of its own, as exact as a bucket alone", () => {
  const steps = fc.array(
    fc.record({ key: fc.nat(4), gap: fc.nat(300), count: fc.integer({ min: 1, max: 4 }) }),
  );
  fc.assert(fc.property(steps, (steps) => {
    const rate = new Rate(10, 5), buckets = new Buckets(), alone = [0, 0, 0, 0, 0];
    let now = 1000;
    for (const { key, gap, count } of steps) {
      now += gap;
      const waitMs = rate.waitMs(alone[key]!, now, count);
      assert.equal(buckets.waitMs(rate, `k${key}`, now, count), waitMs);
      if (waitMs > 0) continue;
      alone[key] = rate.take(alone[key]!, now, count);
      buckets.take(rate, `k${key}`, now, count);
    }
  }));
});

test("Buckets that are full again are forgotten while others come", () => {
  const rate = new Rate(1000, 10), buckets = new Buckets();
  for (let i = 0; i < 10_000; i++) buckets.take(rate, `user ${i}`, i, 1);
  assert.ok(buckets.size <= 3, String(buckets.size));
});

test("A bucket that is not full is kept however many come, up to the bound; above it the oldest go", () => {
  const rate = new Rate(1, 1), buckets = new Buckets(1000);
  for (let i = 0; i < 1000; i++) buckets.take(rate, `user ${i}`, 0, 1);
  assert.equal(buckets.size, 1000);
  for (let i = 0; i < 1000; i++) assert.equal(buckets.waitMs(rate, `user ${i}`, 0, 1), 1000);
  for (let i = 0; i < 5000; i++) {
    buckets.take(rate, `more ${i}`, 0, 1);
    assert.ok(buckets.size <= 1000);
  }
});

test("With another rate no bucket is worse than empty, and without one none is remembered", () => {
  const slow = new Rate(1, 100), fast = new Rate(100, 10), buckets = new Buckets();
  buckets.take(slow, "ann", 0, 100);
  buckets.apply(fast, 0);
  assert.equal(buckets.waitMs(fast, "ann", 0, 1), 10);
  buckets.apply(null, 0);
  assert.equal(buckets.size, 0);
});
