// Which web pages may connect. Only browsers send `Origin`, and they always do; it protects their users from pages
// of other sites, not the gateway from clients that can write what they like.

import { hostOf, parseOrigin, parseOriginEntry } from "../config/origins.ts";

/** What a development server calls itself; names below localhost are this machine's too (RFC 6761). */
const LOOPBACK = /^https?:\/\/(?:(?:[a-z0-9-]+\.)*localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?$/;

export class OriginRule {
  readonly #any: boolean;
  readonly #exact = new Set<string>();
  readonly #below: { readonly scheme: string; readonly suffix: string }[] = [];
  readonly #sameHost: boolean;
  readonly #thisMachine: boolean;

  /**
   * @param entries checked by the schema; none means pages of the host that is connected to
   * @param thisMachine whether pages of this machine may connect as well, from any port
   */
  constructor(entries: readonly string[], { thisMachine = false }: { readonly thisMachine?: boolean } = {}) {
    this.#thisMachine = thisMachine;
    const parsed = entries.map((entry) => parseOriginEntry(entry)!);
    this.#any = parsed.some(({ kind }) => kind === "any");
    this.#sameHost = entries.length === 0;
    for (const entry of parsed) {
      if (entry.kind === "exact") this.#exact.add(entry.origin);
      else if (entry.kind === "below") this.#below.push(entry);
    }
  }

  /** Pages of everywhere may connect. */
  get allowsAny(): boolean {
    return this.#any;
  }

  /** @param host the request's `Host` */
  allows(origin: string, host: string | null): boolean {
    if (this.#any) return true;
    const page = parseOrigin(origin);
    if (page === undefined) return false;
    if (this.#thisMachine && LOOPBACK.test(page.origin)) return true;
    if (this.#sameHost) {
      return host !== null && page.host !== "" && hostOf(host, page.scheme) === page.host;
    }
    return this.#exact.has(page.origin) ||
      this.#below.some(({ scheme, suffix }) =>
        scheme === page.scheme && page.host.endsWith(suffix) && page.host.length > suffix.length
      );
  }
}
