// Which web pages may connect. Only browsers send `Origin`, and they always do; it protects their users from pages
// of other sites, not the gateway from clients that can write what they like.

import { hostOf, parseOrigin, parseOriginEntry } from "../config/origins.ts";

export class OriginRule {
  readonly #any: boolean;
  readonly #exact = new Set<string>();
  readonly #below: { readonly scheme: string; readonly suffix: string }[] = [];
  readonly #sameHost: boolean;

  /** @param entries checked by the schema; none means pages of the host that is connected to */
  constructor(entries: readonly string[]) {
    const parsed = entries.map((entry) => parseOriginEntry(entry)!);
    this.#any = parsed.some(({ kind }) => kind === "any");
    this.#sameHost = entries.length === 0;
    for (const entry of parsed) {
      if (entry.kind === "exact") this.#exact.add(entry.origin);
      else if (entry.kind === "below") this.#below.push(entry);
    }
  }

  /** @param host the request's `Host` */
  allows(origin: string, host: string | null): boolean {
    if (this.#any) return true;
    const page = parseOrigin(origin);
    if (page === undefined) return false;
    if (this.#sameHost) {
      return host !== null && page.host !== "" && hostOf(host, page.scheme) === page.host;
    }
    return this.#exact.has(page.origin) ||
      this.#below.some(({ scheme, suffix }) =>
        scheme === page.scheme && page.host.endsWith(suffix) && page.host.length > suffix.length
      );
  }
}
