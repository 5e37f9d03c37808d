// `wsprism check`: would this configuration start?

import process from "node:process";
import { Command } from "commander";
import { formatWarning } from "../config/load.ts";
import { loadFile } from "./config_file.ts";
import { type Done, EXIT } from "./exit.ts";

export function checkCommand(done: Done): Command {
  return new Command("check")
    .description("check a configuration without starting anything: every failure at once, warnings too")
    .option("--config <file>", "the configuration (default: ./wsprism.yaml, then ./config/wsprism.yaml)")
    .option("--dev", "check for a start with --dev", false)
    .action(async (options: { config?: string; dev: boolean }) => done(await check(options)));
}

async function check(options: { config?: string; dev: boolean }): Promise<number> {
  const loaded = await loadFile(options.config, options.dev);
  if (loaded === null) return EXIT.config;
  const { file, config, warnings } = loaded;
  for (const warning of warnings) process.stdout.write(`${formatWarning(file, warning)}\n`);
  const tenants = config.tenants.length === 1 ? "1 tenant" : `${config.tenants.length} tenants`;
  const warned = warnings.length === 1 ? "1 warning" : `${warnings.length} warnings`;
  process.stdout.write(`${file} is good: ${tenants}, ${warned}\n`);
  return EXIT.done;
}
