// Finding, reading and refusing the configuration file, for every verb that takes one.

import { existsSync } from "node:fs";
import process from "node:process";
import { type ConfigIssue, formatIssue, readConfig } from "../config/load.ts";
import type { SchemaCodes } from "../config/data_schema.ts";
import type { Config } from "../config/schema.ts";
import { writeNow } from "./descriptor.ts";

/** Where a configuration is looked for when none is named, in this order. */
const DEFAULT_FILES = ["./wsprism.yaml", "./config/wsprism.yaml"];

export interface LoadedFile {
  readonly file: string;
  readonly config: Config;
  readonly warnings: readonly ConfigIssue[];
  readonly schemas: SchemaCodes;
  /** Further files that it names, in full. */
  readonly files: readonly string[];
}

/** Loads `--config`, or a default file; null when it was refused, the reasons printed to stderr. */
export async function loadFile(named: string | undefined, dev: boolean): Promise<LoadedFile | null> {
  const file = named ?? DEFAULT_FILES.find((path) => existsSync(path));
  if (file === undefined) {
    const places = DEFAULT_FILES.join(" or ");
    writeNow(2, `No configuration: there is no ${places}; name a file with --config FILE\n`);
    return null;
  }
  const result = await readConfig(file, { env: process.env, dev });
  if (result.ok) {
    const { config, warnings, schemas, files } = result;
    return { file, config, warnings, schemas, files };
  }
  for (const failure of result.failures) writeNow(2, `${formatIssue(file, failure)}\n`);
  return null;
}
