import { strict as assert } from "node:assert";
import process from "node:process";
import { test } from "node:test";
import fc from "fast-check";
import { HISTORY, HistoryHouse, Seen } from "./history_model.ts";

const HISTORIES = 1500;
/** Another one is for whoever looks for more; tests/soak goes on with chance. */
const SEED = Number(process.env["WSPRISM_SEED"] ?? 20_261_201);

test("Whatever happens to rooms that keep what is said, nobody misses a message unknowingly or hears one twice", async () => {
  const seen = new Seen();
  await fc.assert(
    fc.asyncProperty(HISTORY, ({ steps, budget }) => new HistoryHouse(seen, budget).run(steps)),
    { numRuns: HISTORIES, seed: SEED },
  );
  for (const outcome of ["recovered", "epoch", "trimmed", "ahead"]) {
    assert.ok((seen.reasons[outcome] ?? 0) > 20, JSON.stringify(seen));
  }
  assert.ok(seen.deliveries > 10_000 && seen.duplicates > 100 && seen.crashes > 100, JSON.stringify(seen));
});
