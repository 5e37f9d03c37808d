// An identity provider's public keys, fetched when a ticket needs them and kept. Old keys are better than none: while
// the provider cannot be asked, the last set holds on, for a bounded time. Unknown key ids, which anybody can invent,
// cause no more than one fetch per cool-down.

import { errorText } from "../error_text.ts";
import {
  createLocalJWKSet,
  type CryptoKey,
  errors,
  type JSONWebKeySet,
  type JWSHeaderParameters,
} from "jose";
import type { JwtConfig } from "../config/schema.ts";
import type { Log } from "../log.ts";
import { readForeign } from "../protocol/json.ts";
import { JSON_DEPTH } from "../protocol/json_scan.ts";
import { type Client, textOf } from "./asking.ts";

/** Largest set, in bytes; a provider with dozens of keys has some 50 KiB. */
export const JWKS_BYTES_MAX = 262_144;
const KEYS_MAX = 100;
/** After a fetch that failed, the next one comes sooner than the cool-down says. */
const FAILED_COOLDOWN_MS = 2000;

export interface JwksOptions {
  readonly url: string;
  readonly timing: Pick<
    JwtConfig,
    "jwks_refresh_ms" | "jwks_cooldown_ms" | "jwks_timeout_ms" | "jwks_max_stale_ms"
  >;
  readonly client: Client;
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
  readonly log: Log;
  readonly tenant: string;
}

/** A key, that there is none for such a ticket, or that nobody can tell now. */
export type KeyAnswer = readonly CryptoKey[] | "unknown" | "unavailable";

type Lookup = ReturnType<typeof createLocalJWKSet>;

export class Jwks {
  readonly #options: JwksOptions;
  #lookup: Lookup | null = null;
  #fetchedAt = Number.NEGATIVE_INFINITY;
  #triedAt = Number.NEGATIVE_INFINITY;
  #fetching: Promise<void> | null = null;
  #failing = false;

  constructor(options: JwksOptions) {
    this.#options = options;
  }

  /** Milliseconds until a fetch may be tried again. */
  get retryMs(): number {
    const { timing, now } = this.#options;
    const cooldownMs = timing.jwks_cooldown_ms;
    return Math.max(
      0,
      this.#triedAt + (this.#failing ? Math.min(cooldownMs, FAILED_COOLDOWN_MS) : cooldownMs) - now(),
    );
  }

  /** Keys that may have signed a ticket with this header; more than one where it names none. */
  async find(header: JWSHeaderParameters): Promise<KeyAnswer> {
    const { timing, now } = this.#options;
    const age = now() - this.#fetchedAt;
    if (this.#lookup === null || age > timing.jwks_refresh_ms + timing.jwks_max_stale_ms) {
      this.#lookup = null;
      await this.#refresh();
    } else if (age > timing.jwks_refresh_ms) void this.#refresh(); // the old set answers meanwhile
    if (this.#lookup === null) return "unavailable";
    const keys = await pick(this.#lookup, header);
    if (keys !== "unknown") return keys;
    // Rotated since: the set may have the key by now.
    const before = this.#fetchedAt;
    await this.#refresh();
    if (this.#fetchedAt !== before && this.#lookup !== null) return await pick(this.#lookup, header);
    return this.#failing ? "unavailable" : "unknown";
  }

  /** Lets go of its connection. */
  stop(): void {
    this.#options.client.close();
  }

  /** Fetches the set, unless that was tried a moment ago; joins a fetch under way. */
  #refresh(): Promise<void> {
    if (this.#fetching !== null) return this.#fetching;
    if (this.retryMs > 0) return Promise.resolve();
    this.#triedAt = this.#options.now();
    return this.#fetching = this.#fetch().finally(() => this.#fetching = null);
  }

  async #fetch(): Promise<void> {
    const { url, timing, client, now, log, tenant } = this.#options;
    const headers = { accept: "application/jwk-set+json, application/json" };
    try {
      const timeoutMs = timing.jwks_timeout_ms;
      const text = textOf(await client.get({ headers, timeoutMs, repeatable: true }));
      const read = readForeign(text, JSON_DEPTH);
      if (!read.ok) throw new Error(`the JWKS ${read.why}`);
      const set = read.value as JSONWebKeySet;
      if (!Array.isArray(set?.keys) || set.keys.length === 0 || set.keys.length > KEYS_MAX) {
        throw new Error(`no JWKS of 1..${KEYS_MAX} keys`);
      }
      this.#lookup = createLocalJWKSet(set);
      this.#fetchedAt = now();
      if (this.#failing) log.info("JWKS fetched again", { tenant, url });
      this.#failing = false;
    } catch (cause) {
      const error = errorText(cause);
      const stale = this.#lookup !== null;
      log.warn("JWKS cannot be fetched", { tenant, url, error, last_set_holds: stale });
      this.#failing = true;
    }
  }
}

async function pick(lookup: Lookup, header: JWSHeaderParameters): Promise<readonly CryptoKey[] | "unknown"> {
  try {
    return [await lookup(header)];
  } catch (error) {
    if (error instanceof errors.JWKSMultipleMatchingKeys) {
      const keys: CryptoKey[] = [];
      for await (const key of error) keys.push(key);
      return keys;
    }
    return "unknown"; // no such key, or one that the runtime cannot use
  }
}
