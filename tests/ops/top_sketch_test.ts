// Who comes up most often: exact while there are places for all, and beyond that never wrong by more than it says.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { Ring } from "../../src/ops/console/ring.ts";
import { Series } from "../../src/ops/console/series.ts";
import { TopSketch } from "../../src/ops/console/top_sketch.ts";

const Adds = fc.array(fc.tuple(fc.nat({ max: 30 }), fc.integer({ min: 1, max: 5 })), { maxLength: 300 });

test("With a place for each name the counts are exact", () => {
  fc.assert(fc.property(Adds, (adds) => {
    const sketch = new TopSketch(31, 1000, 0), exact = new Map<string, number>();
    for (const [name, by] of adds) {
      sketch.add(String(name), by);
      exact.set(String(name), (exact.get(String(name)) ?? 0) + by);
    }
    const found = sketch.top(100);
    assert.deepEqual(new Map(found.map(({ name, count }) => [name, count])), exact);
    assert.ok(found.every(({ over }) => over === 0));
    assert.deepEqual(found.map(({ count }) => count), [...exact.values()].sort((a, b) => b - a));
  }));
});

test("With fewer places a count is never too low, and too high by no more than it says; whoever is frequent is there", () => {
  fc.assert(fc.property(Adds, fc.integer({ min: 1, max: 8 }), (adds, places) => {
    const sketch = new TopSketch(places, 1000, 0), exact = new Map<string, number>();
    let total = 0;
    for (const [name, by] of adds) {
      sketch.add(String(name), by);
      exact.set(String(name), (exact.get(String(name)) ?? 0) + by);
      total += by;
    }
    const found = new Map(sketch.top(100).map((entry) => [entry.name, entry]));
    assert.ok(found.size <= places);
    for (const [name, { count, over }] of found) {
      const real = exact.get(name)!;
      assert.ok(
        count >= real && count - over <= real,
        `${name}: ${real} is not in ${count - over}..${count}`,
      );
    }
    for (const [name, real] of exact) if (real > total / places) assert.ok(found.has(name), name);
  }));
});

test("What is older than two stretches of time is forgotten", () => {
  const sketch = new TopSketch(4, 1000, 0);
  sketch.add("old", 5);
  sketch.turn(999);
  assert.equal(sketch.top(1)[0]!.count, 5);
  sketch.turn(1000);
  sketch.add("new", 1);
  assert.deepEqual(sketch.top(9).map(({ name }) => name), ["old", "new"]);
  assert.equal(sketch.since, 0);
  sketch.turn(2000);
  assert.deepEqual(sketch.top(9).map(({ name }) => name), ["new"]);
  assert.equal(sketch.since, 1000);
  sketch.turn(9000);
  assert.deepEqual(sketch.top(9), []);
});

test("A ring keeps the newest within its number and its weight, and always the last one", () => {
  fc.assert(fc.property(fc.array(fc.nat({ max: 20 }), { maxLength: 60 }), (items) => {
    const ring = new Ring<number>(7, 30, (item) => item);
    const kept: number[] = [];
    for (const item of items) {
      ring.push(item);
      kept.push(item);
      while (kept.length > 7 || kept.reduce((a, b) => a + b, 0) > 30 && kept.length > 1) kept.shift();
      assert.deepEqual(ring.all(), kept);
      assert.equal(ring.size, kept.length);
    }
  }));
});

test("A series gives the points from a number on, as far as they are kept", () => {
  const series = new Series(["a", "b"], { length: 3, stepMs: 5 });
  assert.deepEqual(series.since(0), { a: [], b: [] });
  for (let i = 1; i <= 5; i++) series.add({ a: i, b: -i }, i * 100);
  assert.deepEqual([series.count, series.endMs], [5, 500]);
  assert.deepEqual(series.since(0), { a: [3, 4, 5], b: [-3, -4, -5] });
  assert.deepEqual(series.since(4), { a: [5], b: [-5] });
  assert.deepEqual(series.since(9), { a: [], b: [] });
});
