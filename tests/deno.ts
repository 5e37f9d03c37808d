// Where tests that need Deno beside the runtime that runs them find it: it need not be on the PATH.

import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import process from "node:process";

/** Deno's program; null where there is none: `tests/run.ts`, which runs on Deno, says where it is. */
export const DENO: string | null = process.versions["deno"] === undefined
  ? process.env["WSPRISM_DENO"] ?? onPath()
  : process.execPath;

function onPath(): string | null {
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  return folders.map((folder) => join(folder, "deno")).find(isProgram) ?? null;
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
