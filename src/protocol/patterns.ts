// Patterns for names of rooms, users and the like.

/** Names with `*` for any characters, none included. */
export class Patterns {
  /** As they were given. */
  readonly sources: readonly string[];
  readonly #exact = new Set<string>();
  /** Patterns with a `*`, split at it. */
  readonly #wild: (readonly string[])[] = [];

  constructor(patterns: readonly string[]) {
    this.sources = patterns;
    for (const pattern of patterns) {
      if (pattern.includes("*")) this.#wild.push(pattern.split("*"));
      else this.#exact.add(pattern);
    }
  }

  allows(name: string): boolean {
    return this.#exact.has(name) || this.#wild.some((parts) => matches(parts, name));
  }
}

/** Takes each part where it first fits, which is enough for `*` alone and never goes back. */
function matches(parts: readonly string[], text: string): boolean {
  const first = parts[0]!, last = parts.at(-1)!;
  if (!text.startsWith(first)) return false;
  const end = text.length - last.length;
  let at = first.length;
  for (let i = 1; i < parts.length - 1; i++) {
    const found = text.indexOf(parts[i]!, at);
    if (found < 0) return false;
    at = found + parts[i]!.length;
  }
  return at <= end && text.endsWith(last);
}
