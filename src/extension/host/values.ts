// Foreign values on their way out of a worker: into JSON, or into a text for the log. Their getters and `toJSON` run foreign
// code in between, which may throw whatever it likes.

import { isTooDeep, VALUE_DEPTH_MAX } from "../depth.ts";

/** Characters of an error, or a line of log. */
export const TEXT_CHARS_MAX = 8192;

const encoder = new TextEncoder();

/** @returns undefined for `undefined` @throws {TypeError} that says what is wrong, `what` first */
export function jsonOf(value: unknown, what: string): string | undefined {
  if (value === undefined) return undefined;
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    throw new TypeError(`${what} cannot be written as JSON: ${messageOf(error)}`);
  }
  if (text === undefined) {
    throw new TypeError(`${what} cannot be written as JSON: it is a function or a symbol`);
  }
  if (text.length > VALUE_DEPTH_MAX && isTooDeep(encoder.encode(text), VALUE_DEPTH_MAX)) {
    throw new TypeError(`${what} is nested deeper than ${VALUE_DEPTH_MAX}`);
  }
  return text;
}

/** Whether a text has more bytes in UTF-8 than it may have. */
export function isLonger(text: string, bytesMax: number): boolean {
  if (text.length > bytesMax) return true;
  return text.length * 3 > bytesMax && encoder.encode(text).length > bytesMax;
}

/** What a foreign error says, in one line. */
export function messageOf(error: unknown): string {
  try {
    const message = typeof error === "object" && error !== null ? (error as Error).message : error;
    return cut(typeof message === "string" ? message : `${typeof message}`).replace(/\s+/g, " ");
  } catch {
    return "an error that cannot be read";
  }
}

/** A value in a line of log: texts as they are, others as JSON. */
export function shown(value: unknown, stackOf: (error: unknown) => string): string {
  if (typeof value === "string") return cut(value);
  try {
    if (value instanceof Error) return errorText(value, stackOf);
    return cut(JSON.stringify(value) ?? String(value));
  } catch (error) {
    return `(a value that cannot be shown: ${messageOf(error)})`;
  }
}

/** An error with its stack, or whatever else was thrown. */
export function errorText(error: unknown, stackOf: (error: unknown) => string): string {
  try {
    if (!(error instanceof Error)) {
      return cut(`threw ${typeof error} ${JSON.stringify(error) ?? ""}`.trimEnd());
    }
    return cut(`${String(error.name)}: ${String(error.message)}${stackOf(error)}`);
  } catch {
    return "threw something that cannot be read";
  }
}

export function cut(text: string): string {
  return text.length > TEXT_CHARS_MAX ? `${text.slice(0, TEXT_CHARS_MAX)}…` : text;
}
