// `wsprism types`: what an extension sees, for editors and for `tsc` or `deno check`.

import { Command } from "commander";
import { API_TYPES } from "../extension/api_types.ts";
import { writeNow } from "./descriptor.ts";
import { type Done, EXIT } from "./exit.ts";

const EXAMPLE = `
Example:
  mkdir -p node_modules/wsprism && wsprism types > node_modules/wsprism/index.d.ts`;

export function typesCommand(done: Done): Command {
  return new Command("types")
    .description("print the types of extensions, a .d.ts file that editors complete and check scripts with")
    .addHelpText("after", EXAMPLE)
    .action(() => {
      writeNow(1, API_TYPES);
      done(EXIT.done);
    });
}
