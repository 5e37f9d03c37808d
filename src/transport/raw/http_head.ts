// The head of an HTTP/1 request, read from bytes as strictly as RFC 9112 has it: what two readers could take for two things
// is refused. What its path and Host must be says request_head.ts.

import type { Buffer } from "node:buffer";

/** More headers than this are refused, as on Bun. */
const HEADERS_MAX = 198;
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const TARGET = /^[\x21-\x7e\x80-\xff]+$/;
const VERSION = /^HTTP\/([0-9])\.([0-9])$/;
/** Text, spaces and tabs. */
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
const LENGTH = /^[0-9]{1,15}$/;

export interface HttpHead {
  readonly method: string;
  readonly target: string;
  /** "1.1" or "1.0". */
  readonly version: string;
  /** Names in lower case, repeated ones joined by ", ". */
  readonly headers: ReadonlyMap<string, string>;
  /** Of the body in bytes; Infinity for chunks. */
  readonly bodyBytes: number;
}

/** A head, or the status of what is none. */
export type ReadHead = HttpHead | 400 | 431 | 505;

/** Where a head ends, with the empty line behind it; negative as long as it does not. */
export function endOfHead(bytes: Buffer, from: number): number {
  const at = bytes.indexOf("\r\n\r\n", from, "latin1");
  return at < 0 ? -1 : at + 4;
}

/** Reads a whole head; empty lines before it have been passed over. */
export function readHead(bytes: Buffer): ReadHead {
  const lines = bytes.toString("latin1", 0, bytes.length - 4).split("\r\n");
  const [method, target, protocol, ...rest] = lines[0]!.split(" ");
  const version = VERSION.exec(protocol ?? "");
  if (rest.length > 0 || version === null || !TOKEN.test(method!) || !TARGET.test(target!)) return 400;
  if (version[1] !== "1") return 505;
  if (version[2] !== "0" && version[2] !== "1") return 400;
  if (lines.length - 1 > HEADERS_MAX) return 431;
  const headers = new Map<string, string>();
  for (let i = 1; i < lines.length; i++) {
    const line = lines[i]!;
    const colon = line.indexOf(":");
    if (colon < 1) return 400;
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, "");
    if (!TOKEN.test(name) || !VALUE.test(value)) return 400;
    const before = headers.get(name);
    headers.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  const bodyBytes = lengthOf(headers, version[2]);
  if (bodyBytes === null) return 400;
  return { method: method!, target: target!, version: `1.${version[2]}`, headers, bodyBytes };
}

function lengthOf(headers: ReadonlyMap<string, string>, minor: string): number | null {
  const length = headers.get("content-length");
  const coding = headers.get("transfer-encoding");
  if (coding !== undefined) {
    return length === undefined && minor === "1" && coding.toLowerCase() === "chunked" ? Infinity : null;
  }
  if (length === undefined) return 0;
  return LENGTH.test(length) ? Number(length) : null;
}
