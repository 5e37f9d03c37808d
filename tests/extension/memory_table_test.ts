import { strict as assert } from "node:assert";
import { test } from "node:test";
import { MemoryTable } from "../../src/extension/memory_table.ts";

const entry = (key: string, value: string, expiresMs: number | null = null) => ({ key, value, expiresMs });

test("Rows are kept, listed in the order of keys, changed and deleted", async () => {
  const table = new MemoryTable(1000, () => 0);
  for (const key of ["b:2", "a:1", "b:1", "b:3"]) assert.ok(await table.put(entry(key, `"${key}"`)));
  assert.deepEqual(await table.get("b:1"), entry("b:1", '"b:1"'));
  const keys = (await table.list({ prefix: "b:", after: "b:1", limit: 1 })).map(({ key }) => key);
  assert.deepEqual(keys, ["b:2"]);
  assert.deepEqual([await table.delete("b:1"), await table.delete("b:1"), await table.get("b:1")], [
    true,
    false,
    null,
  ]);
});

test("Numbers are added to, and nothing else is", async () => {
  const table = new MemoryTable(1000, () => 0);
  assert.deepEqual([await table.increment("n", 2, null), await table.increment("n", -5, null)], [2, -3]);
  await table.put(entry("text", '"x"'));
  assert.equal(await table.increment("text", 1, null), null);
});

test("A row goes at its time, and a full table takes nothing more", async () => {
  let now = 0;
  const table = new MemoryTable(10, () => now);
  assert.ok(await table.put(entry("a", "12345", 100)));
  assert.equal(await table.put(entry("b", "12345")), false);
  assert.equal(await table.get("b"), null);
  now = 100;
  assert.deepEqual([await table.get("a"), await table.list({ prefix: "", after: "", limit: 9 })], [null, []]);
  assert.ok(await table.put(entry("b", "12345")));
  assert.ok(await table.put(entry("b", "123456789")), "its own former value does not count");
});
