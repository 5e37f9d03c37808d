// Heads of HTTP requests as the world sends them, right and wrong, with the status that each deserves: one table for every
// adapter (tests/transport) and for both listeners of a gateway (tests/flow). A path that is asked for is /healthz, which
// both listeners have; a handshake is for /v1/ws.

import { handshake } from "./raw_client.ts";

/** Which adapter answers; a status differs only where a runtime decides before the gateway hears of a request. */
export type Adapter = "bun" | "raw" | "node" | "deno";

export interface RawRequest {
  readonly what: string;
  readonly bytes: string;
  /** 101 for a handshake that is taken; 0 where the connection ends without an answer. */
  readonly status: number;
  /** What a runtime answers by itself instead, where no adapter can change it. */
  readonly but?: Readonly<Partial<Record<Adapter, number>>>;
}

const HOST = "Host: gateway.example\r\n";

function get(
  version: string,
  headers: string,
  { method = "GET", target = "/healthz", body = "" } = {},
): string {
  return `${method} ${target} HTTP/${version}\r\n${headers}\r\n${body}`;
}

function offer(word: string, connection = "Upgrade"): string {
  return get("1.1", `${HOST}Connection: ${connection}\r\nUpgrade: ${word}\r\n`);
}

function host(value: string): string {
  return get("1.1", `Host: ${value}\r\n`);
}

function target(text: string): string {
  return get("1.1", HOST, { target: text });
}

const WS = "/v1/ws?tenant=acme&ticket=dev:ann";

/** Requests that are no handshake. */
export const PLAIN: readonly RawRequest[] = [
  { what: "HTTP/1.1", bytes: get("1.1", HOST), status: 200 },
  { what: "HTTP/1.1 with a query", bytes: target("/healthz?from=a/../b&u=http://x/y"), status: 200 },
  { what: "HTTP/1.0", bytes: get("1.0", HOST), status: 200 },
  { what: "HTTP/1.0 without Host, as health checks send it", bytes: get("1.0", ""), status: 200 },
  { what: "HTTP/1.0 without Host, kept alive", bytes: get("1.0", "Connection: keep-alive\r\n"), status: 200 },
  {
    what: "HTTP/1.0 without Host and with an URL in its query",
    bytes: get("1.0", "", { target: "/healthz?u=http://x/y" }),
    status: 200,
  },
  // An offer of another protocol
  { what: "an offer of h2c", bytes: offer("h2c", "Upgrade, HTTP2-Settings"), status: 200 },
  { what: "an offer of TLS", bytes: offer("TLS/1.0"), status: 200 },
  { what: "an offer of several", bytes: offer("h2c, TLS/1.2, IRC/6.9"), status: 200 },
  { what: "an offer of nothing", bytes: offer(""), status: 200 },
  { what: "an offer of a word that begins as websocket", bytes: offer("websockets"), status: 200 },
  {
    what: "an offer of websocket that Connection does not name",
    bytes: offer("websocket", "close"),
    status: 200,
  },
  {
    what: "a POST with an offer of h2c and a body",
    bytes: get("1.1", `${HOST}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nContent-Length: 5\r\n`, {
      method: "POST",
      target: "/nowhere",
      body: "hello",
    }),
    status: 404,
    but: { deno: 400 },
  },
  // Host
  { what: "HTTP/1.1 without Host", bytes: get("1.1", ""), status: 400, but: { deno: 200 } },
  { what: "an empty Host", bytes: host(""), status: 400 },
  { what: "two Hosts", bytes: get("1.1", `${HOST}Host: b\r\n`), status: 400 },
  { what: "the same Host twice", bytes: get("1.1", HOST + HOST), status: 400 },
  { what: "two Hosts of HTTP/1.0", bytes: get("1.0", `${HOST}Host: b\r\n`), status: 400 },
  { what: "a Host that is a list", bytes: host("a,b"), status: 400 },
  { what: "a Host with a space", bytes: host("a b"), status: 400 },
  { what: "a Host with a path", bytes: host("a/healthz?"), status: 400 },
  { what: "a Host with a user", bytes: host("u@a"), status: 400 },
  { what: "a Host with a fragment", bytes: host("a#"), status: 400 },
  { what: "a Host with a backslash", bytes: host("a\\b"), status: 400 },
  { what: "a Host that is percent-encoded", bytes: host("a%2fb"), status: 400 },
  { what: "a Host with a port that is none", bytes: host("a:80x"), status: 400 },
  { what: "a Host with a port too large", bytes: host("a:65536"), status: 400 },
  { what: "a Host with two ports", bytes: host("a:1:2"), status: 400 },
  { what: "a Host of a port alone", bytes: host(":80"), status: 400 },
  { what: "a Host with half an IPv6 address", bytes: host("[::1"), status: 400 },
  { what: "a Host with an IPv6 address that is none", bytes: host("[:::1]"), status: 400 },
  { what: "a Host with an IPv4 address that is none", bytes: host("1.2.3.999"), status: 400 },
  { what: "a Host that is IPv6", bytes: host("[::1]"), status: 200 },
  { what: "a Host that is IPv6 with a port", bytes: host("[2001:db8::1]:8080"), status: 200 },
  { what: "a Host that is IPv4 with a port", bytes: host("127.0.0.1:80"), status: 200 },
  { what: "a Host with a dot at its end", bytes: host("gateway.example."), status: 200 },
  { what: "a Host in capitals and with an underscore", bytes: host("MY_gateway:443"), status: 200 },
  { what: "a Host with an empty port", bytes: host("a:"), status: 200 },
  // Targets
  { what: "an absolute URL", bytes: target("http://other.example/healthz"), status: 200 },
  { what: "a path with a dot segment", bytes: target("/./healthz"), status: 404 },
  { what: "a path with two dots", bytes: target("/x/../healthz"), status: 404 },
  { what: "a path with two dots in front", bytes: target("/../healthz"), status: 404 },
  { what: "a path with two dots, percent-encoded", bytes: target("/x/%2E%2e/healthz"), status: 404 },
  { what: "a path with two dots, half encoded", bytes: target("/x/.%2e/healthz"), status: 404 },
  { what: "a path with an empty segment and two dots", bytes: target("//../healthz"), status: 404 },
  {
    what: "a path with many segments and two dots",
    bytes: target(`${"/x".repeat(13)}${"/..".repeat(13)}/healthz`),
    status: 404,
  },
  { what: "a path with a backslash", bytes: target("/x\\..\\healthz"), status: 404 },
  { what: "a path that begins with a backslash", bytes: target("/\\healthz"), status: 404 },
  { what: "a path with two slashes", bytes: target("//healthz"), status: 404 },
  { what: "a path with a slash at its end", bytes: target("/healthz/"), status: 404 },
  { what: "a path in capitals", bytes: target("/HEALTHZ"), status: 404 },
  { what: "an absolute URL with two dots", bytes: target("http://b/x/../healthz"), status: 404 },
  { what: "a path without its slash", bytes: target("healthz"), status: 400 },
  { what: "an asterisk", bytes: target("*"), status: 400 },
  { what: "a path with a NUL", bytes: target("/healthz\0"), status: 400, but: { bun: 505 } },
  { what: "a tunnel", bytes: get("1.1", HOST, { method: "CONNECT", target: "a:80" }), status: 405 },
  // Versions and framing
  { what: "HTTP/2.0", bytes: get("2.0", HOST), status: 505, but: { deno: 400 } },
  { what: "HTTP/1.2", bytes: get("1.2", HOST), status: 400, but: { bun: 505 } },
  { what: "a folded header", bytes: get("1.1", `${HOST} more\r\n`), status: 400 },
  { what: "a space before a colon", bytes: get("1.1", `${HOST}X : y\r\n`), status: 400 },
  {
    what: "two lengths",
    bytes: get("1.1", `${HOST}Content-Length: 1\r\nContent-Length: 2\r\n`),
    status: 400,
  },
  {
    what: "a length and chunks",
    bytes: get("1.1", `${HOST}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n`),
    status: 400,
  },
];

