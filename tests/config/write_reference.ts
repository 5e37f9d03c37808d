// Writes docs/configuration.md from the schema:
//   deno run --allow-read=. --allow-write=docs/configuration.md tests/config/write_reference.ts

import { writeFileSync } from "node:fs";
import { configReference } from "../../src/config/document.ts";

writeFileSync(new URL("../../docs/configuration.md", import.meta.url), configReference());
