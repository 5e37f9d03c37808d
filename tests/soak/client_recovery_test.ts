// A hundred thousand histories of a network that loses things, between the client library and a gateway.

import { strict as assert } from "node:assert";
import process from "node:process";
import { test } from "node:test";
import fc from "fast-check";
import { type History, houseFor, live, MODES, STEPS, Tally } from "../client/recovery_model.ts";

const HISTORIES = Number(process.env["WSPRISM_SOAK_HISTORIES"] ?? 100_000);
/** One gateway lives through so many. */
const RUNS = 500;

const step = fc.tuple(fc.constantFrom(...STEPS), fc.integer({ min: 0, max: 9 }));
const histories: fc.Arbitrary<History> = fc.array(step, { minLength: 2, maxLength: 40 });

/** What happens to a client, sooner or later. */
const MET = {
  resume: ["sent", "resumed", "no_history", "CONNECTION_LOST", "OUTBOX_FULL", "EXPIRED", "TIMEOUT"],
  history: ["sent", "trimmed", "OUTBOX_FULL", "EXPIRED", "TIMEOUT"],
  both: ["sent", "resumed", "trimmed", "OUTBOX_FULL", "EXPIRED", "TIMEOUT"],
} as const;

for (const mode of MODES) {
  test(`In a hundred thousand histories nothing is lost without a word, heard twice or sent twice (${mode})`, async () => {
    const tally = new Tally();
    let next = 0;
    while (next < HISTORIES / MODES.length) {
      const house = await houseFor(mode);
      await fc.assert(
        fc.asyncProperty(histories, (history) => live(house, `r${next++}`, history, tally)),
        { numRuns: RUNS },
      );
    }
    for (const what of MET[mode]) {
      assert.ok((tally.met[what] ?? 0) > 0, `${what}: ${JSON.stringify(tally.met)}`);
    }
  });
}
