// A million messages through a cluster of gateways and of NATS whose processes, links and streams come and go.

import { strict as assert } from "node:assert";
import process from "node:process";
import { test } from "node:test";
import { WITHOUT_NATS } from "../nats/find.ts";
import { ClusterChaos, newClusterTally } from "./cluster_chaos.ts";

const SEED = Number(process.env["WSPRISM_SOAK_SEED"] ?? 1);
const DELIVERIES = Number(process.env["WSPRISM_SOAK_DELIVERIES"] ?? 1_000_000);

test(
  `Of ${DELIVERIES} messages none is missed unsaid, comes twice or out of order, and all know who is there (seed ${SEED})`,
  { skip: WITHOUT_NATS },
  async () => {
    const tally = newClusterTally();
    const chaos = new ClusterChaos({ seed: SEED, members: 20, noisyMs: 10_000, burst: 3 }, tally);
    await chaos.run(DELIVERIES);
    assert.ok(tally.deliveries >= DELIVERIES && tally.recovered > 0, JSON.stringify(tally));
    // What was done is part of what is shown.
    process.stdout.write(`${JSON.stringify(tally)}\n`);
  },
);
