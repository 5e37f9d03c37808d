// Finding, reading and refusing the configuration file, for every verb that takes one.

import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import process from "node:process";
import {
  type ConfigIssue,
  FILE_BYTES_MAX,
  type FileResult,
  formatIssue,
  readConfig,
  STDIN,
} from "../config/load.ts";
import type { SchemaCodes } from "../config/data_schema.ts";
import type { Config } from "../config/schema.ts";
import { writeNow } from "./descriptor.ts";
import type { Environment } from "../config/env_file.ts";
import { type VariableOptions, Variables } from "./variables.ts";

/** Where a configuration is looked for when none is named, in this order. */
const DEFAULT_FILES = ["./wsprism.yaml", "./config/wsprism.yaml"];

/** What `--config` is, in every verb's help. */
export const CONFIG_FLAGS = "-c, --config <file>";
export const CONFIG_HELP =
  "the configuration, - for stdin (default: ./wsprism.yaml, then ./config/wsprism.yaml)";

export interface LoadedFile {
  readonly file: string;
  readonly text: string;
  readonly config: Config;
  readonly warnings: readonly ConfigIssue[];
  readonly schemas: SchemaCodes;
  /** Further files that it names, in full. */
  readonly files: readonly string[];
  /** What it was completed with. */
  readonly env: Environment;
  /** Variables that are not set, and for which others stood in. */
  readonly unset: readonly string[];
}

/** Loads `--config`, or a default file; null when it was refused, the reasons printed to stderr. */
export async function loadFile(
  named: string | undefined,
  dev: boolean,
  variables: VariableOptions = {},
): Promise<LoadedFile | null> {
  const file = named ?? DEFAULT_FILES.find((path) => existsSync(path));
  if (file === undefined) {
    const places = DEFAULT_FILES.join(" or ");
    writeNow(2, `No configuration: there is no ${places}; name a file with --config FILE\n`);
    return null;
  }
  const shown = file === STDIN ? "stdin" : file;
  const bytes = file === STDIN ? await fromStdin() : await readFile(file).catch(() => null);
  const text = bytes === null ? "" : new TextDecoder().decode(bytes);
  let values: Variables;
  try {
    values = new Variables(text, variables);
  } catch (error) {
    writeNow(2, `${error instanceof Error ? error.message : String(error)}\n`);
    return null;
  }
  const { env, unset } = values;
  let result: FileResult;
  do {
    // What cannot be read is told by the one that reads files.
    result = await readConfig(file, { env, dev, ...(bytes === null ? {} : { bytes }) });
  } while (!result.ok && values.adapt(result.failures));
  if (result.ok) {
    const { config, warnings, schemas, files } = result;
    return { file: shown, text, config, warnings, schemas, files, env, unset };
  }
  for (const failure of result.failures) writeNow(2, `${formatIssue(shown, failure)}\n`);
  return null;
}

/** All of stdin, or one byte more than a configuration may have. */
async function fromStdin(): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of process.stdin) {
    parts.push(part as Uint8Array);
    if ((length += (part as Uint8Array).length) > FILE_BYTES_MAX) break;
  }
  return Buffer.concat(parts);
}
