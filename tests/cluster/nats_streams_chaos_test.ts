import { strict as assert } from "node:assert";
import { test } from "node:test";
import { WITHOUT_NATS } from "../nats/find.ts";
import { Chaos, newTally } from "./stream_chaos.ts";

for (const server of [false, true]) {
  const what = server
    ? "servers that die, lose their end or their stream"
    : "connections cut and messages lost on the way";
  test(`Through ${what}, nobody misses a message unsaid, hears one twice or out of order`, {
    skip: WITHOUT_NATS,
  }, async () => {
    const tally = newTally();
    for (let seed = 1; seed <= 3; seed++) {
      await new Chaos({ seed, steps: 1000, server, maxMessages: 50, clients: 12, burst: 20 }, tally).run();
    }
    assert.ok(
      tally.deliveries > 5000 && tally.recovered > 100 && tally.lostRecords > 20,
      JSON.stringify(tally),
    );
  });
}
