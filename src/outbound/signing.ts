// Signatures on what the gateway sends to a backend: HMAC-SHA256 over the time and the body, the secret's name beside
// it, so that a backend can refuse strangers and old recordings, and secrets can be changed one after the other.

import { Buffer } from "node:buffer";
import { createHmac, timingSafeEqual } from "node:crypto";

/**
 * The header that carries a signature: `t=<Unix seconds>,kid=<id>,v1=<hex of HMAC-SHA256(secret, "<t>.<body>")>`.
 * While a secret is changed there are two, the second as a further `kid=…,v1=…` behind the first.
 */
export const SIGNATURE_HEADER = "wsprism-signature";

/** A secret and the name under which the other side knows it. */
export interface SigningKey {
  readonly id: string;
  readonly secret: string;
}

/**
 * The value of `SIGNATURE_HEADER` for a body.
 * @param keys at least one
 * @param unixMs Unix time in milliseconds
 */
export function signature(body: string, keys: readonly SigningKey[], unixMs: number): string {
  const t = Math.floor(unixMs / 1000);
  let header = `t=${t}`;
  for (const { id, secret } of keys) header += `,kid=${id},v1=${mac(secret, `${t}.${body}`).toString("hex")}`;
  return header;
}

/**
 * Whether a signature was made for this body with one of these keys, no longer than `toleranceMs` ago (or ahead).
 * @param unixMs Unix time in milliseconds
 */
export function isSigned(
  body: string,
  header: string,
  check: { readonly keys: readonly SigningKey[]; readonly unixMs: number; readonly toleranceMs: number },
): boolean {
  const parts = /^t=(\d{1,15})((?:,kid=[A-Za-z0-9._-]{1,64},v1=[0-9a-f]{64}){1,8})$/.exec(header);
  if (parts === null) return false;
  const [, t = "", pairs = ""] = parts;
  if (Math.abs(check.unixMs - Number(t) * 1000) > check.toleranceMs) return false;
  return [...pairs.matchAll(/,kid=([^,]*),v1=([^,]*)/g)].some(([, kid, v1 = ""]) => {
    const given = Buffer.from(v1, "hex");
    return check.keys.some(({ id, secret }) =>
      id === kid && timingSafeEqual(mac(secret, `${t}.${body}`), given)
    );
  });
}

/** Keys as the configuration has them: a list, or one secret with its name; none for no signature. */
export function signingKeys(
  config: {
    readonly secret?: string | undefined;
    readonly key_id: string;
    readonly keys: readonly SigningKey[];
  },
): readonly SigningKey[] {
  return config.secret === undefined ? config.keys : [{ id: config.key_id, secret: config.secret }];
}

function mac(secret: string, text: string): Buffer {
  return createHmac("sha256", secret).update(text).digest();
}
