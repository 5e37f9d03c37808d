import assert from "node:assert/strict";
import { test } from "node:test";
import { RequestTurns } from "../../src/transport/request_turns.ts";

test("Requests begin two at a time, in their order, and a turn of the loop lies between", async () => {
  const turns: (() => void)[] = [];
  const requests = new RequestTurns((task) => turns.push(task));
  const begun: number[] = [];
  const ask = (i: number) => {
    const wait = requests.enter();
    if (wait === null) begun.push(i);
    else void wait.then(() => begun.push(i));
  };
  for (let i = 0; i < 10; i++) ask(i);
  const seen: number[][] = [];
  for (let turn = 0; turn < 6; turn++) {
    await Promise.resolve();
    seen.push(begun.splice(0));
    turns.shift()?.();
  }
  await Promise.resolve();
  assert.deepEqual(seen, [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], []]);
  assert.equal(turns.length, 0, "nothing is left to do when nobody waits");
  ask(10);
  assert.deepEqual(begun, [10]);
});

test("Those who wait are bounded", async () => {
  const turns: (() => void)[] = [];
  const requests = new RequestTurns((task) => turns.push(task));
  for (let i = 0; i < 2 + 1024; i++) {
    assert.equal(requests.isFull, false, String(i));
    void requests.enter();
  }
  assert.equal(requests.isFull, true);
  turns.shift()!();
  await Promise.resolve();
  assert.equal(requests.isFull, false);
});
