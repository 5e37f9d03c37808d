// Clocks that are set: what must not end by it does not, and what waits gets older by the time that has really passed.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { StateDb } from "../../src/state/state_db.ts";
import { type Boot, StateTime } from "../../src/state/state_time.ts";
import { SteadyUnix } from "../../src/state/steady_unix.ts";

const DAY_MS = 86_400_000;

test("A clock that is set ahead is not followed, until it has stood by its new time for a day, or has come back", () => {
  const clock = { unixMs: 1_000_000_000, nowMs: 0 };
  const pass = (ms: number) => {
    clock.unixMs += ms;
    clock.nowMs += ms;
  };
  const steady = new SteadyUnix(() => clock.unixMs, () => clock.nowMs);
  assert.equal(steady.unixMs, 1_000_000_000);
  clock.unixMs += 2 * DAY_MS;
  assert.equal(steady.aheadMs, 2 * DAY_MS);
  pass(3_600_000);
  assert.equal(steady.unixMs, 1_003_600_000);
  clock.unixMs -= 2 * DAY_MS;
  assert.equal(steady.aheadMs, 0);
  assert.equal(steady.unixMs, 1_003_600_000);
  clock.unixMs += 2 * DAY_MS;
  assert.equal(steady.aheadMs, 2 * DAY_MS);
  pass(DAY_MS);
  assert.equal(steady.unixMs, clock.unixMs, "by now it is believed");
});

test("A clock that is corrected by seconds, or set back, is followed at once", () => {
  const clock = { unixMs: 1_000_000_000, nowMs: 0 };
  const steady = new SteadyUnix(() => clock.unixMs, () => clock.nowMs);
  clock.unixMs += 30_000;
  assert.equal(steady.unixMs, clock.unixMs);
  clock.unixMs -= 2 * DAY_MS;
  assert.equal(steady.unixMs, clock.unixMs);
});

interface Machine {
  unixMs: number;
  nowMs: number;
  boot: Boot | null;
}

/** How much time the state counts over a restart in which all this changes. */
function restarted(before: Machine, after: Machine): number {
  const db = new StateDb(null);
  const on = (machine: Machine) =>
    new StateTime(db, { unixMs: () => machine.unixMs, now: () => machine.nowMs, boot: () => machine.boot });
  const first = on(before);
  first.save();
  db.commit();
  const counted = on(after).now() - first.now();
  db.close();
  return Math.round(counted);
}

test("Over a restart time goes on by the machine's time since boot, whatever the clock says", () => {
  const before = { unixMs: 1e12, nowMs: 77, boot: { id: "a", upMs: 5000 } };
  assert.equal(
    restarted(before, { unixMs: 1e12 + 2 * DAY_MS, nowMs: 3, boot: { id: "a", upMs: 9000 } }),
    4000,
  );
  assert.equal(restarted(before, { unixMs: 0, nowMs: 3, boot: { id: "a", upMs: 9000 } }), 4000);
});

test("After a boot, and where nobody says, the clock is believed for an hour at most", () => {
  const before = { unixMs: 1e12, nowMs: 77, boot: { id: "a", upMs: 5000 } };
  const another = { id: "b", upMs: 9000 };
  assert.equal(restarted(before, { unixMs: 1e12 + 1000, nowMs: 0, boot: another }), 1000);
  assert.equal(restarted(before, { unixMs: 1e12 + 2 * DAY_MS, nowMs: 0, boot: another }), 3_600_000);
  assert.equal(restarted(before, { unixMs: 0, nowMs: 0, boot: another }), 0);
  assert.equal(restarted(before, { unixMs: 1e12 + 1000, nowMs: 0, boot: { id: "a", upMs: 100 } }), 1000);
  const nameless = { ...before, boot: { id: "", upMs: 5000 } };
  assert.equal(restarted(nameless, { unixMs: 0, nowMs: 0, boot: { id: "", upMs: 9000 } }), 4000);
  assert.equal(restarted(nameless, { unixMs: 1e12 + 1000, nowMs: 0, boot: { id: "", upMs: 90 } }), 1000);
  assert.equal(restarted({ ...before, boot: null }, { unixMs: 1e12 + 1000, nowMs: 0, boot: null }), 1000);
});
