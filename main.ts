// Arguments in, exit code out.

import process from "node:process";
import project from "./deno.json" with { type: "json" };
import { run } from "./src/cli/mod.ts";

process.exitCode = await run(process.argv.slice(2), { version: project.version, commit: "source" });
