// `tenants[].auth` and `tenants[].origins`: who may connect. What keys must satisfy together, and whether key
// material is what it should be, is checked in auth.ts.

import * as z from "zod";
import { flag, secret, text, whole } from "./fields.ts";
import { parseOriginEntry } from "./origins.ts";
import { httpUrl, signing } from "./outbound.ts";

/** Signature algorithms of RFC 7518 and RFC 8037 that tickets may use. `none` is not among them. */
export const JWT_ALGORITHMS = [
  "HS256",
  "HS384",
  "HS512",
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
] as const;

/** One of `JWT_ALGORITHMS`. */
export type JwtAlgorithm = (typeof JWT_ALGORITHMS)[number];

/** Keys of one tenant; a ticket without `kid` may have to be tried with each. */
const KEYS_MAX = 32;

const file = (description: string) => z.string().min(1).meta({ description, wish: "a path" });

const isMoment = (value: string) =>
  /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2}))?$/.test(value) &&
  !Number.isNaN(Date.parse(value));

const jwtKey = z.strictObject({
  kid: text((value) => /^[\x21-\x7e]{1,128}$/.test(value), {
    description: "The key's name in a ticket's header. Tickets without `kid` are tried with every key.",
    wish: "1–128 printable ASCII characters without spaces",
  }).optional(),
  secret: secret(
    "For HS256, HS384 and HS512: the secret shared with your backend, of at least 32, 48 or 64 bytes.",
  ).optional(),
  secret_encoding: z.enum(["text", "base64", "hex"]).default("text").meta({
    description: "How `secret` is written. `base64` takes both alphabets.",
  }),
  public_key: secret("For the other algorithms: the public key, PEM (`-----BEGIN PUBLIC KEY-----`).")
    .optional(),
  public_key_file: file("The same from a file; relative to the configuration file.").optional(),
  private_key: secret(
    "The private key (PKCS #8, PEM), for `wsprism token`. The gateway itself only needs the public one.",
  ).optional(),
  private_key_file: file("The same from a file; relative to the configuration file.").optional(),
  not_after: text(isMoment, {
    description: "When tickets signed with this key stop being accepted.",
    wish: 'a date or time such as "2027-01-31" or "2027-01-31T12:00:00Z"',
  }).optional(),
}).meta({ description: "A key that tickets may be signed with." });

const jwt = z.strictObject({
  algorithms: z.array(z.enum(JWT_ALGORITHMS)).min(1).meta({
    description: "Signature algorithms that are accepted, and no other.",
    wish: "a list of at least one algorithm",
  }),
  keys: z.array(jwtKey).max(KEYS_MAX).default([]).meta({
    description: "Keys known in advance; several for rotation.",
    wish: `a list of at most ${KEYS_MAX} keys`,
    secret: true,
  }),
  jwks_url: httpUrl("Where an identity provider publishes its public keys (JWKS).").optional(),
  jwks_refresh_ms: whole(
    1000,
    86_400_000,
    600_000,
    "Age at which the JWKS is fetched again, in milliseconds.",
  ),
  jwks_cooldown_ms: whole(
    100,
    3_600_000,
    30_000,
    "Least time between two fetches of the JWKS, however many tickets name unknown keys, in milliseconds.",
  ),
  jwks_timeout_ms: whole(50, 60_000, 5000, "Time that a fetch of the JWKS may take, in milliseconds."),
  jwks_max_stale_ms: whole(
    0,
    2_592_000_000,
    86_400_000,
    "Time that the last JWKS is still believed while it cannot be fetched, in milliseconds.",
  ),
  issuer: z.string().min(1).meta({ description: "What a ticket's `iss` must be; not looked at when absent." })
    .optional(),
  audience: z.string().min(1).meta({
    description: "What a ticket's `aud` must be or contain; not looked at when absent.",
  }).optional(),
  user_claim: z.string().min(1).max(128).default("sub").meta({
    description: "The claim that names the user.",
    wish: "1–128 characters",
  }),
  max_age_s: whole(
    0,
    3_155_760_000,
    0,
    "How far ahead a ticket's `exp` may be at most, in seconds; one without `exp` is refused as well. 0: any time, " +
      "also that of a backend which writes milliseconds by mistake.",
  ),
  require_exp: flag(true, "Whether a ticket must say when it expires."),
  leeway_s: whole(0, 300, 5, "How far the backend's clock may be off, in seconds."),
}).meta({ description: "JSON Web Tokens, signed by your backend or an identity provider." });

