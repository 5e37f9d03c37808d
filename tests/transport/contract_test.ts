// Holds each adapter that this runtime has to the contract: on Bun the native one, on Deno the native one and
// `node.ts`, on Node `node.ts`. Each on plain TCP and on TLS.

import { createBunTransport } from "../../src/transport/bun.ts";
import { createDenoTransport } from "../../src/transport/deno.ts";
import { runtimeName } from "../../src/transport/mod.ts";
import { createNodeTransport } from "../../src/transport/node.ts";
import { createRawTransport } from "../../src/transport/raw/raw.ts";
import { makePair } from "../certificates.ts";
import { contract } from "./contract.ts";

const runtime = runtimeName();
for (const tls of [null, makePair("contract")]) {
  if (runtime === "bun") {
    contract("bun", createBunTransport, { tls });
    contract("raw", createRawTransport, { tls });
  } else contract("node", createNodeTransport, { tls });
  if (runtime === "deno") {
    contract("deno", createDenoTransport, {
      tls,
      tellsViolations: false,
      refusesUnmasked: false,
      tooLarge: 400,
    });
  }
}
