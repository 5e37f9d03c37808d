// A file beside the database that says: here is a state, of this id. So a database that has gone, or was replaced by an
// empty or another one, is not taken for a first start, which would let everybody in again who is banned.

import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Its name in `state_dir`. */
export const MARKER = "wsprism.id";

/** The id that is noted in a folder; null where there is none. */
export function markedId(folder: string): string | null {
  try {
    return readFileSync(join(folder, MARKER), "utf8").trim() || null;
  } catch (cause) {
    if ((cause as { code?: unknown }).code === "ENOENT") return null;
    throw cause;
  }
}

export function mark(folder: string, id: string): void {
  writeFileSync(join(folder, MARKER), `${id}\n`, { mode: 0o600 });
}

/** Bytes of a file, 0 where there is none. */
export function sizeOf(path: string): number {
  try {
    return statSync(path).size;
  } catch (cause) {
    if ((cause as { code?: unknown }).code === "ENOENT") return 0;
    throw cause;
  }
}
