// Which adapter each kind means on the runtime that runs this test.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createTransport, runtimeName, type TransportKind } from "../../src/transport/mod.ts";

const options = {
  hostname: "127.0.0.1",
  port: 0,
  maxMessageBytes: 1_000,
  idleTimeoutMs: 1_000,
  maxHeaderBytes: 16_384,
  headerTimeoutMs: 12_000,
  socketUnsentBytes: 0,
  yields: true,
  reusePort: false,
  tls: null,
};

const EXPECTED: Record<ReturnType<typeof runtimeName>, Record<TransportKind, string | RegExp>> = {
  bun: { auto: "bun", native: "bun", node: /^Cannot use transport "node" on Bun/, raw: "raw" },
  deno: {
    auto: "node",
    native: "deno",
    node: "node",
    raw: /^Cannot use transport "raw" elsewhere than on Bun/,
  },
  node: {
    auto: "node",
    native: /^Cannot use transport "native" on Node/,
    node: "node",
    raw: /^Cannot use transport "raw"/,
  },
};

test("a kind of transport is what the runtime has for it, or an error that names the mend", () => {
  for (
    const [kind, expected] of Object.entries(EXPECTED[runtimeName()]) as [TransportKind, string | RegExp][]
  ) {
    if (typeof expected === "string") assert.equal(createTransport(kind, options).name, expected);
    else assert.throws(() => createTransport(kind, options), { message: expected });
  }
});
