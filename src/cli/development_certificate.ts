// A self-signed certificate as browsers take for WebTransport by its hash: ECDSA on P-256, good for at most 14 days
// (https://www.w3.org/TR/webtransport/#dom-webtransportoptions-servercertificatehashes). Node's crypto reads certificates and
// makes none; as this one has one shape only, its DER is written here (RFC 5280), rather than by a library of twenty packages.

import { Buffer } from "node:buffer";
import { createHash, createSign, generateKeyPairSync, randomBytes } from "node:crypto";
import { isIPv4, isIPv6 } from "node:net";
import ipaddr from "ipaddr.js";

/** The longest that a browser takes for its hash. */
export const DAYS_MAX = 14;

export interface DevelopmentCertificate {
  /** PEM. */
  readonly cert: string;
  readonly key: string;
  /** SHA-256 of the certificate. */
  readonly hash: Uint8Array;
  readonly expiresMs: number;
}

export interface CertificateWish {
  /** Names and addresses that it is for; at least one. */
  readonly hosts: readonly string[];
  readonly days: number;
  readonly nowMs: number;
}

/** A clock that is a little behind still takes it. */
const EARLY_MS = 60_000;

export function makeDevelopmentCertificate({ hosts, days, nowMs }: CertificateWish): DevelopmentCertificate {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const fromMs = nowMs - EARLY_MS, expiresMs = fromMs + days * 86_400_000;
  const algorithm = sequence(oid("2a8648ce3d040302")); // ecdsa-with-SHA256
  const name = sequence(
    der(0x31, sequence(oid("550403"), der(0x0c, Buffer.from("wsPrism development")))), // commonName
  );
  const serial = randomBytes(16);
  serial[0] = serial[0]! & 0x7f | 0x40; // positive, and written with no byte less
  const content = sequence(
    der(0xa0, der(0x02, Uint8Array.of(2))), // version 3
    der(0x02, serial),
    algorithm,
    name, // issuer
    sequence(time(fromMs), time(expiresMs)),
    name, // subject
    publicKey.export({ type: "spki", format: "der" }),
    der(
      0xa3,
      sequence(
        extension("551d11", sequence(...hosts.map(altName)), false), // subjectAltName
        extension("551d13", sequence(), true), // basicConstraints: no authority
        extension("551d0f", der(0x03, Uint8Array.of(7, 0x80)), true), // keyUsage: digitalSignature
      ),
    ),
  );
  const signature = createSign("sha256").update(content).sign(privateKey);
  const whole = sequence(content, algorithm, der(0x03, Buffer.concat([Uint8Array.of(0), signature])));
  return {
    cert: pem("CERTIFICATE", whole),
    key: privateKey.export({ type: "pkcs8", format: "pem" }) as string,
    hash: new Uint8Array(createHash("sha256").update(whole).digest()),
    expiresMs,
  };
}

function altName(host: string): Buffer {
  return isIPv4(host) || isIPv6(host)
    ? der(0x87, Uint8Array.from(ipaddr.parse(host).toByteArray())) // iPAddress
    : der(0x82, Buffer.from(host, "ascii")); // dNSName
}

function extension(id: string, value: Uint8Array, isCritical: boolean): Buffer {
  return sequence(oid(id), ...(isCritical ? [der(0x01, Uint8Array.of(0xff))] : []), der(0x04, value));
}

/** UTCTime, which serves until 2049. */
function time(ms: number): Buffer {
  return der(
    0x17,
    Buffer.from(`${new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, "").slice(2)}`, "ascii"),
  );
}

function oid(hex: string): Buffer {
  return der(0x06, Buffer.from(hex, "hex"));
}

function sequence(...parts: readonly Uint8Array[]): Buffer {
  return der(0x30, Buffer.concat(parts));
}

function der(tag: number, content: Uint8Array): Buffer {
  const { length } = content;
  const head = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Uint8Array.of(tag, ...head), content]);
}

function pem(label: string, bytes: Uint8Array): string {
  const lines = Buffer.from(bytes).toString("base64").match(/.{1,64}/g)!;
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}
