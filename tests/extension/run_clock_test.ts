import assert from "node:assert/strict";
import { test } from "node:test";
import { RunClock, type RunTimes } from "../../src/extension/host/run_clock.ts";

function clockAt(times: RunTimes): { clock: RunClock; pass: (wallMs: number, cpuMs: number) => number } {
  let { wallMs, cpuMs } = times;
  const clock = new RunClock(() => ({ wallMs, cpuMs }));
  return {
    clock,
    pass: (wall, cpu) => {
      wallMs += wall;
      cpuMs += cpu;
      return clock.now();
    },
  };
}

test("Who has a CPU to itself runs as long as the clock on the wall says", () => {
  const { pass } = clockAt({ wallMs: 1000, cpuMs: 70 });
  assert.equal(pass(5, 5), 5);
  assert.equal(pass(10, 10), 15);
});

test("Several at once run no longer than that", () => {
  assert.equal(clockAt({ wallMs: 0, cpuMs: 0 }).pass(5, 10), 5);
});

test("Who waits for a CPU has not run meanwhile", () => {
  const { pass } = clockAt({ wallMs: 0, cpuMs: 0 });
  assert.equal(pass(100, 20), 20);
  assert.equal(pass(5, 5), 25);
});

test("Who stands still for long has run a little", () => {
  assert.equal(clockAt({ wallMs: 0, cpuMs: 0 }).pass(2000, 0), 100);
});
