// Certificates for tests, made by the `openssl` command in a folder that goes with the process.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

/** A pair in PEM, and where its files are. */
export interface TestPair {
  readonly cert: string;
  readonly key: string;
  readonly certFile: string;
  readonly keyFile: string;
}

export interface Wish {
  readonly days?: number;
  /** What `openssl req -newkey` takes: "rsa:2048", "ed25519", "ec". */
  readonly kind?: string;
  /** The curve for "ec". */
  readonly curve?: string;
  readonly issuer?: TestPair;
  /** Signs nothing: some take no other for a server's. */
  readonly isLeaf?: boolean;
}

let folder: string | null = null;
let count = 0;

function place(): string {
  if (folder === null) {
    const made = mkdtempSync(join(tmpdir(), "wsprism-certificates-"));
    process.on("exit", () => rmSync(made, { recursive: true, force: true }));
    folder = made;
  }
  return folder;
}

/** Makes a certificate for localhost and 127.0.0.1, signed by itself unless there is an issuer. */
export function makePair(name: string, wish: Wish = {}): TestPair {
  const { days = 365, kind = "ec", curve = "P-256", issuer, isLeaf = false } = wish;
  const stem = join(place(), `${++count}`);
  const [certFile, keyFile] = [`${stem}.pem`, `${stem}.key`];
  execFileSync("openssl", [
    "req",
    "-x509",
    "-nodes",
    ...["-newkey", kind, ...(kind === "ec" ? ["-pkeyopt", `ec_paramgen_curve:${curve}`] : [])],
    ...["-keyout", keyFile, "-out", certFile, "-days", String(days), "-subj", `/CN=${name}`],
    ...["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
    ...(issuer === undefined ? [] : ["-CA", issuer.certFile, "-CAkey", issuer.keyFile]),
    ...(isLeaf ? ["-addext", "basicConstraints=critical,CA:FALSE"] : []),
  ], { stdio: "pipe" });
  return { cert: readFileSync(certFile, "utf8"), key: readFileSync(keyFile, "utf8"), certFile, keyFile };
}
