// Values in the place of variables that are not to be had, or not to be told: with them a file can be looked at by somebody
// who is not to learn a secret.

import { createHash } from "node:crypto";
import type { ConfigIssue } from "./issue.ts";

/** What may stand in for a variable: the first that the file can be loaded with. */
export const STAND_INS: readonly ((name: string) => string)[] = [
  // Long enough for a secret, and right in hexadecimal, base64 and plain text; another for each variable.
  (name) => createHash("sha256").update(name).digest("hex"),
  () => "1",
  () => "true",
  (name) => `https://${name.toLowerCase().replaceAll("_", "-")}.invalid`,
  () => "127.0.0.1:1",
];

/** Of a value that is no secret: a number of a few digits, or a yes or no. */
const PLAIN = /^(\d{1,9}|true|false)$/;
/** Variables that a text may name before nothing stands in for the rest. */
const NAMES_MAX = 1000;

/** The variables of a text that its reader may not know: plain numbers and flags as they are, stand-ins for all others. */
export class StandIns {
  readonly #values: Record<string, string> = {};
  /** By name, which stand-in is tried. */
  readonly #tries = new Map<string, number>();

  constructor(text: string, env: Readonly<Record<string, string | undefined>>) {
    for (const [, name] of text.matchAll(/(?<!\$)\$\{([A-Za-z_]\w*)\}/g)) {
      if (Object.keys(this.#values).length === NAMES_MAX) break;
      const value = plain(env, name!);
      if (value === undefined) this.#tries.set(name!, 0);
      this.#values[name!] = value ?? STAND_INS[0]!(name!);
    }
  }

  get env(): Readonly<Record<string, string>> {
    return this.#values;
  }

  /** Puts another stand-in where one did not fit. @returns whether there is another to try */
  adapt(failures: readonly ConfigIssue[]): boolean {
    let changed = false;
    for (const [name, at] of this.#tries) {
      const next = STAND_INS[at + 1];
      if (next === undefined || !failures.some(({ message }) => message.includes(`\${${name}}`))) continue;
      this.#tries.set(name, at + 1);
      this.#values[name] = next(name);
      changed = true;
    }
    return changed;
  }
}

/** A variable's value, where it is one that may be told; Deno guards each of them. */
function plain(env: Readonly<Record<string, string | undefined>>, name: string): string | undefined {
  try {
    const value = env[name];
    return value !== undefined && PLAIN.test(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
