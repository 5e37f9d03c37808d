// The lines of the configuration in use, each looked for once: that takes a thread, and a page asks every few seconds.

import { formatPath, type Path } from "../config/places.ts";
import type { Config } from "../config/schema.ts";

/** Where a text says these; null where it cannot be asked. */
export type FindLines = (
  paths: readonly Path[],
  text?: string,
) => Promise<readonly (number | null)[] | null>;

export interface KnownLinesOptions {
  readonly config: () => Config;
  readonly find: FindLines;
}

export class KnownLines {
  readonly #options: KnownLinesOptions;
  #known: { readonly of: Config; readonly lines: Map<string, number | null> } | null = null;

  constructor(options: KnownLinesOptions) {
    this.#options = options;
  }

  /** Those of a text, or of the configuration in use where none is given; null for what it does not say. */
  async of(paths: readonly Path[], text?: string): Promise<readonly (number | null)[]> {
    const found = text === undefined ? await this.#inUse(paths) : await this.#options.find(paths, text);
    return found ?? paths.map(() => null);
  }

  async #inUse(paths: readonly Path[]): Promise<readonly (number | null)[] | null> {
    const config = this.#options.config();
    if (this.#known?.of !== config) this.#known = { of: config, lines: new Map() };
    const { lines } = this.#known;
    const missing = paths.filter((path) => !lines.has(formatPath(path)));
    if (missing.length > 0) {
      const found = await this.#options.find(missing);
      if (found === null) return null;
      for (const [i, path] of missing.entries()) lines.set(formatPath(path), found[i] ?? null);
    }
    return paths.map((path) => lines.get(formatPath(path)) ?? null);
  }
}
