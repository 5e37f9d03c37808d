// A million messages through NATS and networks that lose them, servers that die, lose their end or their stream.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import process from "node:process";
import { Chaos, newTally } from "../cluster/stream_chaos.ts";
import { WITHOUT_NATS } from "../nats/find.ts";

const SEED = Number(process.env["WSPRISM_SOAK_SEED"] ?? 1);
const DELIVERIES = Number(process.env["WSPRISM_SOAK_DELIVERIES"] ?? 1_000_000);

test(
  `Of ${DELIVERIES} messages of rooms in NATS none is missed unsaid, comes twice or out of order (seed ${SEED})`,
  {
    skip: WITHOUT_NATS,
  },
  async () => {
    const tally = newTally();
    for (let seed = SEED; tally.deliveries < DELIVERIES; seed++) {
      const server = seed % 2 === 0;
      await new Chaos({ seed, steps: 2000, server, maxMessages: 500, clients: 60, burst: 60 }, tally).run();
    }
    assert.ok(
      tally.recovered > DELIVERIES / 1000 && tally.lostRecords > DELIVERIES / 1000,
      JSON.stringify(tally),
    );
    // What was done is part of what is shown.
    process.stdout.write(`${JSON.stringify(tally)}\n`);
  },
);
