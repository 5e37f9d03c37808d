import { strict as assert } from "node:assert";
import { test } from "node:test";
import { Idempotency } from "../../../src/ops/admin/idempotency.ts";

test("An outcome is recalled for the same request only, and for ten minutes", () => {
  let now = 0;
  const memory = new Idempotency<number>(() => now);
  assert.equal(memory.recall("a", "x1"), null);
  memory.remember("a", "x1", 5);
  assert.deepEqual(
    [memory.recall("a", "x1"), memory.recall("a", "x2"), memory.recall("b", "x1")],
    [
      5,
      "other",
      null,
    ],
  );
  now = 599_999;
  assert.equal(memory.recall("a", "x1"), 5);
  now = 600_000;
  assert.deepEqual([memory.recall("a", "x1"), memory.recall("a", "x2")], [null, null]);
});

test("It remembers no more than 10,000 requests, the newest, and forgets what is too old", () => {
  let now = 0;
  const memory = new Idempotency<number>(() => now);
  for (let i = 0; i <= 10_000; i++) memory.remember(`k${i}`, `${i}`, i);
  assert.equal(memory.size, 10_000);
  assert.deepEqual([memory.recall("k0", "0"), memory.recall("k1", "1"), memory.recall("k10000", "10000")], [
    null,
    1,
    10_000,
  ]);
  now = 600_000;
  memory.remember("new", "0", 0);
  assert.equal(memory.size, 1);
});
