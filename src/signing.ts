// Signatures on what the gateway sends to a backend: HMAC-SHA256 over the time and the body, the secret's name beside
// it, so that a backend can refuse strangers and old recordings, and secrets can be changed one after the other.

import { Buffer } from "node:buffer";
import { createHmac, timingSafeEqual } from "node:crypto";

/** The header that carries a signature: `t=<Unix seconds>,kid=<id>,v1=<hex of HMAC-SHA256(secret, "<t>.<body>")>`. */
export const SIGNATURE_HEADER = "wsprism-signature";

/** A secret and the name under which the other side knows it. */
export interface SigningKey {
  readonly id: string;
  readonly secret: string;
}

/**
 * The value of `SIGNATURE_HEADER` for a body.
 * @param unixMs Unix time in milliseconds
 */
export function signature(body: string, key: SigningKey, unixMs: number): string {
  const t = Math.floor(unixMs / 1000);
  return `t=${t},kid=${key.id},v1=${mac(key.secret, `${t}.${body}`).toString("hex")}`;
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
  const parts = /^t=(\d{1,15}),kid=([A-Za-z0-9._-]{1,64}),v1=([0-9a-f]{64})$/.exec(header);
  if (parts === null) return false;
  const [, t = "", kid, v1 = ""] = parts;
  if (Math.abs(check.unixMs - Number(t) * 1000) > check.toleranceMs) return false;
  const given = Buffer.from(v1, "hex");
  return check.keys.some(({ id, secret }) =>
    id === kid && timingSafeEqual(mac(secret, `${t}.${body}`), given)
  );
}

function mac(secret: string, text: string): Buffer {
  return createHmac("sha256", secret).update(text).digest();
}
