// The texts in the configuration that name places on the network: a listen address, a proxy's address range,
// the header that carries a client's address. Pure checks; nothing is resolved or opened here.

import ipaddr from "ipaddr.js";

/** Where a listener binds. `hostname` has no brackets; port 0 lets the system choose. */
export interface ListenAddress {
  readonly hostname: string;
  readonly port: number;
}

const HOST_NAME =
  /^(?=.{1,253}$)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$/;
const LOOKS_LIKE_IPV4 = /^[0-9.]+$/;

/** Reads a port, 0..65535 in decimal digits; undefined for anything else. */
export function parsePort(text: string): number | undefined {
  if (!/^[0-9]{1,5}$/.test(text)) return undefined;
  const port = Number(text);
  return port <= 65535 ? port : undefined;
}

/** Reads `host:port`, `[::1]:port` or `:port` (every IPv4 address); undefined when the text is none of these. */
export function parseListen(text: string): ListenAddress | undefined {
  const colon = text.lastIndexOf(":");
  if (colon < 0) return undefined;
  const port = parsePort(text.slice(colon + 1));
  if (port === undefined) return undefined;
  const host = text.slice(0, colon);
  if (host === "") return { hostname: "0.0.0.0", port };
  if (host.startsWith("[") && host.endsWith("]")) {
    const hostname = host.slice(1, -1);
    return isIpv6(hostname) ? { hostname, port } : undefined;
  }
  // "1.2.3" and "0x7f.1" are read differently by different resolvers; only four decimal parts are an address.
  const fine = LOOKS_LIKE_IPV4.test(host) ? ipaddr.IPv4.isValidFourPartDecimal(host) : HOST_NAME.test(host);
  return fine ? { hostname: host, port } : undefined;
}

/** Writes an address as `parseListen` reads it. */
export function formatListen(address: ListenAddress): string {
  const host = address.hostname.includes(":") ? `[${address.hostname}]` : address.hostname;
  return `${host}:${address.port}`;
}

/** Whether a text is an IPv4 or IPv6 range with its prefix length, such as `10.0.0.0/8`. */
export function isCidr(text: string): boolean {
  const slash = text.indexOf("/");
  if (slash < 0 || !/^[0-9]{1,3}$/.test(text.slice(slash + 1))) return false;
  const address = text.slice(0, slash);
  return (isIpv6(address) || ipaddr.IPv4.isValidFourPartDecimal(address)) && ipaddr.isValidCIDR(text);
}

function isIpv6(text: string): boolean {
  // A zone ("%eth0") names an interface of this machine, which neither a range nor a listener here can mean.
  return !text.includes("%") && ipaddr.IPv6.isValid(text);
}
