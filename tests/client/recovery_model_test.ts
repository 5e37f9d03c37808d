import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { type History, houseFor, live, MODES, STEPS, Tally } from "./recovery_model.ts";

const step = fc.tuple(fc.constantFrom(...STEPS), fc.integer({ min: 0, max: 9 }));
const histories: fc.Arbitrary<History> = fc.array(step, { minLength: 2, maxLength: 40 });

/** More of them in tests/soak. */
const RUNS = 300;

for (const mode of MODES) {
  test(`Whatever the network loses, nothing is heard twice, late or silently not at all, nor sent so (${mode})`, async () => {
    const tally = new Tally();
    const house = await houseFor(mode);
    let next = 0;
    await fc.assert(
      fc.asyncProperty(histories, (history) => live(house, `r${next++}`, history, tally)),
      { numRuns: RUNS },
    );
    for (const what of ["sent", mode === "history" ? "reconnecting" : "resumed"]) {
      assert.ok((tally.met[what] ?? 0) > 0, `${what}: ${JSON.stringify(tally.met)}`);
    }
  });
}

test("A join that was not answered in time and is asked again loses nothing, though its answer overtakes what came before", async () => {
  const house = await houseFor("history");
  const history: History = [["break", 0], ["wait", 3], ["down", 1], ["away", 7], ["speak", 1], ["away", 8]];
  await live(house, "again", history, new Tally());
});
