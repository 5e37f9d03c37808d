// Keys and tickets for tests, made by jose and node:crypto.

import { Buffer } from "node:buffer";
import { createHmac, generateKeyPairSync, type KeyObject } from "node:crypto";
import { importPKCS8, SignJWT } from "jose";

/** 2026-01-01, in seconds. */
export const NOW_S = 1_767_225_600;

export const SECRET = "0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOPQRSTUVWXYZ-=";

export interface Pair {
  readonly publicPem: string;
  readonly privatePem: string;
  readonly publicKey: KeyObject;
}

/** A key pair for an algorithm. */
export function pairFor(algorithm: string): Pair {
  const curve: Record<string, string> = { ES256: "P-256", ES384: "P-384", ES512: "P-521" };
  // deno-lint-ignore no-explicit-any -- an overload per kind
  const generate = generateKeyPairSync as any;
  const { publicKey, privateKey } = algorithm === "EdDSA"
    ? generate("ed25519")
    : curve[algorithm] !== undefined
    ? generate("ec", { namedCurve: curve[algorithm] })
    : generate("rsa", { modulusLength: 2048 });
  return {
    publicPem: publicKey.export({ type: "spki", format: "pem" }),
    privatePem: privateKey.export({ type: "pkcs8", format: "pem" }),
    publicKey,
  };
}

export interface TicketOptions {
  readonly alg?: string;
  readonly kid?: string;
  /** A secret, or a private key in PEM. */
  readonly key?: string;
  readonly header?: Readonly<Record<string, unknown>>;
}

/** A ticket with these claims; `exp` is in an hour after `NOW_S` unless they say otherwise, or undefined. */
export async function ticket(
  claims: Readonly<Record<string, unknown>>,
  { alg = "HS256", kid, key = SECRET, header = {} }: TicketOptions = {},
): Promise<string> {
  const material = key.includes("PRIVATE KEY") ? await importPKCS8(key, alg) : new TextEncoder().encode(key);
  return await new SignJWT({ exp: NOW_S + 3600, ...claims })
    .setProtectedHeader({ alg, ...(kid === undefined ? {} : { kid }), ...header })
    .sign(material);
}

/** A token of any header and payload, signed with HMAC-SHA256 or not at all. */
export function forge(header: unknown, payload: unknown, secret: string | null): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const text = `${part(header)}.${part(payload)}`;
  const mac = secret === null ? "" : createHmac("sha256", secret).update(text).digest("base64url");
  return `${text}.${mac}`;
}

/** A ticket that somebody made up: bytes, a signature of nobody, or one by a secret of his own, in turn. */
export function guess(number: number): string {
  const random = (bytes: number) =>
    Buffer.from(crypto.getRandomValues(new Uint8Array(bytes))).toString("base64url");
  if (number % 3 === 0) return random(200);
  if (number % 3 === 2) {
    const exp = Math.floor(Date.now() / 1000) + 60;
    return forge({ alg: "HS256", kid: random(6) }, { sub: random(6), exp }, random(32));
  }
  return `${Buffer.from('{"alg":"HS256","kid":"k"}').toString("base64url")}.${random(100)}.${random(32)}`;
}
