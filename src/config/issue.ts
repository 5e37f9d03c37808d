// What is wrong, or unwise, in a configuration file: where, and in words.

/** Keys and list indexes from the root of the file. */
export type Path = readonly (string | number)[];

/** A finding. `message` goes on where the path ends: "must be 1..5, got 7". */
export interface ConfigIssue {
  /** Such as `tenants[2].limits.max_frame_bytes`; empty for the file as a whole. */
  readonly path: string;
  readonly message: string;
  /** Counted from 1; absent where the finding has no place in the file (an environment variable). */
  readonly line?: number;
  /** Counted from 1, in UTF-16 units. */
  readonly column?: number;
}

/** Writes a path as in `tenants[2].limits.max_frame_bytes`. */
export function formatPath(path: Path): string {
  let text = "";
  for (const part of path) {
    if (typeof part === "number") text += `[${part}]`;
    else if (!/^[A-Za-z0-9_-]+$/.test(part)) text += `[${quote(part)}]`;
    else text += text === "" ? part : `.${part}`;
  }
  return text;
}

/** Quotes a text of the file for a message: one line, control characters escaped, long ones cut. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 57)}…` : text);
}

/** One line about a failure, for the log or the terminal. */
export function formatIssue(file: string, issue: ConfigIssue): string {
  return `Cannot load "${file}": ${describeIssue(issue)}`;
}

/** One line about a warning; the file loads all the same. */
export function formatWarning(file: string, issue: ConfigIssue): string {
  return `Loading "${file}": ${describeIssue(issue)}`;
}

/** A finding in words, with its place. */
export function describeIssue(issue: ConfigIssue): string {
  const place = issue.line === undefined ? "" : ` (line ${issue.line}, column ${issue.column ?? 1})`;
  return `${issue.path}${issue.path === "" ? "" : " "}${issue.message}${place}`;
}

/** Orders findings as they stand in the file; those without a place come last. */
export function inFileOrder(a: ConfigIssue, b: ConfigIssue): number {
  const lines = (a.line ?? Infinity) - (b.line ?? Infinity);
  // Infinity minus itself is NaN: neither has a line.
  return Number.isNaN(lines) ? 0 : lines || (a.column ?? 0) - (b.column ?? 0);
}
