// Deno's command, for tests that have to run it on Bun too.

import { spawnSync } from "node:child_process";
import process from "node:process";

/** What to write before Deno's own arguments: the one that runs this, the one of the PATH, or npm's. */
export const DENO: readonly string[] = process.versions["deno"] !== undefined
  ? [process.execPath]
  : spawnSync("deno", ["--version"], { stdio: "ignore" }).status === 0
  ? ["deno"]
  : ["npx", "-y", "deno@2.9.6"];
