// What the configuration says of every address that the gateway asks: its URL, and the secrets that sign what is sent
// there. The keys are declared here for auth_schema.ts and backend_schema.ts, with what they must satisfy together.

import { Buffer } from "node:buffer";
import { isIP } from "node:net";
import * as z from "zod";
import { SIGNING_KEYS_MAX } from "../protocol/limits.ts";
import { name, secret, text } from "./fields.ts";
import type { Path } from "./issue.ts";

/** Least length of a secret in bytes, that of the signature itself. */
const SECRET_BYTES_MIN = 32;

/** An address to be asked. */
export function httpUrl(description: string) {
  return text(isHttpUrl, { description, wish: "an http(s) URL" });
}

/** The keys by which a section names its secrets. */
export function signing() {
  const key = z.strictObject({
    id: name("The secret's name in the signature (`kid`)."),
    secret: secret("The secret, of at least 32 bytes."),
  }).meta({ description: "A secret that signs." });
  return {
    secret: secret(
      "With this secret, of at least 32 bytes, every request is signed (`Wsprism-Signature`).",
    ).optional(),
    key_id: name("The secret's name in the signature.").default("1"),
    keys: z.array(key).max(SIGNING_KEYS_MAX).default([]).meta({
      description: "Instead of `secret`, while it is changed: two, both of which sign.",
      wish: `a list of at most ${SIGNING_KEYS_MAX} keys`,
      secret: true,
    }),
  };
}

/** What a section says of where and how it asks. */
export interface Outbound {
  readonly url: string;
  readonly secret?: string | undefined;
  readonly keys: readonly { readonly id: string; readonly secret: string }[];
}

/** Told at a path what is wrong, or unwise. */
export interface Findings {
  fail(path: Path, message: string): void;
  warn(path: Path, message: string): void;
}

/** Checks a section. @param risk what somebody can do who stands between here and there */
export function checkOutbound(section: Outbound, path: Path, findings: Findings, risk: string): void {
  checkUrl(section.url, [...path, "url"], findings, risk);
  const { secret: single, keys } = section;
  if (single === undefined && keys.length === 0) {
    findings.warn(path, "has no secret, so your backend cannot tell who asks");
  }
  if (single !== undefined && keys.length > 0) {
    findings.fail([...path, "keys"], "does not go with secret, which is a key already");
  }
  if (single !== undefined) checkSecret(single, [...path, "secret"], findings);
  keys.forEach((key, index) => {
    checkSecret(key.secret, [...path, "keys", index, "secret"], findings);
    const before = keys.findIndex(({ id }) => id === key.id);
    if (before < index) {
      findings.fail([...path, "keys", index, "id"], `must be unique, but is also keys[${before}].id`);
    }
  });
}

/** Checks an address: it names no user, and what leaves this network is encrypted. */
export function checkUrl(address: string, path: Path, findings: Findings, risk: string): void {
  const url = new URL(address);
  if (url.username !== "" || url.password !== "") {
    findings.fail(path, "must not have a user name or password in it");
  } else if (url.protocol === "http:" && !isLoopback(url.hostname)) {
    if (isPrivate(url.hostname)) findings.warn(path, `is plain http: whoever is on its way can ${risk}`);
    else findings.fail(path, "must be https, as it leaves this network");
  }
}

function checkSecret(value: string, path: Path, findings: Findings): void {
  if (Buffer.byteLength(value) < SECRET_BYTES_MIN) {
    findings.fail(path, `must be at least ${SECRET_BYTES_MIN} bytes`);
  }
}

function isHttpUrl(value: string): boolean {
  return /^https?:\/\//i.test(value) && URL.canParse(value) && !value.includes("#");
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host.endsWith(".localhost") || host === "[::1]" ||
    (isIP(host) === 4 && host.startsWith("127."));
}

/** A name that only this network knows (Docker, Kubernetes, fly.io), or an address that is not routed. */
function isPrivate(host: string): boolean {
  if (isIP(host) === 4) return /^(10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|169\.254\.)/.test(host);
  if (host.startsWith("[")) return /^\[f[cd]|^\[fe[89ab]/i.test(host);
  return !host.includes(".") || /\.(internal|local|svc|lan|home\.arpa)$/.test(host);
}
