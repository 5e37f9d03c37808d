// The path of a request on Bun, which shows no request line: only an URL, as a parser has made it.

import { pathOf } from "./request_head.ts";

/** The segments of a path as it was sent, decoded, by the names that a route gives them. */
export type Segments = Readonly<Record<string, string>>;

/** Path and query of a request; Bun's `url` is absolute unless the Host header was unusable. */
export function targetOf(url: string): string {
  if (!url.startsWith("http://") && !url.startsWith("https://")) return url;
  const start = url.indexOf("/", 8);
  return start < 0 ? "/" : url.slice(start);
}

/** Paths of up to so many segments are known to Bun's router; no route of the gateway has more. */
const SEGMENTS_MAX = 12;
/** Routes that name each segment. */
export const PATTERNS: readonly string[] = Array.from(
  { length: SEGMENTS_MAX },
  (_, i) => Array.from({ length: i + 1 }, (_, j) => `/:${String.fromCharCode(97 + j)}`).join(""),
);

/**
 * Whether `url` has another path than the one that was sent: Bun shows no request line, only what a URL parser makes of
 * it. Its router works on the path as sent, so that each segment can be compared.
 * @param sent null where the router knew no such path: it has an empty segment, or too many
 */
export function isRewritten(target: string, sent: Segments | null): boolean {
  const seen = pathOf(target).split("/").slice(1);
  if (sent === null) return seen.length <= SEGMENTS_MAX && seen.every((segment) => segment !== "");
  const segments = Object.values(sent);
  return segments.length !== seen.length || segments.some((segment, i) => !isSame(segment, seen[i]!));
}

function isSame(sent: string, seen: string): boolean {
  // What stands in the place of bytes that are no UTF-8 cannot be compared, and is in no route's name.
  if (sent === seen || sent.includes("\ufffd")) return true;
  try {
    return decodeURIComponent(seen) === sent;
  } catch {
    return false;
  }
}