const staticTicket = z.strictObject({
  ticket: secret("The ticket, as clients send it."),
  user: text(isUserText, { description: "Whose ticket it is.", wish: "1–128 printable characters" }),
}).meta({ description: "A fixed ticket." });

const fixed = z.strictObject({
  tickets: z.array(staticTicket).min(1).max(10_000).meta({
    description: "Tickets and their users.",
    wish: "a list of at least one ticket",
    secret: true,
  }),
}).meta({ description: "Fixed tickets, for tools and tests." });

const http = z.strictObject({
  url: httpUrl("Where the gateway asks, with POST and a JSON body."),
  ...signing(),
  headers: z.array(
    text((value) => /^[a-z0-9!#$%&'*+.^_`|~-]{1,64}$/.test(value), {
      description: "A header's name.",
      wish: "a header name in lower case",
    }),
  ).max(32).default([]).meta({
    description:
      "Headers of the handshake that the backend is told. With `cookie` or `authorization` among them, clients " +
      "that send these need no ticket.",
  }),
  timeout_ms: whole(50, 30_000, 2000, "Time that an answer may take, in milliseconds."),
  max_concurrent: whole(1, 10_000, 64, "Questions under way at the same time."),
  max_queued: whole(0, 100_000, 256, "Questions that wait for their turn; one more is answered with 503."),
  cache_ttl_ms: whole(
    0,
    300_000,
    5000,
    "Time for which a good answer holds for the same question, in milliseconds. 0: not at all.",
  ),
  cache_max_entries: whole(1, 1_000_000, 10_000, "Answers remembered; the oldest leaves first."),
}).meta({ description: "Your backend decides." });

/** `tenants[].auth`. */
export const authSchema = z.strictObject({
  mode: z.enum(["jwt", "static", "http", "dev"]).meta({
    description: "How tickets are verified. `dev` accepts anybody and needs `--dev`.",
  }),
  jwt: jwt.optional(),
  static: fixed.optional(),
  http: http.optional(),
  allow_query_ticket: flag(
    true,
    "Whether a ticket may stand in the query, where proxies and histories may keep it.",
  ),
  first_message: flag(
    false,
    "Whether a client may connect without a ticket and send it as its first message (`sys.auth`).",
  ),
  max_pending: whole(1, 1_000_000, 1000, "Connections that have not sent their first message yet."),
  max_pending_per_ip: whole(1, 1_000_000, 20, "The same from one address."),
  expiry_warning_ms: whole(
    0,
    3_600_000,
    60_000,
    "How long before a session's ticket expires its client is told (`sys.expiring`), in milliseconds. 0: not.",
  ),
  failure_delay_ms: whole(0, 5000, 200, "Time after which a bad ticket is answered, in milliseconds."),
}).meta({ description: "Who may connect. Required, except with `--dev`." });

/** `tenants[].origins`. */
export const originsSchema = z.array(text((value) => parseOriginEntry(value) !== undefined, {
  description: "An origin.",
  wish: '"https://app.example", "https://*.example", "file://", "null" or "*"',
})).max(1000).default([]).meta({
  description:
    "Web pages that may connect, by their `Origin`. Empty: those of the host that they connect to. Clients that " +
    "send no `Origin` are no browsers and pass to the ticket.",
});

function isUserText(value: string): boolean {
  return value.length > 0 && value.length <= 128 && !/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/u.test(value);
}
