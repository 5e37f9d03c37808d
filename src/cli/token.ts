// `wsprism token`: a ticket for one user of one tenant, signed with the tenant's own key. For trying things out, for
// tools and for tests; users get theirs from the tenant's backend.

import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { Command } from "commander";
import { CompactSign, importPKCS8 } from "jose";
import { isUserName } from "../admission/verifier.ts";
import { kindFor, readPem, readSecret } from "../config/jwt_key.ts";
import type { AuthConfig, JwtConfig, JwtKeyConfig } from "../config/schema.ts";
import { claimOption, readClaims } from "./claims.ts";
import { CONFIG_FLAGS, CONFIG_HELP } from "./config_file.ts";
import { writeNow } from "./descriptor.ts";
import { type Done, EXIT } from "./exit.ts";
import { complain, loadAuth } from "./tenant_auth.ts";
import { ENV_FILE } from "./variables.ts";

interface TokenOptions {
  readonly config?: string;
  readonly envFile?: string;
  readonly tenant: string;
  readonly user: string;
  readonly ttl: string;
  readonly claim: readonly string[];
  readonly kid?: string;
}

const UNITS_S: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

const EXAMPLES = `
Examples:
  wsprism token --tenant acme --user ann
  wsprism token --tenant acme --user ann --ttl 10m --claim 'rooms=["party:*"]' --claim plan=pro
  wscat -c "ws://localhost:8080/v1/ws?tenant=acme" -H "Authorization: Bearer $(wsprism token --tenant acme --user ann)"

The tenant needs auth.mode jwt and a key to sign with: a secret, or a private_key(_file).`;

export function tokenCommand(done: Done): Command {
  return new Command("token")
    .description("print a ticket for a user, signed with the tenant's own secret or private key")
    .requiredOption("--tenant <id>", "the tenant")
    .requiredOption("--user <name>", "the user")
    .option(CONFIG_FLAGS, CONFIG_HELP)
    .option(...ENV_FILE)
    .option("--ttl <time>", "how long it is good for: 30s, 15m, 1h, 7d", "1h")
    .addOption(claimOption("a further claim, JSON or else a text; may be repeated"))
    .option("--kid <id>", "the key to sign with, by its kid (default: the first that can sign)")
    .addHelpText("after", EXAMPLES)
    .action(async (options: TokenOptions) => done(await token(options)));
}

async function token(options: TokenOptions): Promise<number> {
  const ttlS = seconds(options.ttl);
  if (ttlS === undefined) {
    return complain(`--ttl must be such as 30s, 15m, 1h or 7d, got "${options.ttl}"`, EXIT.usage);
  }
  if (!isUserName(options.user)) {
    return complain("--user must be 1–128 characters without control characters", EXIT.usage);
  }
  const claims = readClaims(options.claim);
  if (typeof claims === "string") return complain(claims, EXIT.usage);
  const auth = await loadAuth(options.config, options.tenant, options);
  if (typeof auth === "number") return auth;
  if (auth.mode !== "jwt" || auth.jwt === undefined) return complain(noKeys(auth, options.user), EXIT.failed);
  const key = signingKey(auth.jwt, options.kid);
  if (key === undefined) {
    const which = options.kid === undefined ? "no key" : `no key "${options.kid}"`;
    return complain(
      `Cannot sign: tenant "${options.tenant}" has ${which} that is valid now and has a secret or private_key(_file)`,
      EXIT.failed,
    );
  }
  const nowS = Math.floor(Date.now() / 1000);
  const { issuer, audience, user_claim } = auth.jwt;
  const payload = {
    [user_claim]: options.user,
    ...(issuer === undefined ? {} : { iss: issuer }),
    ...(audience === undefined ? {} : { aud: audience }),
    iat: nowS,
    exp: nowS + ttlS,
    jti: randomBytes(8).toString("hex"),
    ...claims,
  };
  writeNow(1, `${await sign(payload, key)}\n`);
  return EXIT.done;
}

function seconds(text: string): number | undefined {
  const parts = /^([1-9]\d{0,8})([smhd])$/.exec(text);
  return parts === null ? undefined : Number(parts[1]) * UNITS_S[parts[2]!]!;
}

function noKeys({ mode }: AuthConfig, user: string): string {
  switch (mode) {
    case "static":
      return "Cannot sign: this tenant has fixed tickets; they stand in auth.static.tickets";
    case "http":
      return "Cannot sign: this tenant's backend makes the tickets, and verifies them";
    default:
      return `Cannot sign: this tenant has no auth. With --dev it accepts the ticket ${
        JSON.stringify(`dev:${user}`)
      }`;
  }
}

interface SigningKey {
  readonly config: JwtKeyConfig;
  readonly algorithm: JwtConfig["algorithms"][number];
}

function signingKey({ keys, algorithms }: JwtConfig, kid: string | undefined): SigningKey | undefined {
  for (const config of keys) {
    if (kid !== undefined && config.kid !== kid) continue;
    if (config.not_after !== undefined && Date.parse(config.not_after) <= Date.now()) continue;
    if (config.secret === undefined && config.private_key === undefined) continue;
    const pem = config.secret === undefined ? readPem(config.public_key, config.private_key) : null;
    const kind = pem === null ? "secret" : typeof pem === "string" ? null : pem.kind;
    const algorithm = algorithms.find((name) => kindFor(name) === kind);
    if (algorithm !== undefined) return { config, algorithm };
  }
  return undefined;
}

async function sign(payload: Record<string, unknown>, { config, algorithm }: SigningKey): Promise<string> {
  const key = config.secret === undefined
    ? await importPKCS8(config.private_key!, algorithm)
    : new Uint8Array(Buffer.from(readSecret(config.secret, config.secret_encoding)));
  const header = { alg: algorithm, typ: "JWT", ...(config.kid === undefined ? {} : { kid: config.kid }) };
  // As text, for jose's own SignJWT copies claims, and a number of 19 digits would not survive it.
  const text = new TextEncoder().encode(JSON.stringify(payload));
  return await new CompactSign(text).setProtectedHeader(header).sign(key);
}
