// The lines at which the configuration in use says something, each looked for once: finding them takes a thread, and a page
// asks every few seconds.

import { formatPath, type Path } from "../config/places.ts";
import type { Config } from "../config/schema.ts";

/** Finds where a text says these, that of the configuration in use where none is given; null where that cannot be found. */
export type FindLines = (
  paths: readonly Path[],
  text?: string,
) => Promise<readonly (number | null)[] | null>;

/** The same, remembering what was found until another configuration is in use. */
export function knownLines(
  { config, lines: find }: { readonly config: () => Config; readonly lines: FindLines },
): (paths: readonly Path[], text?: string) => Promise<readonly (number | null)[]> {
  let of: Config | null = null, known = new Map<string, number | null>();
  return async (paths, text) => {
    if (text !== undefined) return await find(paths, text) ?? paths.map(() => null);
    if (of !== config()) {
      of = config();
      known = new Map();
    }
    const lines = known;
    const missing = paths.filter((path) => !lines.has(formatPath(path)));
    const found = missing.length === 0 ? [] : await find(missing) ?? [];
    for (const [i, line] of found.entries()) lines.set(formatPath(missing[i]!), line);
    return paths.map((path) => lines.get(formatPath(path)) ?? null);
  };
}
