// `wsprism check`: would this configuration start? And `wsprism check --diff`: what would a reload change?

import { Command } from "commander";
import { type ConfigDiff, diffConfigs, formatChange, IDLE_FIXED } from "../config/diff.ts";
import { type ConfigIssue, formatIssue, formatWarning } from "../config/load.ts";
import { formatPath, type Path, placesIn } from "../config/places.ts";
import type { Config } from "../config/schema.ts";
import { stateFolderFault } from "../config/state_folder.ts";
import { CONFIG_FLAGS, CONFIG_HELP, loadFile } from "./config_file.ts";
import { writeNow } from "./descriptor.ts";
import { type Done, EXIT } from "./exit.ts";
import { exposure } from "./exposure.ts";
import { type VariableOptions, variableOptions } from "./variables.ts";
import { runtimeLabel } from "./version.ts";

interface CheckOptions extends VariableOptions {
  readonly config?: string;
  readonly dev: boolean;
  readonly diff: boolean;
}

export function checkCommand(done: Done): Command {
  return variableOptions(new Command("check"))
    .description(
      "check a configuration without starting anything: every failure at once, warnings, and what it opens to whom",
    )
    .option(CONFIG_FLAGS, CONFIG_HELP)
    .option("--dev", "check for a start with --dev", false)
    .option("--diff", "tell what a reload from OLD to NEW would change", false)
    .argument("[file]", "the configuration, as --config; with --diff: the one in use")
    .argument("[new]", "with --diff: the one to come")
    .action(
      async (
        before: string | undefined,
        after: string | undefined,
        options: CheckOptions,
        command: Command,
      ) => {
        const files = [before, after].filter((file) => file !== undefined);
        if (!options.diff) {
          const more = options.config === undefined ? after : before;
          if (more !== undefined) {
            command.error(`error: too many arguments: ${more}; one configuration is checked`);
          }
          return done(await check({ ...options, ...(before === undefined ? {} : { config: before }) }));
        }
        if (files.length < 2) command.error("error: --diff takes two files: --diff OLD NEW");
        if (options.config !== undefined) command.error("error: --diff does not go with --config");
        done(await diff(before!, after!, options));
      },
    );
}

async function check(options: CheckOptions): Promise<number> {
  const loaded = await loadFile(options.config, options.dev, options);
  if (loaded === null) return EXIT.config;
  const { file, config, text, env, unset } = loaded;
  const fault = stateFault(config, placesIn(text, env));
  // Where secrets are not at hand the gateway will not run either: its folders are another machine's.
  if (fault !== null && !options.allowUnset) {
    writeNow(2, `${formatIssue(file, fault)}\n`);
    return EXIT.config;
  }
  const warnings = fault === null ? loaded.warnings : [...loaded.warnings, fault];
  for (const warning of warnings) writeNow(1, `${formatWarning(file, warning)}\n`);
  const tenants = config.tenants.length === 1 ? "1 tenant" : `${config.tenants.length} tenants`;
  const warned = warnings.length === 1 ? "1 warning" : `${warnings.length} warnings`;
  if (unset.length > 0) {
    writeNow(1, `Not set, and taken to be anything that fits: ${unset.join(", ")}\n`);
  }
  writeNow(1, `${file} is good: ${tenants}, ${warned}\n`);
  writeNow(1, `\n${exposure(config, options.dev).map((line) => `  ${line}\n`).join("")}`);
  return EXIT.done;
}

/** What stands in the way of the state, where the file names a folder for it. */
function stateFault({ gateway }: Config, lineOf: (path: Path) => number | null): ConfigIssue | null {
  const { state_dir: folder } = gateway;
  const fault = folder === undefined ? null : stateFolderFault(folder);
  if (fault === null) return null;
  const path = ["gateway", "state_dir"], line = lineOf(path);
  return { path: formatPath(path), message: `"${folder}" ${fault}`, ...(line === null ? {} : { line }) };
}

async function diff(before: string, after: string, options: CheckOptions): Promise<number> {
  const { dev } = options;
  // Both, so that all that is wrong with either is told.
  const [one, other] = [await loadFile(before, dev, options), await loadFile(after, dev, options)];
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
