// Which address a handshake came from. Behind proxies the socket's peer is the nearest proxy; the client stands
// in a header that only listed proxies are believed.

import ipaddr from "ipaddr.js";

type Address = ipaddr.IPv4 | ipaddr.IPv6;
type Cidr = [Address, number];

/** At most this many hops of a forwarding header are looked at. */
const HOPS_MAX = 32;

export class AddressFinder {
  readonly #trusted: readonly Cidr[];
  readonly #header: string;

  /**
   * @param trustedProxies CIDRs or single addresses, checked by the schema
   * @param header name in lower case
   */
  constructor(trustedProxies: readonly string[], header: string) {
    this.#trusted = trustedProxies.map(parseRange);
    this.#header = header;
  }

  /** The first address, going back from the socket's peer, that is no trusted proxy. */
  find(peer: string, header: (name: string) => string | null): string {
    if (this.#trusted.length === 0 || !this.#isTrusted(peer)) return peer;
    let nearest = peer;
    const hops = (header(this.#header) ?? "").split(",").slice(-HOPS_MAX);
    for (let i = hops.length - 1; i >= 0; i--) {
      const hop = plainAddress(hops[i]!);
      if (hop === null) return nearest; // What cannot be read cannot be believed, nor what stands before it.
      nearest = hop;
      if (!this.#isTrusted(hop)) return hop;
    }
    return nearest;
  }

  /** What limits count an address under: itself, or its /64 network, of which one host can have all addresses. */
  group(address: string): string {
    if (!address.includes(":") || !ipaddr.IPv6.isValid(address)) return address;
    const parts = ipaddr.IPv6.parse(address).parts.slice(0, 4);
    return `${parts.map((part) => part.toString(16)).join(":")}::/64`;
  }

  #isTrusted(text: string): boolean {
    const address = readAddress(text);
    return address !== null &&
      this.#trusted.some(([range, bits]) => address.kind() === range.kind() && address.match(range, bits));
  }
}

/** An address as written in forwarding headers, with or without port and brackets, in its canonical form. */
function plainAddress(hop: string): string | null {
  const text = hop.trim().replace(/^\[(.+)\](?::\d+)?$/, "$1").replace(/^(\d+\.\d+\.\d+\.\d+):\d+$/, "$1");
  return readAddress(text)?.toString() ?? null;
}

/** The address that a text is, or null. "10.0.0", "0x7f.1" or a zone ("%eth0") are read differently by different readers. */
function readAddress(text: string): Address | null {
  const plain = ipaddr.IPv4.isValidFourPartDecimal(text) || ipaddr.IPv6.isValid(text) && !text.includes("%");
  return plain ? ipaddr.process(text) : null;
}

/** A range or a single address; an IPv4-mapped one as the IPv4 that it stands for, as peers are. */
function parseRange(text: string): Cidr {
  const [address, bits] = text.includes("/") ? ipaddr.parseCIDR(text) : single(ipaddr.parse(text));
  if (!(address instanceof ipaddr.IPv6) || !address.isIPv4MappedAddress() || bits < 96) {
    return [address, bits];
  }
  return [address.toIPv4Address(), bits - 96];
}

function single(address: Address): Cidr {
  return [address, address.kind() === "ipv4" ? 32 : 128];
}
