// The variables that a configuration is completed with: the environment's, those of a file, and for a check where secrets
// are not to be had, others in their place.

import process from "node:process";
import type { Command } from "commander";
import { type Environment, readEnvFile } from "../config/env_file.ts";
import type { ConfigIssue } from "../config/issue.ts";
import { STAND_INS } from "../config/stand_ins.ts";

/** Options of verbs that look at a configuration without serving it. */
export interface VariableOptions {
  readonly envFile?: string;
  readonly allowUnset?: boolean;
}

/** `--env-file`, of each verb that reads a configuration. */
export const ENV_FILE = [
  "--env-file <file>",
  "take variables from a file of NAME=value lines; they go before the environment's",
] as const;

/** Adds the options to a verb. */
export function variableOptions(command: Command): Command {
  return command
    .option(...ENV_FILE)
    .option(
      "--allow-unset",
      "let a placeholder stand in for each variable that is not set, as where secrets are not at hand",
    );
}

/** What of the environment replaces keys by itself. */
const OVERRIDES = ["WSPRISM_LISTEN", "PORT"];

/** Why an extension cannot be given a variable (see config/extensions.ts). */
const UNSET = /names a variable that is not set: (\w+)$/;

/** The variables of one file. */
export class Variables {
  readonly env: Environment;
  /** Variables that are not set and were replaced. */
  readonly unset: string[] = [];
  readonly #allowUnset: boolean;
  /** By name, which placeholder is tried. */
  readonly #tries = new Map<string, number>();
  readonly #values: Record<string, string> = {};

  /** @throws in one line, when the file of variables cannot be read */
  constructor(text: string, { envFile, allowUnset = false }: VariableOptions) {
    const given = envFile === undefined ? {} : readEnvFile(envFile);
    // Any word may be the name of one: in `${…}`, and in what an extension is given.
    const names = new Set([...OVERRIDES, ...text.match(/\b[A-Za-z_]\w*/g) ?? []]);
    const needed = new Set([...text.matchAll(/(?<!\$)\$\{([A-Za-z_]\w*)\}/g)].map((found) => found[1]!));
    this.#allowUnset = allowUnset;
    const { unset } = this;
    for (const name of names) {
      if (Object.hasOwn(given, name)) this.#values[name] = given[name]!;
      else if (allowUnset && needed.has(name) && guarded(name) === undefined) {
        unset.push(name);
        this.#tries.set(name, 0);
        this.#values[name] = STAND_INS[0]!(name);
      } else if (has(name)) {
        // Asked for when it is needed: Deno guards each variable, and the file's own message says which.
        Object.defineProperty(this.#values, name, { get: () => process.env[name], enumerable: true });
      }
    }
    this.env = this.#values;
  }

  /** Puts another placeholder where one did not fit. @returns whether there is another to try */
  adapt(failures: readonly ConfigIssue[]): boolean {
    let changed = false;
    for (const { message } of this.#allowUnset ? failures : []) {
      const name = UNSET.exec(message)?.[1];
      if (name === undefined || Object.hasOwn(this.#values, name)) continue;
      this.#values[name] = STAND_INS[0]!(name);
      this.unset.push(name);
      changed = true;
    }
    for (const [name, at] of this.#tries) {
      const at1 = at + 1, next = STAND_INS[at1];
      if (next === undefined || !failures.some(({ message }) => message.includes(`\${${name}}`))) continue;
      this.#tries.set(name, at1);
      this.#values[name] = next(name);
      changed = true;
    }
    return changed;
  }
}

/** Whether it is set, or may not be looked at. */
function has(name: string): boolean {
  try {
    return process.env[name] !== undefined;
  } catch {
    return true;
  }
}

function guarded(name: string): string | undefined {
  try {
    return process.env[name];
  } catch {
    return undefined;
  }
}
