// The backend decides: each ticket is a signed POST, bounded in number, time and size of the answer. Good answers are
// remembered for a short time, equal questions under way are asked once, and a backend that fails is left alone for a
// while.

import { errorText } from "../error_text.ts";
import { createHash } from "node:crypto";
import type { HttpAuthConfig } from "../config/schema.ts";
import type { Log } from "../log.ts";
import { Breaker } from "../outbound/breaker.ts";
import { signature, SIGNATURE_HEADER, type SigningKey, signingKeys } from "../outbound/signing.ts";
import { type Json, type JsonReading, readForeign } from "../protocol/json.ts";
import { JSON_DEPTH } from "../protocol/json_scan.ts";
import { Semaphore } from "../collections/semaphore.ts";
import { type Client, textOf } from "./asking.ts";
import {
  type Bearer,
  busy,
  DENIED,
  EXPIRED_TICKET,
  unavailable,
  type Verdict,
  type Verified,
  type Verifier,
} from "./verifier.ts";

export interface HttpOptions {
  readonly tenant: string;
  readonly config: HttpAuthConfig;
  readonly client: Client;
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
  /** Unix time in milliseconds. */
  readonly unixMs: () => number;
  readonly log: Log;
}

/** Largest answer, in bytes. */
export const ANSWER_BYTES_MAX = 65_536;
const RETRY_MS = 1000;

interface Cached {
  readonly verdict: Verified;
  readonly untilMs: number;
}

export class HttpVerifier implements Verifier {
  readonly headers: readonly string[];
  readonly #options: HttpOptions;
  readonly #breaker: Breaker;
  /** Good answers by digest of the question, oldest first. */
  readonly #cache = new Map<string, Cached>();
  readonly #asking = new Map<string, Promise<Verdict>>();
  readonly #turns: Semaphore;
  readonly #keys: readonly SigningKey[];

  constructor(options: HttpOptions) {
    this.#options = options;
    this.headers = options.config.headers;
    this.#breaker = new Breaker(options.now);
    this.#turns = new Semaphore(options.config.max_concurrent);
    this.#keys = signingKeys(options.config);
  }

  /** Answers remembered now. */
  get cached(): number {
    return this.#cache.size;
  }

  verify(bearer: Bearer): Verdict | Promise<Verdict> {
    const { tenant, now, config } = this.#options;
    const { ticket, address, origin, headers, renews } = bearer;
    const body = JSON.stringify({
      tenant,
      ticket,
      address,
      origin,
      headers,
      ...(renews === null ? {} : { renews }),
    });
    // Of the whole question: the answer may depend on the address or a cookie too. And a digest, so that no ticket
    // stays in memory.
    const digest = createHash("sha256").update(body).digest("base64");
    const cached = this.#cache.get(digest);
    if (cached !== undefined) {
      if (cached.untilMs > now()) return cached.verdict;
      this.#cache.delete(digest);
    }
    const asking = this.#asking.get(digest);
    if (asking !== undefined) return asking;
    if (this.#turns.isBusy && this.#turns.waiting >= config.max_queued) return busy(RETRY_MS);
    const wait = this.#breaker.enter();
    if (wait > 0) return unavailable(wait);
    const deadline = now() + config.timeout_ms;
    const verdict = this.#turns.run(() => this.#ask(body, { digest, deadline }))
      .finally(() => this.#asking.delete(digest));
    this.#asking.set(digest, verdict);
    return verdict;
  }

  stop(): void {
    this.#options.client.close();
  }

  async #ask(body: string, about: { digest: string; deadline: number }): Promise<Verdict> {
    const { config, now } = this.#options;
    try {
      // Whoever waited too long gives way to those who still have time.
      if (now() >= about.deadline) throw new Error(`no turn within ${config.timeout_ms} ms`);
      const verdict = await this.#post(body);
      this.#breaker.succeeded();
      if (verdict.ok) this.#remember(about.digest, verdict);
      return verdict;
    } catch (cause) {
      return this.#failed(cause);
    }
  }

  async #post(body: string): Promise<Verdict> {
    const { config, client, unixMs } = this.#options;
    const headers: Record<string, string> = {
      "content-type": "application/json",
      accept: "application/json",
    };
    if (this.#keys.length > 0) headers[SIGNATURE_HEADER] = signature(body, this.#keys, unixMs());
    // Where a ticket is good for one question only, the repetition is refused, and the client was lost already.
    const answer = await client.post({ body, headers, timeoutMs: config.timeout_ms, repeatable: true });
    if (answer.ok && (answer.status === 401 || answer.status === 403)) return DENIED;
    const text = textOf(answer);
    // Whoever is asked each time vouches for the ticket anew.
    const verdict = { ...readAnswer(text), issuedAtMs: unixMs() };
    return verdict.expiresAtMs !== null && verdict.expiresAtMs <= unixMs() ? EXPIRED_TICKET : verdict;
  }

  #failed(cause: unknown): Verdict {
    const { log, tenant, config } = this.#options;
    const error = errorText(cause);
    if (this.#breaker.isClosed) log.warn("auth backend failed", { tenant, url: config.url, error });
    if (this.#breaker.failed()) {
      log.error("auth backend is left alone for a while", { tenant, url: config.url });
    }
    return unavailable(RETRY_MS);
  }

  #remember(digest: string, verdict: Verified): void {
    const { config, now, unixMs } = this.#options;
    const left = verdict.expiresAtMs === null ? Number.POSITIVE_INFINITY : verdict.expiresAtMs - unixMs();
    const ttlMs = Math.min(config.cache_ttl_ms, left);
    if (ttlMs <= 0) return;
    this.#cache.set(digest, { verdict, untilMs: now() + ttlMs });
    if (this.#cache.size > config.cache_max_entries) this.#cache.delete(this.#cache.keys().next().value!);
  }
}

function read(text: string, name: string, how: JsonReading): unknown {
  const read = readForeign(text, JSON_DEPTH, how);
  if (!read.ok) throw new Error(`${name} ${read.why}`);
  return read.value;
}

/** @throws when the answer is none that was agreed on: a backend that errs must not let anybody in, or keep all out */
function readAnswer(text: string): Omit<Verified, "issuedAtMs"> {
  const answer = read(text, "answer", { raw: (key, level) => key === "claims" && level === 1 });
  if (typeof answer !== "object" || answer === null) throw new Error("answer is no JSON object");
  const { user, claims: said, expires_at: expiresAt, ticket_id: ticketId } = answer as Record<
    string,
    unknown
  >;
  if (typeof user !== "string" || user === "") throw new Error("answer has no user");
  const claims = said === undefined
    ? undefined
    : read((said as Json).text, "claims of the answer", { wide: true });
  if (claims !== undefined && (typeof claims !== "object" || claims === null || Array.isArray(claims))) {
    throw new Error("claims of the answer are no object");
  }
  if (
    expiresAt !== undefined && expiresAt !== null &&
    !(Number.isFinite(expiresAt) && (expiresAt as number) > 0)
  ) {
    throw new Error("expires_at of the answer is no Unix time in seconds");
  }
  return {
    ok: true,
    user,
    claims: (claims ?? {}) as Record<string, unknown>,
    expiresAtMs: typeof expiresAt === "number" ? expiresAt * 1000 : null,
    ticketId: ticketId ?? null,
  };
}
