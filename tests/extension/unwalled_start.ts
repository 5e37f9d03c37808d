// A host whose scripts run without a compartment, so that a test sees what the other walls hold by themselves. Nothing of
// wsPrism leads here; a build of it is made by the test that needs one.

import process from "node:process";
import { hostArguments, hostMain } from "../../src/extension/host/main.ts";

const here = import.meta.url;
const isSource = here.endsWith(".ts");
const script = new URL(isSource ? "./unwalled_worker.ts" : "./tests/extension/unwalled_worker.ts", here);
const folders = isSource && process.versions["bun"] !== undefined
  ? ["../../src", "../../node_modules", "./"].map((folder) => new URL(folder, here).pathname)
  : [];
const confinement = hostArguments(process.argv.slice(3));
if (confinement === null) process.exit(2);
process.exit(await hostMain(confinement, { entries: { script, wasm: script }, folders }));
