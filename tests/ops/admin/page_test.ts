import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { pageAmong, pageOf } from "../../../src/ops/admin/page.ts";
import { OrderedIndex } from "../../../src/collections/ordered_index.ts";

/** A house in which no time passes. */
const still = { now: () => 0, turn: () => Promise.reject(new Error("nobody has to wait")) };

test("Pages in a row are the sorted list, whatever its order, its length and the page's", async () => {
  await fc.assert(fc.asyncProperty(
    fc.uniqueArray(fc.oneof(fc.string(), fc.constantFrom("a", "b")), { maxLength: 200 }),
    fc.integer({ min: 1, max: 60 }),
    async (keys, limit) => {
      const index = new OrderedIndex<string>();
      for (const key of keys) index.set(key, key);
      const keyOf = (key: string) => key;
      for (
        const look of [
          (after: string | null) => pageAmong(keys, { keyOf, after, limit }, still),
          (after: string | null) => Promise.resolve(pageOf(index.behind(after), { keyOf, limit })),
        ]
      ) {
        const seen: string[] = [];
        let after: string | null = null;
        do {
          const { items, next }: { items: readonly string[]; next: string | null } = await look(after);
          assert.ok(items.length === limit || next === null, "only the last page is short");
          seen.push(...items);
          after = next;
        } while (after !== null);
        assert.deepEqual(seen, keys.toSorted((a, b) => a < b ? -1 : a > b ? 1 : 0));
      }
    },
  ));
});

test("A list that changes between two pages loses nobody who stayed, and shows nobody twice", async () => {
  const items = new Set(Array.from({ length: 100 }, (_, i) => i));
  const look = (after: number | null) =>
    pageAmong([...items], { keyOf: (item) => item, after, limit: 30 }, still);
  const first = await look(null);
  for (const gone of [3, 29, 40]) items.delete(gone);
  for (const come of [-1, 10.5, 70.5]) items.add(come);
  const second = await look(first.next);
  assert.deepEqual(first.items, Array.from({ length: 30 }, (_, i) => i));
  assert.deepEqual(second.items, Array.from({ length: 31 }, (_, i) => i + 30).filter((i) => i !== 40));
});

test("An empty list is one empty page", async () => {
  const options = { keyOf: String, after: null, limit: 5 };
  assert.deepEqual(await pageAmong([], options, still), { items: [], next: null });
  assert.deepEqual(pageOf([], options), { items: [], next: null });
});

test("A page of what is in order looks at no more than it shows, and one", () => {
  let looked = 0;
  const endless = function* () {
    for (;;) yield looked++;
  };
  const { items, next } = pageOf(endless(), { keyOf: (item) => item, limit: 3 });
  assert.deepEqual([items, next, looked], [[0, 1, 2], 2, 4]);
});

test("A page of a long list in any order gives way every few milliseconds", async () => {
  let ms = 0, turns = 0;
  const house = {
    now: () => ms += 0.001,
    turn: () => {
      turns++;
      return Promise.resolve();
    },
  };
  const items = Array.from({ length: 20_000 }, (_, i) => (i * 7919) % 20_000);
  const { items: shown } = await pageAmong(items, { keyOf: (item) => item, after: 9_999, limit: 2 }, house);
  assert.deepEqual(shown, [10_000, 10_001]);
  assert.equal(turns, 4, "20 ms of work in slices of 4");
});
