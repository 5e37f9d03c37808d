// Where an extension may fetch from: whether a URL is listed in its `permissions.net`, and whether an address that a name
// stands for may be asked. A listed name is no leave for whatever it resolves to, as its owner may not be the operator:
// addresses that are not of the public internet must be listed themselves.

import ipaddr from "ipaddr.js";
import { type NetPermission, parseNetPermission } from "../config/net_permission.ts";

/** An address to connect to. */
export type Address = ipaddr.IPv4 | ipaddr.IPv6;

/** Where a URL leads. */
export interface Destination {
  readonly scheme: "https:" | "http:";
  /** As the URL standard writes it, without brackets. */
  readonly host: string;
  readonly port: number;
  /** The address that the host is; null for a name. */
  readonly address: Address | null;
}

/** Never of use to fetch from. */
const NEVER: readonly string[] = ["unspecified", "multicast", "broadcast"];

/**
 * Where clouds tell a machine its secrets, and what they steer it by; a range that has one of them in it was not meant
 * so. AWS, Azure, Google and most others; AWS over IPv6; Alibaba; Oracle; Azure's wire server.
 */
const METADATA: readonly string[] = [
  "169.254.169.254",
  "169.254.170.2",
  "169.254.170.23",
  "fd00:ec2::254",
  "fd00:ec2::23",
  "fd20:ce::254",
  "100.100.100.200",
  "192.0.0.192",
  "168.63.129.16",
];

/** Global unicast: all that is routed on the internet (RFC 4291). What the library calls unicast is more. */
const GLOBAL_IPV6 = ipaddr.parseCIDR("2000::/3") as [ipaddr.IPv6, number];

export class NetRules {
  readonly #entries: readonly NetPermission[];

  /** @param allow entries that `parseNetPermission` reads; others are passed over */
  constructor(allow: readonly string[]) {
    this.#entries = allow.map(parseNetPermission).filter((entry) => entry !== null);
  }

  /** Where a URL leads, or why nobody goes there. */
  destination(url: string): Destination | string {
    if (!URL.canParse(url)) return "it is no URL";
    const { protocol, hostname, port, username, password } = new URL(url);
    if (protocol !== "https:" && protocol !== "http:") return `it is ${protocol}, not https: or http:`;
    if (username !== "" || password !== "") return "it has a user name or password in it";
    const host = hostname.replace(/^\[|\]$/g, "");
    const number = Number(port || (protocol === "https:" ? 443 : 80));
    const address = ipaddr.isValid(host) ? ipaddr.process(host) : null;
    const destination: Destination = { scheme: protocol, host, port: number, address };
    if (!this.#entries.some((entry) => isListed(entry, destination))) {
      return `${protocol}//${hostname}:${number} is not in its permissions.net`;
    }
    return destination;
  }

  /** Why an address that the destination's host stands for may not be asked; null when it may. */
  objection(address: Address, destination: Destination): string | null {
    const what = kindOf(address);
    if (what === null) return null;
    if (!NEVER.includes(what)) {
      const isIn = (entry: NetPermission) =>
        hasAddress(entry, address) && entry.port === destination.port &&
        entry.scheme === destination.scheme && (what !== "metadata" || isSingle(entry));
      if (this.#entries.some(isIn)) return null;
    }
    const which = destination.address === null ? `${destination.host} is ${address}, which` : `${address}`;
    return `${which} is no public address (${what}), and not listed itself`;
  }
}

/** What is special about an address; null for one of the public internet. */
function kindOf(address: Address): string | null {
  const all = [address, ...embedded(address)].map(String);
  if (METADATA.some((one) => all.includes(ipaddr.parse(one).toString()))) return "metadata";
  const range = address.range();
  if (range !== "unicast") return range;
  return address instanceof ipaddr.IPv6 && !address.match(GLOBAL_IPV6) ? "not global" : null;
}

/** IPv4 addresses that an IPv6 address may wrap, of which a gateway on the way makes them again. */
function embedded(address: Address): readonly Address[] {
  if (!(address instanceof ipaddr.IPv6)) return [];
  const parts = address.parts;
  const at = (index: number, mask = 0): Address => {
    const [high, low] = [parts[index]! ^ mask, parts[index + 1]! ^ mask];
    return new ipaddr.IPv4([high >> 8, high & 0xff, low >> 8, low & 0xff]);
  };
  // The last 32 bits: NAT64 (64:ff9b::/96, and other networks' own prefixes), ISATAP, IPv4-compatible, SIIT.
  const found = [at(6)];
  if (parts[0] === 0x2002) found.push(at(1)); // 6to4
  if (parts[0] === 0x2001 && parts[1] === 0) found.push(at(2), at(6, 0xffff)); // Teredo: server and client
  // NAT64 by shorter prefixes, the local one (64:ff9b:1::/48) among them: behind the prefix, and around octet 8 (RFC 6052).
  const octets = address.toByteArray();
  for (const from of [4, 5, 6, 7, 9]) {
    found.push(new ipaddr.IPv4(octets.slice(from).filter((_, i) => from + i !== 8).slice(0, 4)));
  }
  return found;
}

function isListed(entry: NetPermission, { scheme, host, port, address }: Destination): boolean {
  if (entry.scheme !== scheme || entry.port !== port) return false;
  if (address !== null) return hasAddress(entry, address);
  switch (entry.host.kind) {
    case "name":
      return host === entry.host.name;
    case "below":
      return host.endsWith(entry.host.suffix) && host.length > entry.host.suffix.length;
    case "addresses":
      return false;
  }
}

function hasAddress({ host }: NetPermission, address: Address): boolean {
  if (host.kind !== "addresses") return false;
  const [range, bits] = host.range;
  return range.kind() === address.kind() && address.match(range, bits);
}

function isSingle({ host }: NetPermission): boolean {
  return host.kind === "addresses" && host.range[1] === (host.range[0].kind() === "ipv4" ? 32 : 128);
}
