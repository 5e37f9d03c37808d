import assert from "node:assert/strict";
import { test } from "node:test";
import { Inflow } from "../../src/outbound/inflow.ts";

function inflow() {
  let now = 1000;
  const all = new Inflow(() => now);
  return { all, pass: (ms: number) => now += ms };
}

test("A tenant works for half a millisecond in one go, and half of the time at most", () => {
  const { all, pass } = inflow(), share = all.share();
  share.work(() => pass(0.4));
  assert.equal(share.isBusy, false);
  share.work(() => pass(0.4));
  assert.ok(share.waitMs > 0);
  pass(share.waitMs);
  assert.equal(share.isBusy, false);
  share.work(() => pass(10));
  assert.ok(share.waitMs >= 10, `${share.waitMs}`);
});

test("Bytes that are handed on cost time as well: 32 MiB take a second", () => {
  const { all, pass } = inflow(), share = all.share();
  share.carried(1000);
  assert.equal(share.isBusy, false);
  share.carried(33_554_432);
  assert.ok(Math.abs(share.waitMs - 1000) < 2, `${share.waitMs}`);
  pass(1000);
  assert.equal(share.isBusy, false);
});