/** Handshakes, and what looks like one. */
export const UPGRADES: readonly RawRequest[] = [
  { what: "a handshake", bytes: handshake(WS), status: 101 },
  { what: "a handshake with an absolute URL", bytes: handshake(`http://b${WS}`), status: 101 },
  { what: "a handshake without Host", bytes: handshake(WS, { host: null }), status: 400 },
  { what: "a handshake with an empty Host", bytes: handshake(WS, { host: "" }), status: 400 },
  { what: "a handshake with a broken Host", bytes: handshake(WS, { host: "a/b" }), status: 400 },
  { what: "a handshake with two Hosts", bytes: handshake(WS, { Host: "b" }), status: 400 },
  {
    what: "a handshake of HTTP/1.0",
    bytes: handshake(WS).replace("HTTP/1.1", "HTTP/1.0"),
    status: 400,
    but: { bun: 101, deno: 101 },
  },
  {
    what: "a handshake of HTTP/1.0 without Host",
    bytes: handshake(WS, { host: null }).replace("HTTP/1.1", "HTTP/1.0"),
    status: 400,
  },
  { what: "a handshake for /x/../v1/ws", bytes: handshake(`/x/..${WS}`), status: 404 },
  { what: "a handshake for /v1/./ws", bytes: handshake(WS.replace("/ws", "/./ws")), status: 404 },
  { what: "a handshake for /v1/%2e/ws", bytes: handshake(WS.replace("/ws", "/%2e/ws")), status: 404 },
  { what: "a handshake for /v1\\ws", bytes: handshake(WS.replace("/ws", "\\ws")), status: 404 },
  { what: "a handshake by POST", bytes: handshake(WS).replace("GET", "POST"), status: 405 },
  {
    what: "a handshake that offers h2c too",
    bytes: handshake(WS, { upgrade: "websocket, h2c" }),
    status: 400,
  },
  { what: "a handshake of version 8", bytes: handshake(WS, { "sec-websocket-version": "8" }), status: 426 },
  {
    what: "a handshake with a short key",
    bytes: handshake(WS, { "sec-websocket-key": "c2hvcnQ=" }),
    status: 400,
  },
];

/** What an adapter answers to a request. */
export function expected({ status, but }: RawRequest, adapter: Adapter): number {
  return but?.[adapter] ?? status;
}
