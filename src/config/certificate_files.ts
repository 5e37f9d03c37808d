// A certificate's files in a running gateway: read at its start, then looked at again and again. Reading two small files is
// cheaper than being clever about what changed: it sees renames, swapped symlinks (certbot, Kubernetes) and files that
// are written in place alike, on every file system.

import { readFileSync } from "node:fs";
import {
  type Certificate,
  type CertificateFiles,
  checkCertificate,
  type Finding,
  PEM_BYTES_MAX,
} from "./certificate.ts";
import { configuredFile, type FileContent, fileContent } from "./configured_file.ts";

/**
 * Reads the pair that a gateway starts with.
 * @throws when it cannot be used: one line that names the key and the cause
 */
export function loadCertificate(files: CertificateFiles, nowMs: number): Certificate {
  const [cert, key] = [files.cert_file, files.key_file].map((path) =>
    configuredFile((name) => readFileSync(name), path, PEM_BYTES_MAX)
  ) as [FileContent, FileContent];
  const verdict = checkCertificate({ cert, key }, nowMs);
  if (verdict.ok) return verdict.certificate;
  throw new Error(`Cannot serve TLS: ${describeFindings(verdict.failures)}`);
}

/** Findings in one line. */
export function describeFindings(findings: readonly Finding[]): string {
  return findings.map(({ key, message }) => `gateway.tls.${key} ${message}`).join("; ");
}

export interface CertificateWatchOptions {
  readonly files: CertificateFiles;
  /** What is in use from the start. */
  readonly current: Certificate;
  /** Reads a file, or rejects with the file system's error. */
  readonly read: (path: string) => Promise<Uint8Array>;
  /** Runs a task again and again until the returned function is called. */
  readonly every: (ms: number, task: () => void) => () => void;
  readonly unixMs: () => number;
  /** A good pair is there that is not the one in use. */
  readonly renewed: (certificate: Certificate, warnings: readonly Finding[]) => void;
  /** The files have changed to something that cannot be used; told once a change. */
  readonly refused: (failures: readonly Finding[]) => void;
}

/** Time between two looks. */
const LOOK_MS = 2_000;

export class CertificateWatch {
  /** What it looks at; others from the next look on. */
  files: CertificateFiles;
  readonly #options: CertificateWatchOptions;
  #current: Certificate;
  /** What the last look saw, and what was last judged, as texts. */
  #seen = "";
  #judged = "";
  #looking = false;
  #stop: (() => void) | null = null;

  constructor(options: CertificateWatchOptions) {
    this.#options = options;
    this.files = options.files;
    this.#current = options.current;
  }

  start(): void {
    this.#stop = this.#options.every(LOOK_MS, () => void this.look());
  }

  stop(): void {
    this.#stop?.();
    this.#stop = null;
  }

  /**
   * One look. A change is judged once two looks have seen the same: a pair is two files, which nobody writes in the same
   * moment. Never rejects.
   */
  async look(): Promise<void> {
    if (this.#looking) return; // a file system that hangs gets one reader, not one each time
    this.#looking = true;
    const { cert_file, key_file } = this.files;
    const [cert, key] = await Promise.all([this.#read(cert_file), this.#read(key_file)]);
    this.#looking = false;
    const seen = JSON.stringify([cert, key]);
    const settled = seen === this.#seen;
    this.#seen = seen;
    if (!settled || seen === this.#judged) return;
    this.#judged = seen;
    const verdict = checkCertificate({ cert, key }, this.#options.unixMs());
    if (!verdict.ok) {
      this.#options.refused(verdict.failures);
    } else if (
      verdict.certificate.cert !== this.#current.cert || verdict.certificate.key !== this.#current.key
    ) {
      this.#current = verdict.certificate;
      this.#options.renewed(verdict.certificate, verdict.warnings);
    }
  }

  async #read(path: string): Promise<FileContent> {
    try {
      return fileContent(await this.#options.read(path), PEM_BYTES_MAX);
    } catch (error) {
      return fileContent({ error }, PEM_BYTES_MAX);
    }
  }
}
