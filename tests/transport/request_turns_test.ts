import assert from "node:assert/strict";
import { test } from "node:test";
import { PLAIN, RequestTurns, UPGRADES } from "../../src/transport/request_turns.ts";

test("Requests begin two at a time, in their order, and a turn of the loop lies between", async () => {
  const turns: (() => void)[] = [];
  const requests = new RequestTurns((task) => turns.push(task), PLAIN);
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

test("Handshakes begin more at a time, and more may wait", async () => {
  const turns: (() => void)[] = [];
  const handshakes = new RequestTurns((task) => turns.push(task), UPGRADES);
  let begun = 0;
  for (let i = 0; i < 20; i++) {
    const wait = handshakes.enter();
    if (wait === null) begun++;
    else void wait.then(() => begun++);
  }
  assert.equal(begun, UPGRADES.perTurn);
  turns.shift()!();
  await Promise.resolve();
  assert.equal(begun, 2 * UPGRADES.perTurn);
  for (let i = 0; !handshakes.isFull; i++) {
    assert.ok(i < UPGRADES.waitingMax);
    void handshakes.enter();
  }
});

test("Those who wait are bounded", async () => {
  const turns: (() => void)[] = [];
  const requests = new RequestTurns((task) => turns.push(task), PLAIN);
  for (let i = 0; i < 2 + 1024; i++) {
    assert.equal(requests.isFull, false, String(i));
    void requests.enter();
  }
  assert.equal(requests.isFull, true);
  turns.shift()!();
  await Promise.resolve();
  assert.equal(requests.isFull, false);
});
