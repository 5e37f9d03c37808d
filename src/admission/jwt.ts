// JSON Web Tokens (RFC 7519), with `jose` on the runtime's own cryptography, which works off the main thread; but for HMAC,
// which takes 2 µs where the way to a thread and back takes 20 to 30. What can be told from the header and from `exp` is
// told before any cryptography.

import { Buffer } from "node:buffer";
import { createHmac, timingSafeEqual } from "node:crypto";
import {
  type CryptoKey,
  decodeJwt,
  decodeProtectedHeader,
  errors,
  importSPKI,
  type JWSHeaderParameters,
  type JWTPayload,
  jwtVerify,
  type JWTVerifyOptions,
  UnsecuredJWT,
} from "jose";
import { JWT_ALGORITHMS, type JwtAlgorithm } from "../config/auth_schema.ts";
import { kindFor, readPem, readSecret } from "../config/jwt_key.ts";
import type { JwtConfig, JwtKeyConfig } from "../config/schema.ts";
import { MISREADS_KEYS, readForeign } from "../protocol/json.ts";
import { integerOf, WideNumber } from "../protocol/json_number.ts";
import { JSON_DEPTH } from "../protocol/json_scan.ts";
import type { Jwks } from "./jwks.ts";
import type { Semaphore } from "../collections/semaphore.ts";
import {
  BAD_TICKET,
  type Bearer,
  EXPIRED_TICKET,
  unavailable,
  type Verdict,
  type Verifier,
} from "./verifier.ts";

export interface JwtOptions {
  readonly config: JwtConfig;
  /** Null without `jwks_url`. */
  readonly jwks: Jwks | null;
  /** For the cryptography of all tenants: the runtime's threads for it must not crowd out the event loop's. */
  readonly turns: Semaphore;
  /** Unix time in milliseconds. */
  readonly unixMs: () => number;
}

/** Claims that the gateway reads itself; services do not see them. */
export const REGISTERED_CLAIMS: readonly string[] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];

/** What was found out about a ticket, step by step, for `wsprism check-token`. */
export interface JwtReport {
  readonly verdict: Verdict;
  /** The step that failed; null when none did. */
  readonly failed: string | null;
  readonly header: JWSHeaderParameters | null;
  readonly payload: JWTPayload | null;
  /** The key that verified the signature, as the configuration names it. */
  readonly key: string | null;
}

interface Attempt {
  readonly name: string;
  /** @throws an error of jose where the ticket is not good */
  readonly verify: (ticket: string, options: JWTVerifyOptions) => JWTPayload | Promise<JWTPayload>;
}

export class JwtVerifier implements Verifier {
  readonly headers: readonly string[] = [];
  readonly #config: JwtConfig;
  readonly #jwks: Jwks | null;
  readonly #turns: Semaphore;
  readonly #unixMs: () => number;
  readonly #keys: readonly ConfiguredKey[];

  constructor({ config, jwks, turns, unixMs }: JwtOptions) {
    this.#config = config;
    this.#jwks = jwks;
    this.#turns = turns;
    this.#unixMs = unixMs;
    this.#keys = config.keys.map((key, index) => new ConfiguredKey(key, index));
  }

