// A million messages through a network that loses them, in long histories.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { House } from "../session/house.ts";
import { type History, live, MODEL_GATEWAY, MODEL_TENANT, STEPS, Tally } from "../session/recovery_model.ts";

// Nobody is kicked: a history ends with its session.
const steps = STEPS.filter((step) => step !== "kick" && step !== "away");
const step = fc.tuple(fc.constantFrom(...steps), fc.integer({ min: 0, max: 9 }));
const histories: fc.Arbitrary<History> = fc.array(step, { minLength: 50, maxLength: 400, size: "max" });

test("Of a million messages none is lost without a word, none comes twice, and none out of order", async () => {
  const tally = new Tally();
  let next = 0;
  while (tally.deliveries < 1_000_000) {
    const house = await new House({ tenant: MODEL_TENANT, gateway: MODEL_GATEWAY }).start();
    await fc.assert(
      fc.asyncProperty(histories, (history) => live(house, `r${next++}`, history, tally)),
      { numRuns: 500 },
    );
  }
  assert.ok(tally.resumes > 10_000, JSON.stringify(tally));
});
