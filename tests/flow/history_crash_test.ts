// Rooms on disk, over crashes and restarts. tests/soak has the same with hundreds of crashes.

import assert from "node:assert/strict";
import { test } from "node:test";
import { crashes } from "./history_crashes.ts";

test("after a crash in the middle of much talk, all that was acknowledged is there", async () => {
  const { acked } = await crashes(4, 7);
  assert.ok(acked > 0, "something was acknowledged");
});
