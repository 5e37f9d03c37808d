// The command line. What a gateway starts for its extensions goes its own way from here, with none of the other verbs
// loaded: it is to be there at once, and has no business with what they bring along.

import { HOST_VERB } from "../extension/launch.ts";
import type { Build } from "./version.ts";

/** Runs a command line. @returns the exit code, see `EXIT` */
export async function run(argv: readonly string[], build: Build): Promise<number> {
  if (argv[0] === HOST_VERB) {
    const { extensionHost } = await import("./extension_host.ts");
    return await extensionHost(argv.slice(1));
  }
  const { runVerb } = await import("./verbs.ts");
  return await runVerb(argv, build);
}
