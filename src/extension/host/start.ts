// Where an extension host starts when wsPrism runs from source; an executable has a verb for it (cli/extension_host.ts).

import process from "node:process";
import { hostArguments, hostMain } from "./main.ts";

const confinement = hostArguments(process.argv.slice(3));
process.exit(confinement === null ? 2 : await hostMain(confinement));
