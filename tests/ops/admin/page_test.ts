import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { page } from "../../../src/ops/admin/page.ts";

test("Pages in a row are the sorted list, whatever its order, its length and the page's", () => {
  fc.assert(fc.property(
    fc.uniqueArray(fc.oneof(fc.string(), fc.constantFrom("a", "b")), { maxLength: 200 }),
    fc.integer({ min: 1, max: 60 }),
    (keys, limit) => {
      const seen: string[] = [];
      let after: string | null = null;
      do {
        const { items, next }: { items: readonly string[]; next: string | null } = page(keys, {
          keyOf: (key) => key,
          after,
          limit,
        });
        assert.ok(items.length === limit || next === null, "only the last page is short");
        seen.push(...items);
        after = next;
      } while (after !== null);
      assert.deepEqual(seen, keys.toSorted((a, b) => a < b ? -1 : 1));
    },
  ));
});

test("A list that changes between two pages loses nobody who stayed, and shows nobody twice", () => {
  const items = new Set(Array.from({ length: 100 }, (_, i) => i));
  const look = (after: number | null) => page(items, { keyOf: (item) => item, after, limit: 30 });
  const first = look(null);
  for (const gone of [3, 29, 40]) items.delete(gone);
  for (const come of [-1, 10.5, 70.5]) items.add(come);
  const second = look(first.next);
  assert.deepEqual(first.items, Array.from({ length: 30 }, (_, i) => i));
  assert.deepEqual(second.items, Array.from({ length: 31 }, (_, i) => i + 30).filter((i) => i !== 40));
});

test("An empty list is one empty page", () => {
  assert.deepEqual(page([], { keyOf: String, after: null, limit: 5 }), { items: [], next: null });
});
