// What a request's first line and Host must be (RFC 9112, sections 2.3 and 3) before anybody is asked about it, written
// once for all adapters. A path is what was sent, or refused: never what a URL parser makes of it together with a Host.

import ipaddr from "ipaddr.js";
import type { HttpRefusal } from "./handshake.ts";

/** A request as far as its runtime shows it. */
export interface RequestHead {
  readonly method: string;
  /** The request target, or what stands behind the authority where the runtime shows an absolute URL. */
  readonly target: string;
  /** Values of all Host headers, joined by ", " where there are several; null for none. */
  readonly host: string | null;
  /** Null where the runtime does not tell, and then it refuses HTTP/1.1 without Host by itself, or docs/security.md says. */
  readonly version: string | null;
  /** It is a WebSocket handshake. */
  readonly upgrades: boolean;
}

const NAME = /^[A-Za-z0-9._-]{1,255}$/;
const LOOKS_LIKE_IPV4 = /^[0-9.]+$/;
/** Parts of a path that URL parsers take out, or take for a separator. */
const REWRITTEN = /\\|(?:^|\/)(?:\.|%2e){1,2}(?:\/|$)/i;
const ABSOLUTE = /^https?:\/\/[^/?#]*/i;

function refusal(status: number, code: string, msg: string): HttpRefusal {
  return { status, headers: {}, body: JSON.stringify({ code, msg }) };
}

const NO_TUNNEL = refusal(405, "BAD_REQUEST", "this is no proxy");
const BAD_VERSION = refusal(505, "BAD_REQUEST", "HTTP/1.0 or HTTP/1.1");
const BAD_HOST = refusal(
  400,
  "BAD_REQUEST",
  "one Host header with a host name or address, and a port or none",
);
const BAD_TARGET = refusal(400, "BAD_REQUEST", "the request target must be a path");
const OLD_UPGRADE = refusal(400, "BAD_REQUEST", "a WebSocket handshake needs HTTP/1.1 and a Host");

/** The answer to a path that a URL parser would make another one of. */
export const NO_SUCH_PATH: HttpRefusal = refusal(404, "NOT_FOUND", "no such page");

/** Whether a Host header names one host: a name or an address, with a port or without. */
export function isHost(value: string): boolean {
  const colon = value.lastIndexOf(":");
  const hasPort = colon > value.lastIndexOf("]");
  const port = hasPort ? value.slice(colon + 1) : "";
  if (!/^[0-9]{0,5}$/.test(port) || Number(port) > 65_535) return false;
  const host = hasPort ? value.slice(0, colon) : value;
  if (host.startsWith("[") && host.endsWith("]")) {
    return !host.includes("%") && ipaddr.IPv6.isValid(host.slice(1, -1));
  }
  if (!NAME.test(host)) return false;
  return !LOOKS_LIKE_IPV4.test(host) || ipaddr.IPv4.isValidFourPartDecimal(host);
}

/** Path and query of a request target in any of its forms; null where there is none. */
export function pathAndQuery(target: string): string | null {
  if (target.startsWith("/")) return target;
  const authority = ABSOLUTE.exec(target);
  if (authority === null) return null;
  const rest = target.slice(authority[0].length);
  return rest.startsWith("/") ? rest : `/${rest}`;
}

/** A path without its query. */
export function pathOf(target: string): string {
  const end = target.search(/[?#]/);
  return end < 0 ? target : target.slice(0, end);
}

/** Returns the refusal that a request's head deserves by itself, or null. */
export function checkHead({ method, target, host, version, upgrades }: RequestHead): HttpRefusal | null {
  if (method === "CONNECT") return NO_TUNNEL;
  if (version !== null && version !== "1.0" && version !== "1.1") return BAD_VERSION;
  if (host === null ? version === "1.1" : !isHost(host)) return BAD_HOST;
  if (upgrades && (version === "1.0" || host === null)) return OLD_UPGRADE;
  const path = pathAndQuery(target);
  if (path === null) return BAD_TARGET;
  return REWRITTEN.test(pathOf(path)) ? NO_SUCH_PATH : null;
}
