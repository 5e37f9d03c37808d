// `wsprism version`: what is this?

import process from "node:process";
import { Command } from "commander";
import { writeNow } from "./descriptor.ts";
import { type Done, EXIT } from "./exit.ts";

/** What was built. */
export interface Build {
  readonly version: string;
  /** The commit it was built from; "source" when it was not built. */
  readonly commit: string;
}

/** Name and version of the runtime under us. */
export function runtimeLabel(): string {
  const { bun, deno, node } = process.versions as Record<string, string | undefined>;
  return bun !== undefined ? `bun ${bun}` : deno !== undefined ? `deno ${deno}` : `node ${node}`;
}

/** What was built, in a line. */
export function versionLine({ version, commit }: Build): string {
  return `wsprism ${version} (commit ${commit}, ${runtimeLabel()})`;
}

export function versionCommand(build: Build, done: Done): Command {
  return new Command("version")
    .description("print version, commit and runtime")
    .option("--json", "as JSON", false)
    .action((options: { json: boolean }) => {
      const { version, commit } = build;
      const runtime = runtimeLabel();
      writeNow(
        1,
        options.json ? `${JSON.stringify({ version, commit, runtime })}\n` : `${versionLine(build)}\n`,
      );
      done(EXIT.done);
    });
}
