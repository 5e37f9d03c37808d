// Key material for tickets: is it what the configuration says it is, strong enough, and of a kind that the
// algorithms can use? Asked once, at load; nothing here shows a key.

import { Buffer } from "node:buffer";
import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import type { JwtAlgorithm } from "./auth_schema.ts";

/** Least bytes of an HMAC secret: the hash's own length (RFC 7518, section 3.2). */
export const SECRET_BYTES_MIN: Readonly<Record<string, number>> = { HS256: 32, HS384: 48, HS512: 64 };
/** Least bits of an RSA key (RFC 7518, section 3.3). */
const RSA_BITS_MIN = 2048;
/** Kinds of keys by the names of OpenSSL's curves. */
const CURVES: Readonly<Record<string, KeyKind>> = {
  prime256v1: "P-256",
  "P-256": "P-256",
  secp384r1: "P-384",
  "P-384": "P-384",
  secp521r1: "P-521",
  "P-521": "P-521",
};

/** What a key is, as far as algorithms care. */
export type KeyKind = "secret" | "rsa" | "P-256" | "P-384" | "P-521" | "ed25519";

/** The kind of key that an algorithm needs. */
export function kindFor(algorithm: JwtAlgorithm): KeyKind {
  switch (algorithm) {
    case "ES256":
      return "P-256";
    case "ES384":
      return "P-384";
    case "ES512":
      return "P-521";
    case "EdDSA":
      return "ed25519";
    default:
      return algorithm.startsWith("HS") ? "secret" : "rsa";
  }
}

/** What a key kind is called in messages. */
export function kindName(kind: KeyKind): string {
  switch (kind) {
    case "secret":
      return "a secret";
    case "rsa":
      return "an RSA key";
    case "ed25519":
      return "an Ed25519 key";
    default:
      return `a key on the curve ${kind}`;
  }
}

/** A secret's bytes, or what is wrong with it. */
export function readSecret(text: string, encoding: "text" | "base64" | "hex"): Uint8Array | string {
  if (looksLikeKey(text)) {
    // With a public key as secret, whoever knows that key could sign tickets.
    return "must be a secret, but this is a key; give public_key or public_key_file instead";
  }
  if (encoding === "text") return Buffer.from(text, "utf8");
  const good = encoding === "hex" ? /^([0-9a-f]{2})+$/i : /^[A-Za-z0-9+/_-]+={0,2}$/;
  return good.test(text) ? Buffer.from(text, encoding) : `must be ${encoding}, as secret_encoding says`;
}

function looksLikeKey(text: string): boolean {
  if (/-----BEGIN |^\s*\{.*"kty"\s*:/s.test(text)) return true;
  if (!/^[A-Za-z0-9+/_=\s-]{40,}$/.test(text)) return false;
  try {
    // The same without its PEM lines.
    createPublicKey({ key: Buffer.from(text, "base64"), format: "der", type: "spki" });
    return true;
  } catch {
    return false;
  }
}

/** A PEM key as it is used: checked, and always the public half too. */
export interface PemKey {
  readonly kind: KeyKind;
  /** SPKI, PEM. */
  readonly publicPem: string;
  /** PKCS #8, PEM. */
  readonly privatePem: string | null;
}

/** Reads one key or both halves of one; a text is what is wrong. */
export function readPem(publicText: string | undefined, privateText: string | undefined): PemKey | string {
  let publicKey: KeyObject, privateKey: KeyObject | null = null;
  try {
    if (privateText !== undefined) {
      if (!privateText.includes("-----BEGIN PRIVATE KEY-----")) {
        return 'must be a private key in PKCS #8 PEM without a passphrase ("-----BEGIN PRIVATE KEY-----")';
      }
      privateKey = createPrivateKey(privateText);
    }
    if (publicText !== undefined) {
      // Not `createPublicKey` alone, which would take a private key or a certificate as well.
      if (!publicText.includes("-----BEGIN PUBLIC KEY-----")) {
        return 'must be a public key in SPKI PEM ("-----BEGIN PUBLIC KEY-----")';
      }
      publicKey = createPublicKey(publicText);
    } else publicKey = createPublicKey(privateText!);
  } catch {
    return "cannot be read as a key";
  }
  const kind = kindOf(publicKey);
  if (typeof kind === "object") return kind.fault;
  const publicPem = pemOf(publicKey, "spki");
  // From PEM again: Deno 2.9 makes no public key of a private `KeyObject`.
  if (privateText !== undefined && pemOf(createPublicKey(privateText), "spki") !== publicPem) {
    return "does not belong to the public key beside it";
  }
  return { kind, publicPem, privatePem: privateKey === null ? null : pemOf(privateKey, "pkcs8") };
}

function kindOf(key: KeyObject): KeyKind | { fault: string } {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  if (type === "rsa") {
    const bits = details?.modulusLength ?? 0;
    return bits >= RSA_BITS_MIN
      ? "rsa"
      : { fault: `must be an RSA key of at least ${RSA_BITS_MIN} bits, got ${bits}` };
  }
  if (type === "ed25519") return "ed25519";
  const curve = CURVES[details?.namedCurve ?? ""];
  if (type === "ec" && curve !== undefined) return curve;
  return { fault: "must be an RSA, P-256, P-384, P-521 or Ed25519 key" };
}

function pemOf(key: KeyObject, type: "spki" | "pkcs8"): string {
  return key.export({ type, format: "pem" }) as string;
}
