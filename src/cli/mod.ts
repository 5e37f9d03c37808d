// The command line. What a gateway starts for its extensions goes its own way from here, with none of the other verbs
// loaded: it is to be there at once, and has no business with what they bring along.

import process from "node:process";
import { HOST_VERB } from "../extension/launch.ts";
import { ProcessSignals } from "./signals.ts";
import type { Build } from "./version.ts";

/** Runs a command line. @returns the exit code, see `EXIT` */
export async function run(argv: readonly string[], build: Build): Promise<number> {
  if (argv[0] === HOST_VERB) {
    const { extensionHost } = await import("./extension_host.ts");
    return await extensionHost(argv.slice(1));
  }
  // Before anything else is even loaded: a supervisor may change its mind at once.
  const signals = argv[0] === "start" ? new ProcessSignals() : null;
  // A reader that has gone (`| head -1`) is no failure of ours. What waits for no reader writes past these streams.
  for (const stream of [process.stdout, process.stderr]) {
    if (stream.listenerCount("error") === 0) stream.on("error", () => {});
  }
  const { runVerb } = await import("./verbs.ts");
  return await runVerb(argv, { build, signals });
}
