// `wsprism schema`: the configuration's JSON Schema, for editors.

import { Command } from "commander";
import { writeNow } from "./descriptor.ts";
import { type Done, EXIT } from "./exit.ts";

export function schemaCommand(done: Done): Command {
  return new Command("schema")
    .description("print the configuration's JSON Schema, for editors that complete and check YAML")
    .action(async () => {
      // Loaded when asked for: no start should pay for it.
      const { configJsonSchema } = await import("../config/document.ts");
      writeNow(1, `${JSON.stringify(configJsonSchema(), null, 2)}\n`);
      done(EXIT.done);
    });
}
