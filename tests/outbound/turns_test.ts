import { strict as assert } from "node:assert";
import { test } from "node:test";
import { Turns } from "../../src/outbound/turns.ts";

test("So many have a turn at once, the next wait in order, and above that it is full", async () => {
  const turns = new Turns(2, 2);
  const had: string[] = [];
  const take = (name: string) => {
    assert.equal(turns.isFull, false, name);
    const turn = turns.take();
    if (turn === null) had.push(name);
    else void turn.then(() => had.push(name));
  };
  for (const name of ["a", "b", "c", "d"]) take(name);
  assert.deepEqual([had, turns.taken, turns.waiting, turns.isFull], [["a", "b"], 2, 2, true]);
  turns.give();
  await Promise.resolve();
  assert.deepEqual([had, turns.taken, turns.waiting, turns.isFull], [["a", "b", "c"], 2, 1, false]);
  turns.give();
  turns.give();
  await Promise.resolve();
  assert.deepEqual([had, turns.taken, turns.waiting], [["a", "b", "c", "d"], 1, 0]);
  turns.give();
  assert.equal(turns.taken, 0);
  take("e");
  assert.equal(had.at(-1), "e");
});
