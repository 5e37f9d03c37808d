import { strict as assert } from "node:assert";
import { test } from "node:test";
import { Delay, TURN_ANSWERS_MAX } from "../../src/admission/delay.ts";
import { Retry } from "../../src/admission/retry.ts";
import { TimerWheel } from "../../src/session/timer_wheel.ts";

function delaying(max: number) {
  const clock = { ms: 1000 };
  const wheel = new TimerWheel(() => clock.ms);
  const turns: (() => void)[] = [];
  return {
    delay: new Delay({ wheel, max, afterTurn: (task) => void turns.push(task) }),
    pass: (ms: number) => {
      clock.ms += ms;
      wheel.advance();
    },
    /** Ends a turn. @returns whether there was something to do */
    turn: async () => {
      const task = turns.shift();
      task?.();
      assert.equal(turns.length <= 1, true, "one task at a time");
      await Promise.resolve();
      return task !== undefined;
    },
  };
}

test("An answer waits as long as it is told to, and above the bound not at all", async () => {
  const { delay, pass, turn } = delaying(2);
  assert.equal(delay.after(0, "now"), "now");
  const told: string[] = [];
  for (const name of ["a", "b"]) {
    void Promise.resolve(delay.after(500, name)).then((value) => told.push(value));
  }
  assert.equal(delay.waiting, 2);
  assert.equal(delay.after(500, "c"), "c", "no room to wait");
  pass(400);
  assert.equal(await turn(), false);
  assert.deepEqual(told, []);
  pass(200);
  assert.equal(await turn(), true);
  assert.deepEqual(told.sort(), ["a", "b"]);
  assert.equal(delay.waiting, 0);
  assert.ok(delay.after(500, "d") instanceof Promise);
});

test("Answers that are due at the same time go out a few per turn, and later ones behind them", async () => {
  const { delay, pass, turn } = delaying(100);
  const told: number[] = [];
  const wait = (count: number) => {
    for (let i = 0; i < count; i++) {
      void Promise.resolve(delay.after(100, i)).then((value) => told.push(value));
    }
  };
  wait(2 * TURN_ANSWERS_MAX + 1);
  pass(200);
  await turn();
  assert.equal(told.length, TURN_ANSWERS_MAX);
  wait(3);
  pass(200);
  assert.equal(delay.waiting, TURN_ANSWERS_MAX + 4);
  await turn();
  assert.equal(told.length, 2 * TURN_ANSWERS_MAX);
  await turn();
  assert.equal(told.length, 2 * TURN_ANSWERS_MAX + 4);
  assert.deepEqual([delay.waiting, await turn()], [0, false]);
  wait(1);
  pass(200);
  assert.equal(await turn(), true, "it goes on after a rest");
  assert.equal(told.length, 2 * TURN_ANSWERS_MAX + 5);
});

test("A time to come back is never below the wait, and spread over as much again or the spread", () => {
  const after = (random: number, waitMs: number, spreadMs: number) =>
    new Retry(() => random).after(waitMs, spreadMs);
  assert.deepEqual([after(0, 300.2, 1000), after(0.5, 300, 1000), after(0.999999, 300, 1000)], [
    301,
    800,
    1300,
  ]);
  assert.deepEqual([after(0, 9000, 1000), after(0.5, 9000, 1000)], [9000, 13_500]);
  const retry = new Retry(Math.random);
  const times = new Set(Array.from({ length: 1000 }, () => retry.after(0, 5000)));
  assert.ok(times.size > 500, "a thousand clients do not come back together");
});
