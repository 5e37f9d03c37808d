// Where the nats-server of the tests is; install.sh puts one there.

import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const INSTALLED = fileURLToPath(new URL("../../node_modules/.nats/nats-server", import.meta.url));

/** Its path, null where there is none. */
export function findNats(): string | null {
  const given = process.env["WSPRISM_NATS_SERVER"];
  const path = (process.env["PATH"] ?? "").split(delimiter).map((folder) => join(folder, "nats-server"));
  return [given, INSTALLED, ...path].find((one) => one !== undefined && runs(one)) ?? null;
}

/** Why tests that need it are skipped; false where they are not. */
export const WITHOUT_NATS: string | false = findNats() === null
  ? "no nats-server here: run tests/nats/install.sh"
  : false;

function runs(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
