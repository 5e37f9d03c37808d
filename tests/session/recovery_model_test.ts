import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { House } from "./house.ts";
import { type History, live, MODEL_GATEWAY, MODEL_TENANT, STEPS, Tally } from "./recovery_model.ts";

const step = fc.tuple(fc.constantFrom(...STEPS), fc.integer({ min: 0, max: 9 }));
const histories: fc.Arbitrary<History> = fc.array(step, { minLength: 2, maxLength: 24 });

/** 10⁵ histories a run, in parts that a busy machine ends in time; a house serves some of them, one after the other. */
const PARTS = 5;
const HOUSES = 10;
const RUNS = 2000;

const tally = new Tally();

for (let part = 1; part <= PARTS; part++) {
  test(`Within the window every message arrives once and in order, both ways; beyond it that is said: ${part} of ${PARTS}`, async () => {
    for (let i = 0; i < HOUSES; i++) {
      const house = await new House({ tenant: MODEL_TENANT, gateway: MODEL_GATEWAY }).start();
      let next = 0;
      await fc.assert(
        fc.asyncProperty(histories, async (history) => {
          await live(house, `r${next++}`, history, tally);
          house.turn();
        }),
        { numRuns: RUNS },
      );
      assert.deepEqual((house.gateway.census("acme") as { rooms: number }).rooms, 0);
    }
  });
}

test("The histories met everything that ends a session", () => {
  const reasons = ["expired", "overflow", "ended", "close 4000", "close 4501"];
  for (const reason of reasons) assert.ok((tally.ends[reason] ?? 0) > 0, reason);
  assert.ok(tally.resumes > 1000);
});
