// A million mutated TCP frames and hellos, and a hundred thousand POST bodies: nobody else notices, and memory is as before.

import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { GatewayProcess } from "../flow/gateway_process.ts";
import { fuzzPosts } from "../flow/sse_fuzz.ts";
import { fuzzTcp } from "../flow/tcp_fuzz.ts";

const MEBI = 1_048_576;
/** What a collector may leave for later. */
const GROWTH_MAX = 64 * MEBI;

const config = {
  gateway: {
    drain_grace_ms: 0,
    tcp: { listen: "127.0.0.1:0" },
    handshake_limit: { enabled: false },
  },
  tenants: [{
    id: "acme",
    policy: {
      ext_allowlist: ["room:*", "chat:*"],
      hot_allowlist: ["1:*"],
      rate_limit_rps: 1_000_000,
      rate_limit_burst: 1_000_000,
    },
  }],
};

async function flat(
  what: string,
  warm: number,
  count: number,
  fuzz: (gateway: GatewayProcess, count: number) => Promise<void>,
) {
  const gateway = await GatewayProcess.start(config);
  try {
    await fuzz(gateway, warm);
    const before = gateway.residentBytes();
    await fuzz(gateway, count);
    await gateway.empty();
    const grown = gateway.residentBytes() - before;
    process.stdout.write(
      `${what}: memory ${Math.round(before / MEBI)} MiB, grown by ${Math.round(grown / MEBI)}\n`,
    );
    assert.ok(grown < GROWTH_MAX, `${what} left ${grown} bytes`);
  } finally {
    await gateway.stop();
  }
}

test("1,000,000 mutated TCP frames", async () => {
  await flat("TCP frames", 300_000, 1_000_000, fuzzTcp);
});

test("100,000 mutated POST bodies", async () => {
  await flat("POST bodies", 20_000, 100_000, async (gateway, count) => {
    // Several at a time: each client waits for its answers.
    const each = count / 4;
    await Promise.all([1, 2, 3, 4].map((number) => fuzzPosts(gateway, each, `fuzz${number}`)));
  });
});
