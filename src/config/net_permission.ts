// What an extension's `permissions.net` lists: places that it may fetch from. An entry is a name, or an address, and a
// port; all of it is compared as the URL standard reads it, and what that would read differently from how it looks is
// refused here. Nothing is resolved.

import ipaddr from "ipaddr.js";
import { isCidr, parsePort } from "./addresses.ts";

/** A range of addresses. A range of one is an address. */
export type AddressRange = readonly [address: ipaddr.IPv4 | ipaddr.IPv6, bits: number];

/** An entry, understood. */
export interface NetPermission {
  readonly scheme: "https:" | "http:";
  readonly port: number;
  readonly host:
    | { readonly kind: "name"; readonly name: string }
    /** Every name below it. @property suffix with its leading dot */
    | { readonly kind: "below"; readonly suffix: string }
    | { readonly kind: "addresses"; readonly range: AddressRange };
}

/** Entries in one list. */
export const NET_PERMISSIONS_MAX = 256;

/** How an entry must look. */
export const NET_PERMISSION_RULE =
  "host:port, *.host:port, an address or a range such as 10.0.0.0/8:443 or [fd00::/8]:443, with http:// before it for plain HTTP";

const NAME =
  /^(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*$/;

/** Reads an entry; null when it is none. */
export function parseNetPermission(text: string): NetPermission | null {
  const [, scheme = "https", place, port] = /^(?:(https?):\/\/)?(.{1,260}):(\d{1,5})$/.exec(text) ?? [];
  const number = parsePort(port ?? "");
  if (place === undefined || number === undefined || number === 0) return null;
  const host = parseHost(place);
  return host === null ? null : { scheme: scheme === "http" ? "http:" : "https:", port: number, host };
}

function parseHost(place: string): NetPermission["host"] | null {
  const inner = /^\[([0-9a-fA-F]*:[0-9a-fA-F:.]*(?:\/\d{1,3})?)\]$/.exec(place)?.[1];
  if (inner !== undefined || /^[0-9.]+(\/\d+)?$/.test(place)) {
    const range = parseAddresses(inner ?? place);
    // An IPv6 address without brackets would be read as a name with a port, and does not come here.
    return range === null ? null : { kind: "addresses", range };
  }
  const isBelow = place.startsWith("*.");
  const name = plainName(isBelow ? place.slice(2) : place);
  if (name === null) return null;
  return isBelow ? { kind: "below", suffix: `.${name}` } : { kind: "name", name };
}

function parseAddresses(text: string): AddressRange | null {
  const isIpv6 = text.includes(":");
  if (text.includes("/")) {
    if (!isCidr(text)) return null;
    const [address, bits] = ipaddr.parseCIDR(text);
    // A mapped range would never be met: addresses are compared as the IPv4 that they stand for.
    return isMapped(address) ? null : [address, bits];
  }
  const fine = isIpv6 ? ipaddr.IPv6.isValid(text) : ipaddr.IPv4.isValidFourPartDecimal(text);
  if (!fine) return null;
  const address = ipaddr.parse(text);
  return isMapped(address) ? null : [address, isIpv6 ? 128 : 32];
}

function isMapped(address: ipaddr.IPv4 | ipaddr.IPv6): boolean {
  return address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress();
}

/** A name as URLs have it: in lower case, and what is not ASCII in its coded form. Null where it is not a name alone. */
function plainName(text: string): string | null {
  if (/[\s\/\\?#@%:*[\]]/.test(text) || !URL.canParse(`https://${text}/`)) return null;
  const { hostname } = new URL(`https://${text}/`);
  // "0x7f.1" and "127.1" become an address, which is not what the entry seems to be.
  return NAME.test(hostname) && !/(^|\.)\d+$/.test(hostname) ? hostname : null;
}
