// What an extension gives to `ctx.fetch`, read: a URL and its options come from foreign code, and become a request of known
// size whose every byte is the gateway's.

import { Buffer } from "node:buffer";
import { USER_AGENT } from "../outbound/user_agent.ts";

/** A request to be sent, to wherever redirects lead. */
export interface FetchRequest {
  readonly url: string;
  readonly method: string;
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer | null;
  readonly timeoutMs: number;
}

const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
const BODYLESS = ["GET", "HEAD"];

export const FETCH_BOUNDS = {
  urlChars: 8192,
  headers: 64,
  headerBytes: 8192,
  requestBytes: 1_048_576,
  responseBytes: 1_048_576,
  redirects: 5,
  timeoutMs: { least: 1, most: 60_000, usual: 5000 },
} as const;

/** Headers that are the connection's, or that the gateway writes itself. */
const OWN_HEADERS =
  /^(host|content-length|connection|transfer-encoding|te|trailer|upgrade|keep-alive|expect|proxy-.*)$/;
/** Headers that go along when a redirect leads to another origin: no other may be meant for it. */
const HARMLESS_HEADERS = ["accept", "accept-language", "content-type", "user-agent"];
const BODY_HEADERS = /^content-/;

/** Reads a call's arguments; a text is what is wrong with them. */
export function readFetch(url: unknown, options: unknown): FetchRequest | string {
  if (typeof url !== "string" || url.length > FETCH_BOUNDS.urlChars) {
    return `the URL must be a text of at most ${FETCH_BOUNDS.urlChars} characters`;
  }
  if (options !== undefined && !isMap(options)) return "its options must be an object";
  const { method = "GET", headers = {}, body, timeout_ms = FETCH_BOUNDS.timeoutMs.usual, ...others } =
    options ??
      {};
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) return `it has no option ${JSON.stringify(unknown.slice(0, 40))}`;
  const verb = typeof method === "string" ? method.toUpperCase() : "";
  if (!METHODS.includes(verb)) return `method must be one of ${METHODS.join(", ")}`;
  const { least, most } = FETCH_BOUNDS.timeoutMs;
  if (typeof timeout_ms !== "number" || !(timeout_ms >= least && timeout_ms <= most)) {
    return `timeout_ms must be ${least}..${most}`;
  }
  const bytes = readBody(body);
  if (typeof bytes === "string") return bytes;
  if (bytes !== null && BODYLESS.includes(verb)) return `a ${verb} has no body`;
  const read = readHeaders(headers);
  if (typeof read === "string") return read;
  if (typeof body === "string" && !read.has("content-type")) {
    read.set("content-type", "text/plain;charset=utf-8");
  }
  return { url, method: verb, headers: read, body: bytes, timeoutMs: timeout_ms };
}

/**
 * The request that a redirect asks for (Fetch standard, "HTTP-redirect fetch").
 * @param url where it leads, absolute
 */
export function redirected(request: FetchRequest, status: number, url: string): FetchRequest {
  const { method } = request;
  const isPost = method === "POST" && (status === 301 || status === 302);
  const becomesGet = isPost || (status === 303 && method !== "HEAD");
  const isSame = new URL(url).origin === new URL(request.url).origin;
  const headers = [...request.headers].filter(([name]) =>
    (isSame || HARMLESS_HEADERS.includes(name)) && !(becomesGet && BODY_HEADERS.test(name))
  );
  return {
    ...request,
    url,
    method: becomesGet ? "GET" : method,
    headers: new Map(headers),
    body: becomesGet ? null : request.body,
  };
}

/** A request as it goes on the wire. */
export function wireBytes({ url, method, headers, body }: FetchRequest): Buffer {
  const { pathname, search, host } = new URL(url);
  const lines = [`${method} ${pathname}${search} HTTP/1.1`, `host: ${host}`];
  const all = new Map([
    ["accept", "*/*"],
    ["accept-encoding", "identity"],
    ["user-agent", USER_AGENT],
    ...headers,
  ]);
  for (const [name, value] of all) lines.push(`${name}: ${value}`);
  if (body !== null || !BODYLESS.includes(method)) lines.push(`content-length: ${body?.length ?? 0}`);
  const head = Buffer.from(`${lines.join("\r\n")}\r\n\r\n`);
  return body === null ? head : Buffer.concat([head, body]);
}

function readBody(body: unknown): Buffer | null | string {
  if (body === undefined || body === null) return null;
  const most = FETCH_BOUNDS.requestBytes;
  const base64 = isMap(body) ? body["base64"] : undefined;
  if (typeof body !== "string" && typeof base64 !== "string") return "body must be a text or bytes";
  const bytes = typeof body === "string" ? Buffer.from(body) : Buffer.from(base64 as string, "base64");
  return bytes.length > most ? `body must be at most ${most} bytes, is ${bytes.length}` : bytes;
}

function readHeaders(headers: unknown): Map<string, string> | string {
  if (!isMap(headers)) return "headers must be an object of texts";
  const entries = Object.entries(headers);
  if (entries.length > FETCH_BOUNDS.headers) return `headers must be at most ${FETCH_BOUNDS.headers}`;
  const read = new Map<string, string>();
  let bytes = 0;
  for (const [key, value] of entries) {
    const name = key.toLowerCase();
    const shown = JSON.stringify(key.slice(0, 40));
    if (!/^[!#$%&'*+.^_`|~0-9a-z-]{1,128}$/.test(name)) return `${shown} cannot be a header's name`;
    if (OWN_HEADERS.test(name)) return `the header ${shown} is not for an extension to set`;
    if (read.has(name)) return `the header ${shown} is there twice`;
    if (typeof value !== "string" || !/^[\t\x20-\x7e]*$/.test(value)) {
      return `the header ${shown} must be printable ASCII`;
    }
    bytes += name.length + value.length + 4;
    if (bytes > FETCH_BOUNDS.headerBytes) return `headers must be at most ${FETCH_BOUNDS.headerBytes} bytes`;
    read.set(name, value.trim());
  }
  return read;
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
