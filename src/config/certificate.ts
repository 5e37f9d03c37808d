// A certificate and its key, as files hold them: are they a pair that a client would accept today? Asked at load, and
// again whenever the files change. Pure: the files' contents and the time are the caller's.

import type { FileContent } from "./configured_file.ts";
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";

/** Where the pair stands: `gateway.tls`. */
export interface CertificateFiles {
  readonly cert_file: string;
  readonly key_file: string;
}

/** A pair that belongs together and is valid now. */
export interface Certificate {
  /** The server's own certificate and what follows it, PEM. */
  readonly cert: string;
  /** Its private key, PEM. */
  readonly key: string;
  /** The names it is for; the common name where it has no others. */
  readonly names: readonly string[];
  /** When it expires, Unix time in milliseconds. */
  readonly expiresMs: number;
  /** SHA-256 of the certificate, as `openssl x509 -fingerprint -sha256` shows it. */
  readonly fingerprint: string;
}

/** What is wrong with one of the files; `message` goes on where its key ends. */
export interface Finding {
  readonly key: keyof CertificateFiles;
  readonly message: string;
}

export type CertificateVerdict =
  | { readonly ok: true; readonly certificate: Certificate; readonly warnings: readonly Finding[] }
  | { readonly ok: false; readonly failures: readonly Finding[] };

/** Largest file, in bytes; a chain is a few KiB. */
const DAY_MS = 86_400_000;
const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g;
const PEM_KEY = /-----BEGIN ([A-Z ]*)PRIVATE KEY-----[\s\S]*?-----END \1PRIVATE KEY-----/;
/** Curves that Bun and both servers of Deno take (1.4.5, 2.9.6); secp256k1 fails on each in its own way. */
const CURVES = ["prime256v1", "secp384r1", "secp521r1"];

/** Largest file of a pair, in bytes. */
export const PEM_BYTES_MAX = 1_048_576;

/** Checks a pair as the files hold it. Every independent failure is told. */
export function checkCertificate(
  { cert, key }: { readonly cert: FileContent; readonly key: FileContent },
  nowMs: number,
): CertificateVerdict {
  const failures: Finding[] = [];
  const chain = chainIn(cert, failures);
  const found = keyIn(key, failures);
  if (chain !== undefined) {
    checkDates(chain[0], nowMs, failures);
    checkKind(chain[0], failures);
    if (found !== undefined) checkMatch(chain, found.key, failures);
  }
  if (chain === undefined || found === undefined || failures.length > 0) return { ok: false, failures };
  const certificate: Certificate = {
    cert: chain.map((certificate) => certificate.toString()).join(""),
    key: `${found.pem}\n`,
    names: namesOf(chain[0]),
    expiresMs: Date.parse(chain[0].validTo),
    fingerprint: chain[0].fingerprint256,
  };
  return { ok: true, certificate, warnings: warningsOf(chain, nowMs) };
}

type Chain = [own: X509Certificate, ...others: X509Certificate[]];

function chainIn(content: FileContent, failures: Finding[]): Chain | undefined {
  const add = (message: string) => void failures.push({ key: "cert_file", message });
  if (typeof content !== "string") return add(content.fault);
  const blocks = content.match(PEM_CERTIFICATE);
  if (blocks === null) {
    return add('must name a file with a certificate in PEM, which begins with "-----BEGIN CERTIFICATE-----"');
  }
  const chain: X509Certificate[] = [];
  for (const [index, block] of blocks.entries()) {
    try {
      const certificate = new X509Certificate(block);
      void certificate.publicKey; // throws for a kind of key that the runtime does not know
      chain.push(certificate);
    } catch {
      return add(`must name a file of certificates, but ${ordinal(index)} in it cannot be read as one`);
    }
  }
  return chain as Chain;
}

function keyIn(content: FileContent, failures: Finding[]): { pem: string; key: KeyObject } | undefined {
  const add = (message: string) => void failures.push({ key: "key_file", message });
  if (typeof content !== "string") return add(content.fault);
  const block = PEM_KEY.exec(content);
  if (block === null) {
    return add('must name a file with a private key in PEM, which begins with "-----BEGIN PRIVATE KEY-----"');
  }
  const [pem, kind] = block;
  if (kind === "ENCRYPTED " || /^Proc-Type: 4,ENCRYPTED/m.test(pem)) {
    return add("must name a private key without a passphrase");
  }
  try {
    return { pem, key: createPrivateKey(pem) };
  } catch {
    return add("must name a file with a private key, but the one in it cannot be read");
  }
}

function checkDates(own: X509Certificate, nowMs: number, failures: Finding[]): void {
  const from = Date.parse(own.validFrom), to = Date.parse(own.validTo);
  if (to <= nowMs) {
    failures.push({
      key: "cert_file",
      message: `must name a valid certificate, but it expired at ${iso(to)}`,
    });
  } else if (from > nowMs) {
    const message = `must name a valid certificate, but it is not valid before ${iso(from)}`;
    failures.push({ key: "cert_file", message });
  }
}

function checkKind({ publicKey }: X509Certificate, failures: Finding[]): void {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = publicKey;
  const fine = type === "rsa"
    ? (details?.modulusLength ?? 0) >= 2048
    : type === "ec"
    ? CURVES.includes(details?.namedCurve ?? "")
    : type === "ed25519";
  if (fine) return;
  const message =
    "must name a certificate for RSA of at least 2048 bits, ECDSA on P-256, P-384 or P-521, or Ed25519";
  failures.push({ key: "cert_file", message });
}

function checkMatch(chain: Chain, key: KeyObject, failures: Finding[]): void {
  const index = chain.findIndex((certificate) => certificate.checkPrivateKey(key));
  if (index === 0) return;
  failures.push(
    index < 0 ? { key: "key_file", message: "must name the private key of the certificate in cert_file" } : {
      key: "cert_file",
      message: `must have the server's own certificate first, and key_file belongs to ${ordinal(index)}`,
    },
  );
}

function warningsOf(chain: Chain, nowMs: number): Finding[] {
  const warnings: Finding[] = [];
  const warn = (message: string) => void warnings.push({ key: "cert_file", message });
  for (let i = 1; i < chain.length; i++) {
    if (chain[i - 1]!.checkIssued(chain[i]!)) continue;
    warn(
      `has certificates out of order: ${ordinal(i)} has not issued the one before it, and clients may refuse`,
    );
    break;
  }
  const soonest = chain.reduce((a, b) => Date.parse(b.validTo) < Date.parse(a.validTo) ? b : a);
  const to = Date.parse(soonest.validTo);
  // Certificates that live for days are renewed late; a third of the lifetime is when certbot does it.
  const notice = Math.min(30 * DAY_MS, (to - Date.parse(soonest.validFrom)) / 3);
  if (to - nowMs < notice) {
    const which = soonest === chain[0] ? "a certificate" : "an intermediate certificate";
    warn(`names ${which} that expires soon, at ${iso(to)}`);
  }
  return warnings;
}

function namesOf(certificate: X509Certificate): string[] {
  const names = (certificate.subjectAltName ?? "").split(", ")
    .filter((name) => name.startsWith("DNS:") || name.startsWith("IP Address:"))
    .map((name) => name.slice(name.indexOf(":") + 1));
  const common = /^CN=(.*)$/m.exec(certificate.subject ?? "")?.[1];
  return names.length > 0 || common === undefined ? names : [common];
}

function iso(ms: number): string {
  return new Date(ms).toISOString().replace(".000Z", "Z");
}

function ordinal(index: number): string {
  return `certificate ${index + 1}`;
}
