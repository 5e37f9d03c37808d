import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { OrderedIndex } from "../../src/collections/ordered_index.ts";

test("An index is a sorted map, whatever is put in and taken out", () => {
  const key = fc.oneof(fc.string({ maxLength: 3 }), fc.constantFrom("a", "B", "ä", "\ud800", "😀"));
  fc.assert(fc.property(
    fc.array(fc.tuple(key, fc.option(fc.nat(), { nil: null })), { maxLength: 300 }),
    fc.option(key, { nil: null }),
    (changes, from) => {
      const index = new OrderedIndex<number>(), plain = new Map<string, number>();
      for (const [name, value] of changes) {
        if (value === null) assert.equal(index.delete(name), plain.delete(name));
        else {
          index.set(name, value);
          plain.set(name, value);
        }
      }
      const sorted = [...plain].sort(([a], [b]) => a < b ? -1 : 1).filter(([name]) =>
        from === null || name > from
      );
      assert.deepEqual([...index.behind(from)], sorted.map(([, value]) => value));
      assert.equal(index.size, plain.size);
    },
  ));
});
