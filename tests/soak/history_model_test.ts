// A million messages in rooms that keep what is said, in long histories of clients that come and go, failing disks and
// crashes. `WSPRISM_SOAK_SEED` says with what chance, `WSPRISM_SOAK_DELIVERIES` how many.

import process from "node:process";
import { test } from "node:test";
import fc from "fast-check";
import { HistoryHouse, historyOf, Seen } from "../room/history_model.ts";

const SEED = Number(process.env["WSPRISM_SOAK_SEED"] ?? Date.now() % 1_000_000);
const DELIVERIES = Number(process.env["WSPRISM_SOAK_DELIVERIES"] ?? 1_000_000);

test(`Of ${DELIVERIES} messages none is missed unknowingly and none heard twice (seed ${SEED})`, async () => {
  const seen = new Seen();
  for (let round = 0; seen.deliveries < DELIVERIES; round++) {
    await fc.assert(
      fc.asyncProperty(historyOf(500), ({ steps, budget }) => new HistoryHouse(seen, budget).run(steps)),
      { numRuns: 100, seed: SEED + round },
    );
  }
  process.stdout.write(`${JSON.stringify(seen)}\n`);
});