  verify({ ticket }: Bearer): Verdict | Promise<Verdict> {
    if (ticket === null) return BAD_TICKET;
    const header = readHeader(ticket, this.#config.algorithms);
    if (typeof header === "string") return BAD_TICKET;
    if (this.#isExpired(ticket)) return EXPIRED_TICKET;
    return this.#verify(ticket, header).then(({ verdict }) => verdict, () => BAD_TICKET);
  }

  stop(): void {
    this.#jwks?.stop();
  }

  /** Verifies a ticket and tells how far it came. */
  async explain(ticket: string): Promise<JwtReport> {
    const header = readHeader(ticket, this.#config.algorithms);
    if (typeof header === "string") {
      return { verdict: BAD_TICKET, failed: header, header: null, payload: null, key: null };
    }
    return await this.#verify(ticket, header);
  }

  /** Only a reason not to look at the signature: nothing else is believed before it. */
  #isExpired(ticket: string): boolean {
    try {
      const { exp } = decodeJwt(ticket);
      return typeof exp === "number" && exp + this.#config.leeway_s <= this.#unixMs() / 1000;
    } catch {
      return false;
    }
  }

  async #verify(ticket: string, header: JWSHeaderParameters): Promise<JwtReport> {
    const report = { header, payload: null, key: null };
    const attempts = await this.#attempts(header);
    if (attempts === "unavailable") {
      const verdict = unavailable(Math.max(1000, this.#jwks!.retryMs));
      return { ...report, verdict, failed: "the JWKS cannot be fetched now" };
    }
    if (attempts.length === 0) return { ...report, verdict: BAD_TICKET, failed: "there is no key for it" };
    const { issuer, audience, leeway_s, require_exp, algorithms } = this.#config;
    const options = {
      algorithms: [...algorithms],
      clockTolerance: leeway_s,
      currentDate: new Date(this.#unixMs()),
      requiredClaims: require_exp ? ["exp"] : [],
      ...(issuer === undefined ? {} : { issuer }),
      ...(audience === undefined ? {} : { audience }),
    };
    for (const { verify, name } of attempts) {
      try {
        const payload = await verify(ticket, options);
        const claims = claimsOf(ticket, payload);
        if (typeof claims === "string") {
          return { header, payload, key: name, verdict: BAD_TICKET, failed: claims };
        }
        const tooLong = this.#lastsTooLong(claims);
        if (tooLong !== null) {
          return { header, payload: claims, key: name, verdict: BAD_TICKET, failed: tooLong };
        }
        return { header, payload: claims, key: name, failed: null, verdict: this.#verified(claims) };
      } catch (error) {
        if (error instanceof errors.JWSSignatureVerificationFailed) continue;
        if (error instanceof errors.JWTExpired) {
          const verdict = EXPIRED_TICKET;
          return { header, payload: error.payload, key: name, verdict, failed: "it has expired" };
        }
        const payload = error instanceof errors.JWTClaimValidationFailed ? error.payload : null;
        const why = error instanceof errors.JOSEError ? error.message : "it cannot be verified";
        return { header, payload, key: name, verdict: BAD_TICKET, failed: why };
      }
    }
    return {
      ...report,
      verdict: BAD_TICKET,
      failed: "the signature is not that of any key that it could be",
    };
  }

  /** Why a ticket that is good lasts longer than the tenant wants; null where it does not. */
  #lastsTooLong({ exp }: JWTPayload): string | null {
    const { max_age_s, leeway_s } = this.#config;
    if (max_age_s === 0) return null;
    if (exp === undefined) return "it has no exp, and max_age_s bounds how long a ticket may last";
    const ahead = exp - this.#unixMs() / 1000;
    return ahead <= max_age_s + leeway_s ? null : `its exp is more than ${max_age_s} s ahead (max_age_s)`;
  }

  #verified(payload: JWTPayload): Verdict {
    const { user_claim, leeway_s } = this.#config;
    const user = Object.hasOwn(payload, user_claim) ? payload[user_claim] : undefined;
    const { exp, iat, jti } = payload;
    return {
      ok: true,
      // Some backends number their users.
      user: Number.isSafeInteger(user) || user instanceof WideNumber && integerOf(user.text) !== null
        ? String(user)
        : user,
      claims: payload,
      expiresAtMs: exp === undefined ? null : (exp + leeway_s) * 1000,
      ticketId: jti ?? null,
      issuedAtMs: typeof iat === "number" ? iat * 1000 : null,
    };
  }

  /** Keys that may have signed it: by name where both have one, else by kind. */
  async #attempts(header: JWSHeaderParameters): Promise<readonly Attempt[] | "unavailable"> {
    const algorithm = header.alg as JwtAlgorithm;
    const nowMs = this.#unixMs();
    const fitting = this.#keys.filter((key) => key.fits(algorithm, header.kid) && key.notAfterMs > nowMs);
    const named = fitting.filter(({ kid }) => kid !== undefined && kid === header.kid);
    const chosen = named.length > 0 ? named : fitting;
    const attempts: Attempt[] = [];
    for (const key of chosen) {
      const { name, secret } = key;
      // What must be understood (`crit`) is jose's business.
      if (secret !== null && header.crit === undefined) {
        attempts.push({
          name,
          verify: (ticket, options) => verifyMac(ticket, { secret, algorithm, options }),
        });
      } else attempts.push(this.#attempt(name, await key.for(algorithm)));
    }
    if (named.length > 0 || this.#jwks === null || kindFor(algorithm) === "secret") return attempts;
    const found = await this.#jwks.find(header);
    if (found === "unavailable" && attempts.length === 0) return "unavailable";
    if (typeof found === "object") attempts.push(...found.map((key) => this.#attempt("of the JWKS", key)));
    return attempts;
  }

  #attempt(name: string, key: CryptoKey): Attempt {
    const verify = async (ticket: string, options: JWTVerifyOptions) =>
      (await this.#turns.run(() => jwtVerify(ticket, key, options))).payload;
    return { name, verify };
  }
}

/**
 * The claims with their numbers as they are written, or what is wrong with them. jose's own reading is not kept, only
 * what it has found good.
 */
function claimsOf(ticket: string, judged: JWTPayload): JWTPayload | string {
  const text = Buffer.from(ticket.split(".")[1]!, "base64url").toString();
  const read = readForeign(text, JSON_DEPTH, { wide: true });
  if (!read.ok) return `its payload ${read.why}`;
  const claims = read.value as JWTPayload;
  if ((claims.exp as unknown) instanceof WideNumber) return "its exp is no time: it has too many digits";
  // Where the engine misreads keys, jose may have judged another ticket than this one.
  const differs = (name: string) => JSON.stringify(claims[name]) !== JSON.stringify(judged[name]);
  return MISREADS_KEYS && REGISTERED_CLAIMS.some(differs) ? "its payload cannot be read" : claims;
}

/** The header, or what is wrong with the ticket's form. */
function readHeader(ticket: string, algorithms: readonly JwtAlgorithm[]): JWSHeaderParameters | string {
  if (!/^[\w-]+\.[\w-]+\.[\w-]+$/.test(ticket)) {
    return "it is no signed JWT: three parts in base64url, with dots between";
  }
  try {
    const { alg, kid, crit } = decodeProtectedHeader(ticket);
    const header: JWSHeaderParameters = {
      ...(crit === undefined ? {} : { crit }),
      ...(alg === undefined ? {} : { alg }),
      ...(kid === undefined ? {} : { kid }),
    };
    if (!(JWT_ALGORITHMS as readonly unknown[]).includes(alg)) {
      return `its algorithm ${JSON.stringify(alg)} is none that can be allowed`;
    }
    if (!algorithms.includes(alg as JwtAlgorithm)) {
      return `its algorithm ${alg} is not among those allowed (${algorithms.join(", ")})`;
    }
    if (kid !== undefined && (typeof kid !== "string" || kid.length > 256)) {
      return "its kid is no text of at most 256 characters";
    }
    return header;
  } catch {
    return "its header cannot be read";
  }
}

/** A key of the configuration. The runtime wants it imported for each algorithm; that is done once, when needed. */
class ConfiguredKey {
  readonly name: string;
  readonly kid: string | undefined;
  readonly notAfterMs: number;
  readonly #kind: ReturnType<typeof kindFor>;
  readonly #material: Uint8Array | string;
  readonly #imported = new Map<JwtAlgorithm, Promise<CryptoKey>>();

  constructor(config: JwtKeyConfig, index: number) {
    this.kid = config.kid;
    this.name = config.kid === undefined ? `keys[${index}]` : `keys[${index}] "${config.kid}"`;
    this.notAfterMs = config.not_after === undefined
      ? Number.POSITIVE_INFINITY
      : Date.parse(config.not_after);
    if (config.secret !== undefined) {
      // The configuration was checked when it was loaded.
      this.#material = readSecret(config.secret, config.secret_encoding) as Uint8Array;
      this.#kind = "secret";
    } else {
      const pem = readPem(config.public_key, undefined);
      if (typeof pem === "string") throw new Error(`Cannot use ${this.name}: ${pem}`);
      this.#material = pem.publicPem;
      this.#kind = pem.kind;
    }
  }

  /** Null for a key of another kind. */
  get secret(): Uint8Array | null {
    return typeof this.#material === "string" ? null : this.#material;
  }

  fits(algorithm: JwtAlgorithm, kid: string | undefined): boolean {
    return this.#kind === kindFor(algorithm) &&
      (kid === undefined || this.kid === undefined || this.kid === kid);
  }

  for(algorithm: JwtAlgorithm): Promise<CryptoKey> {
    let imported = this.#imported.get(algorithm);
    if (imported === undefined) {
      imported = importKey(this.#material, algorithm);
      this.#imported.set(algorithm, imported);
    }
    return imported;
  }
}

/** The header that jose wants of a payload whose signature is no business of it. */
const UNSECURED = Buffer.from('{"alg":"none"}').toString("base64url");

/** Verifies a ticket's HMAC here and now, and then has jose judge its claims. */
function verifyMac(
  ticket: string,
  { secret, algorithm, options }: {
    readonly secret: Uint8Array;
    readonly algorithm: JwtAlgorithm;
    readonly options: JWTVerifyOptions;
  },
): JWTPayload {
  const end = ticket.lastIndexOf(".");
  const mac = createHmac(`sha${algorithm.slice(2)}`, secret).update(ticket.slice(0, end)).digest("base64url");
  // As texts, so that there is one way only to write a signature.
  const given = Buffer.from(ticket.slice(end + 1)), right = Buffer.from(mac);
  if (given.length !== right.length || !timingSafeEqual(given, right)) {
    throw new errors.JWSSignatureVerificationFailed();
  }
  const payload = ticket.slice(ticket.indexOf(".") + 1, end);
  return UnsecuredJWT.decode(`${UNSECURED}.${payload}.`, options).payload;
}

function importKey(material: Uint8Array | string, algorithm: JwtAlgorithm): Promise<CryptoKey> {
  if (typeof material === "string") return importSPKI(material, algorithm);
  const hash = `SHA-${algorithm.slice(2)}`;
  const bytes = new Uint8Array(material);
  return crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash }, false, ["verify"]) as Promise<
    CryptoKey
  >;
}
