// Which verifier a tenant has, by the mode of its `auth`.

import { authSchema } from "../config/auth_schema.ts";
import type { AuthConfig } from "../config/schema.ts";
import type { Log } from "../log.ts";
import type { Share } from "../outbound/inflow.ts";
import { clientOf } from "./asking.ts";
import { ANSWER_BYTES_MAX, HttpVerifier } from "./http.ts";
import { Jwks, JWKS_BYTES_MAX } from "./jwks.ts";
import { JwtVerifier } from "./jwt.ts";
import { DevVerifier, StaticVerifier } from "./ticket.ts";
import type { Semaphore } from "../collections/semaphore.ts";
import type { Verifier } from "./verifier.ts";

/** What a tenant without `auth` has under `--dev`; nobody guesses there, so nobody waits. */
export const DEV_AUTH: AuthConfig = authSchema.parse({ mode: "dev", failure_delay_ms: 0 });

export interface VerifierOptions {
  readonly tenant: string;
  readonly config: AuthConfig;
  /** For the signatures of all tenants. */
  readonly signatureTurns: Semaphore;
  /** Of the tenant, for answers of those whom it asks. */
  readonly share: Share;
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
  /** Unix time in milliseconds. */
  readonly unixMs: () => number;
  readonly log: Log;
}

/** The verifier of `config.mode`. */
export function verifierFor(options: VerifierOptions): Verifier {
  const { config } = options;
  switch (config.mode) {
    case "jwt":
      return jwtVerifierFor(options);
    case "static":
      return new StaticVerifier(config.static!);
    case "http":
      return new HttpVerifier({
        ...options,
        config: config.http!,
        client: clientOf(config.http!.url, { bodyBytesMax: ANSWER_BYTES_MAX, share: options.share }),
      });
    case "dev":
      return new DevVerifier();
  }
}

/** The verifier of mode `jwt`; its section is there, as the configuration was checked. */
export function jwtVerifierFor(options: VerifierOptions): JwtVerifier {
  const { tenant, config, signatureTurns: turns, share, now, unixMs, log } = options;
  const jwt = config.jwt!;
  const { jwks_url: url } = jwt;
  const client = url === undefined ? null : clientOf(url, { bodyBytesMax: JWKS_BYTES_MAX, share });
  const jwks = client === null ? null : new Jwks({ url: url!, timing: jwt, client, now, log, tenant });
  return new JwtVerifier({ config: jwt, jwks, turns, unixMs });
}
