// What every adapter does around a WebSocket handshake, written once: which requests are one, what is refused
// before the gateway is asked (RFC 6455, section 4.2.1), how a refusal looks as HTTP, and how a peer's address
// is written. Knows no runtime.

import ipaddr from "ipaddr.js";
import type { HttpRefusal } from "./port.ts";

export type { HttpRefusal } from "./port.ts";

/** Reads a header by its lower-case name; null when absent. */
export type HeaderReader = (name: string) => string | null;

const KEY = /^[+/0-9A-Za-z]{22}==$/;
const TOKEN_LIST = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[ \t]*,[ \t]*[!#$%&'*+.^_`|~0-9A-Za-z-]+)*$/;

function refusal(status: number, msg: string, headers: Record<string, string> = {}): HttpRefusal {
  return { status, headers, body: JSON.stringify({ code: "BAD_REQUEST", msg }) };
}

const WRONG_METHOD = refusal(405, "a WebSocket handshake is a GET request", { allow: "GET" });
const NOT_WEBSOCKET = refusal(400, 'the Upgrade header must be "websocket" alone');
const WRONG_VERSION = refusal(426, "Sec-WebSocket-Version must be 13", { "sec-websocket-version": "13" });
const BAD_KEY = refusal(400, "Sec-WebSocket-Key must be 16 bytes in base64");
const HAS_BODY = refusal(400, "a WebSocket handshake has no body");
const BAD_PROTOCOL = refusal(400, "Sec-WebSocket-Protocol must be a list of tokens, each once");

/** The answer when the gateway's own code failed; it says nothing about why. */
export const BROKEN: HttpRefusal = {
  status: 500,
  headers: {},
  body: JSON.stringify({ code: "INTERNAL", msg: "internal error" }),
};

function listsToken(value: string | null, token: string): boolean {
  return value !== null && value.toLowerCase().split(",").some((part) => part.trim() === token);
}

function isListOfDifferentTokens(value: string): boolean {
  if (!TOKEN_LIST.test(value)) return false;
  const tokens = value.split(",").map((token) => token.trim());
  return new Set(tokens).size === tokens.length;
}

/**
 * Whether a request asks for a WebSocket. Offers of other protocols (h2c, TLS/1.0) are ignored, and so is an Upgrade
 * header that Connection does not name (RFC 9110, 7.8).
 */
export function asksUpgrade(header: HeaderReader): boolean {
  return listsToken(header("upgrade"), "websocket") && listsToken(header("connection"), "upgrade");
}

/** Whether a request says that a body follows. */
export function bringsBody(header: HeaderReader): boolean {
  return header("transfer-encoding") !== null || !/^0*$/.test(header("content-length") ?? "");
}

/** Checks an upgrade request's form, and returns the refusal it deserves or null. */
export function checkHandshake(method: string, header: HeaderReader): HttpRefusal | null {
  if (method !== "GET") return WRONG_METHOD;
  if (header("upgrade")?.toLowerCase() !== "websocket") return NOT_WEBSOCKET;
  if (bringsBody(header)) return HAS_BODY;
  if (header("sec-websocket-version") !== "13") return WRONG_VERSION;
  if (!KEY.test(header("sec-websocket-key") ?? "")) return BAD_KEY;
  const protocols = header("sec-websocket-protocol");
  return protocols === null || isListOfDifferentTokens(protocols) ? null : BAD_PROTOCOL;
}

/** A refusal's headers as they go out: JSON by default, never kept alive. */
export function refusalHeaders(refuse: HttpRefusal): Headers {
  const headers = new Headers(refuse.headers);
  if (!headers.has("content-type")) headers.set("content-type", "application/json");
  headers.set("connection", "close");
  return headers;
}

/** A refusal as a web `Response`. */
export function refusalResponse(refuse: HttpRefusal): Response {
  return new Response(refuse.body, { status: refuse.status, headers: refusalHeaders(refuse) });
}

/** A peer's address as the gateway knows it: IPv4-mapped IPv6 as IPv4, no zone id; empty when there is none. */
export function plainAddress(address: string | null | undefined): string {
  if (!address || !address.includes(":")) return address ?? "";
  const zone = address.indexOf("%");
  const bare = zone < 0 ? address : address.slice(0, zone);
  return /^::ffff:\d+\.\d+\.\d+\.\d+$/i.test(bare) ? bare.slice(7) : bare;
}

/** The one line that `Transport.start` throws when it cannot bind: what is wrong, and what helps. */
export function cannotListen(hostname: string, port: number, cause: unknown): Error {
  const host = hostname.includes(":") ? `[${hostname}]` : hostname;
  return new Error(`Cannot listen on ${host}:${port}: ${whyNot(hostname, port, cause)}`, { cause });
}

// The same cause has another code or none on each runtime: a name that is nobody's is ENOTFOUND on Deno's `node:net`,
// EINVAL on Bun and a text on Deno; a foreign address is EINVAL on Deno's `node:net` and EADDRNOTAVAIL elsewhere.
function whyNot(hostname: string, port: number, cause: unknown): string {
  const { code, message, name } = cause as { code?: unknown; message?: unknown; name?: unknown };
  const text = String(message ?? cause).split("\n", 1)[0] || String(code);
  if (code === "EADDRINUSE") return "the address is in use";
  if (code === "EAFNOSUPPORT") return "this machine has no such kind of address (IPv6 may be off)";
  const isAddress = ipaddr.isValid(hostname);
  if (
    !isAddress &&
    (code === "ENOTFOUND" || code === "EINVAL" || code === "EAI_AGAIN" || /lookup|getaddrinfo/.test(text))
  ) {
    return "this host name has no address: check its spelling, or name an address";
  }
  if (code === "EADDRNOTAVAIL" || (isAddress && code === "EINVAL")) {
    return "this machine has no such address: name one of its own, or 0.0.0.0 or [::] for all";
  }
  const denied = code === "EACCES" || code === "EPERM" || name === "PermissionDenied" ||
    /permission denied/i.test(text);
  if (!denied) return text;
  return port > 0 && port < 1024
    ? "permission denied: ports below 1024 need CAP_NET_BIND_SERVICE (AmbientCapabilities= in systemd), or take a higher one"
    : "permission denied";
}
