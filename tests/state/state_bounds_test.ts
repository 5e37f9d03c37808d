// How much tenants may keep, and what they leave to others.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { type Disk, StateBounds } from "../../src/state/state_bounds.ts";

const GIB = 1_073_741_824;

function bounds(limits: { maxBytes: number; tenantMaxBytes: number }, disk: () => Disk | null = () => null) {
  return new StateBounds({ ...limits, disk, now: () => 0 });
}

test("A tenant keeps no more than its bound, and all together no more than theirs", () => {
  const state = bounds({ maxBytes: 250, tenantMaxBytes: 100 });
  for (const tenant of ["a", "b"]) {
    assert.equal(state.admits(tenant, 100), true);
    state.add(tenant, 100);
    assert.equal(state.admits(tenant, 1), false);
  }
  assert.equal(state.admits("c", 50), true);
  state.add("c", 50);
  assert.equal(state.admits("d", 1), false);
  assert.equal(state.admits("a", -10), true, "less is always possible");
  state.add("a", -100);
  assert.equal(state.admits("d", 1), true);
  assert.equal(state.usedBy("a"), 0);
});

test("Part of the disk stays free, and a little more is left to those who keep little", () => {
  const disk = { freeBytes: 400_000, totalBytes: 3_000_000 };
  const state = bounds({ maxBytes: GIB, tenantMaxBytes: GIB }, () => disk);
  assert.equal(state.isShort, false);
  state.add("large", 2_000_000);
  assert.equal(state.admits("large", 60_000), false);
  assert.equal(state.admits("large", 1000), true);
  disk.freeBytes = 250_000;
  const later = bounds({ maxBytes: GIB, tenantMaxBytes: GIB }, () => disk);
  later.add("large", 2_000_000);
  assert.equal(later.isShort, true);
  assert.equal(later.admits("large", 1), false);
  assert.equal(later.admits("small", 1000), true);
});
