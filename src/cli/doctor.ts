// `wsprism doctor`: which walls stand around extensions on this machine, and what to do about those that do not.

import { Command } from "commander";
import { launchHost } from "../extension/launch.ts";
import { reportWalls, type WallReport } from "../extension/wall_report.ts";
import { writeNow } from "./descriptor.ts";
import { type Done, EXIT } from "./exit.ts";
import { runtimeLabel } from "./version.ts";

/** What each wall keeps, in the order of the table. */
const WALLS = [
  ["permissions", "the runtime's own permissions, none of which a worker has"],
  ["landlock", "files, connections and signals, refused by the kernel"],
  ["seccomp", "sockets, programs and other system calls, refused by the kernel"],
] as const;

export function doctorCommand(done: Done): Command {
  return new Command("doctor")
    .description("tell which walls stand around extensions on this machine")
    .option("--json", "as JSON", false)
    .addHelpText(
      "after",
      "\nExit code: 0 when extensions can run with confinement: required, 1 when they cannot.",
    )
    .action(async ({ json }: { json: boolean }) => {
      const report = await reportWalls(launchHost);
      const runtime = runtimeLabel();
      writeNow(1, json ? `${JSON.stringify({ runtime, ...report })}\n` : text(report, runtime));
      done(report.enough ? EXIT.done : EXIT.failed);
    });
}

function text({ enough, walls, failure, landlockAbi, system, advice }: WallReport, runtime: string): string {
  const lines = [`${runtime} on ${system}`];
  if (landlockAbi !== null) {
    lines.push(`Landlock in this kernel: ${landlockAbi === 0 ? "none" : `version ${landlockAbi}`}`);
  }
  lines.push("");
  if (failure !== null) lines.push(`No extension host could be started: ${failure}`);
  else {
    lines.push("  compartment  up        scripts have ctx and the language, and nothing else");
    for (const [wall, keeps] of WALLS) {
      const state = walls![wall];
      const shown = state === "up" ? "up" : state === "not on this runtime" ? "-" : "missing";
      lines.push(`  ${wall.padEnd(12)} ${shown.padEnd(9)} ${shown === "missing" ? state : keeps}`);
    }
    lines.push("  SIGKILL      up        ends what takes more time or memory than it may");
  }
  lines.push("", `extensions.confinement: required ${enough ? "can" : "cannot"} be met here.`);
  for (const sentence of advice) lines.push(`- ${sentence}`);
  return `${lines.join("\n")}\n`;
}
