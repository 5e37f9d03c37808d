// `wsprism check`: would this configuration start? And `wsprism check --diff`: what would a reload change?

import { Command } from "commander";
import { type ConfigDiff, diffConfigs, formatChange, IDLE_FIXED } from "../config/diff.ts";
import { formatWarning } from "../config/load.ts";
import { loadFile } from "./config_file.ts";
import { writeNow } from "./descriptor.ts";
import { type Done, EXIT } from "./exit.ts";
import { runtimeLabel } from "./version.ts";

interface CheckOptions {
  readonly config?: string;
  readonly dev: boolean;
  readonly diff: boolean;
}

export function checkCommand(done: Done): Command {
  return new Command("check")
    .description("check a configuration without starting anything: every failure at once, warnings too")
    .option("--config <file>", "the configuration (default: ./wsprism.yaml, then ./config/wsprism.yaml)")
    .option("--dev", "check for a start with --dev", false)
    .option("--diff", "tell what a reload from OLD to NEW would change", false)
    .argument("[old]", "with --diff: the configuration in use")
    .argument("[new]", "with --diff: the one to come")
    .action(
      async (
        before: string | undefined,
        after: string | undefined,
        options: CheckOptions,
        command: Command,
      ) => {
        const files = [before, after].filter((file) => file !== undefined);
        if (!options.diff && before !== undefined) command.error(`error: too many arguments: ${before}`);
        if (!options.diff) return done(await check(options));
        if (files.length < 2) command.error("error: --diff takes two files: --diff OLD NEW");
        if (options.config !== undefined) command.error("error: --diff does not go with --config");
        done(await diff(before!, after!, options.dev));
      },
    );
}

async function check({ config: named, dev }: CheckOptions): Promise<number> {
  const loaded = await loadFile(named, dev);
  if (loaded === null) return EXIT.config;
  const { file, config, warnings } = loaded;
  for (const warning of warnings) writeNow(1, `${formatWarning(file, warning)}\n`);
  const tenants = config.tenants.length === 1 ? "1 tenant" : `${config.tenants.length} tenants`;
  const warned = warnings.length === 1 ? "1 warning" : `${warnings.length} warnings`;
  writeNow(1, `${file} is good: ${tenants}, ${warned}\n`);
  return EXIT.done;
}

async function diff(before: string, after: string, dev: boolean): Promise<number> {
  // Both, so that all that is wrong with either is told.
  const [one, other] = [await loadFile(before, dev), await loadFile(after, dev)];
  if (one === null || other === null) return EXIT.config;
  // As a gateway on this runtime would.
  const native = one.config.gateway.transport === "native" && runtimeLabel().startsWith("deno");
  writeNow(1, describeDiff(diffConfigs(one.config, other.config, native ? IDLE_FIXED : [])));
  return EXIT.done;
}

/** A difference for people: by tenant, and then by key. */
function describeDiff({ changes, added, removed }: ConfigDiff): string {
  if (changes.length + added.length + removed.length === 0) return "A reload would change nothing.\n";
  const lines: string[] = [];
  let section: string | null | undefined;
  for (const change of changes) {
    if (change.tenant !== section) {
      lines.push(change.tenant === null ? "the gateway" : `tenant ${change.tenant}`);
    }
    section = change.tenant;
    lines.push(`  ${formatChange(change)}`);
  }
  for (const id of added) lines.push(`tenant ${id}: added`);
  for (const id of removed) lines.push(`tenant ${id}: removed, its sessions end (4509)`);
  return `${lines.join("\n")}\n`;
}
