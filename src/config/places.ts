// Where something stands in a configuration file, for those who explain what it does.

import { CONFIG_SHAPE } from "./fingerprint.ts";
import type { Path } from "./issue.ts";
import { Tree } from "./tree.ts";

export { formatPath, type Path } from "./issue.ts";

/** Finds the line of a key or value by its path; null for what the file does not say. The file MUST have been loaded. */
export function placesIn(
  text: string,
  env: Readonly<Record<string, string | undefined>>,
): (path: Path) => number | null {
  const tree = new Tree(text, CONFIG_SHAPE, env);
  return (path) => tree.has(path) ? tree.issue(path, "", "key").line ?? null : null;
}
