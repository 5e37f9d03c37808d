// Holds each adapter that this runtime has to the contract: on Bun the native one, on Deno the native one and
// `node.ts`, on Node `node.ts`.

import { createBunTransport } from "../../src/transport/bun.ts";
import { createDenoTransport } from "../../src/transport/deno.ts";
import { runtimeName } from "../../src/transport/mod.ts";
import { createNodeTransport } from "../../src/transport/node.ts";
import { contract } from "./contract.ts";

const runtime = runtimeName();
if (runtime === "bun") contract("bun", createBunTransport);
else contract("node", createNodeTransport);
if (runtime === "deno") {
  contract("deno", createDenoTransport, { tellsViolations: false, refusesUnmasked: false });
}
