// `wsprism extension-host`: the process in which a tenant's extensions run. Started by a gateway, and by nobody else, so no
// help tells of it.

import process from "node:process";
import { hostArguments, hostMain } from "../extension/host/main.ts";
import { EXIT } from "./exit.ts";

/** Ends the process. */
export async function extensionHost(args: readonly string[]): Promise<never> {
  const confinement = hostArguments(args);
  // Not by returning: workers that spin would keep it.
  process.exit(confinement === null ? EXIT.usage : await hostMain(confinement));
}
