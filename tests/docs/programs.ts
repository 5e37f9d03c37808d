// Programs that examples are written for and that a machine may lack.

import { execFileSync } from "node:child_process";

/** Runs a program of Python. @returns what it prints, null where there is no python3 */
export function python(code: string): string | null {
  try {
    return execFileSync("python3", ["-c", code], { encoding: "utf8" }).trim();
  } catch (error) {
    if ((error as { code?: string }).code === "ENOENT") return null;
    throw error;
  }
}

/** What a test says that needs python3. */
export const PYTHON: { readonly skip?: string } = python("print(1)") === null
  ? { skip: "there is no python3" }
  : {};
