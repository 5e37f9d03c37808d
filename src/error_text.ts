// What was thrown, as text. Anything can be thrown, not errors alone.

/** The message of an error. */
export function errorText(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

/** An error with the way to it, for the log: something that should not have happened. */
export function errorTrace(cause: unknown): string {
  return cause instanceof Error ? cause.stack ?? cause.message : String(cause);
}
