import { strict as assert } from "node:assert";
import { test } from "node:test";
import { Delay } from "../../src/admission/delay.ts";
import { Retry } from "../../src/admission/retry.ts";
import { TimerWheel } from "../../src/session/timer_wheel.ts";

test("An answer waits as long as it is told to, and above the bound not at all", async () => {
  const clock = { ms: 1000 };
  const wheel = new TimerWheel(() => clock.ms);
  const delay = new Delay(wheel, 2);
  assert.equal(delay.after(0, "now"), "now");
  const told: string[] = [];
  for (const name of ["a", "b"]) {
    void Promise.resolve(delay.after(500, name)).then((value) => told.push(value));
  }
  assert.equal(delay.waiting, 2);
  assert.equal(delay.after(500, "c"), "c", "no room to wait");
  clock.ms += 400;
  wheel.advance();
  await Promise.resolve();
  assert.deepEqual(told, []);
  clock.ms += 200;
  wheel.advance();
  await Promise.resolve();
  assert.deepEqual(told.sort(), ["a", "b"]);
  assert.equal(delay.waiting, 0);
  assert.ok(delay.after(500, "d") instanceof Promise);
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
