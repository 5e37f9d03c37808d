// Keeps the certificate at the door current: watches its files, gives new pairs to the transport, and says in log and
// metrics what became of them.

import { errorText } from "../error_text.ts";
import { readFile } from "node:fs/promises";
import type { Certificate, CertificateFiles, Finding } from "../config/certificate.ts";
import { CertificateWatch, describeFindings } from "../config/certificate_files.ts";
import type { Log, LogFields } from "../log.ts";
import type { CertificateMetrics } from "../metrics/metrics.ts";
import type { Transport } from "../transport/port.ts";

export interface CertificateKeeperOptions {
  readonly files: CertificateFiles;
  /** What the transport was created with. */
  readonly current: Certificate;
  readonly transport: Pick<Transport, "renewTls">;
  readonly log: Log;
  readonly clock: {
    readonly every: (ms: number, task: () => void) => () => void;
    readonly unixMs: () => number;
  };
}

export class CertificateKeeper {
  readonly metrics: CertificateMetrics;
  readonly #options: CertificateKeeperOptions;
  readonly #watch: CertificateWatch;

  constructor(options: CertificateKeeperOptions) {
    this.#options = options;
    const { files, current, clock } = options;
    this.metrics = { expiresMs: current.expiresMs, renewed: 0, refused: 0 };
    this.#watch = new CertificateWatch({
      files,
      current,
      read: (path) => readFile(path),
      every: clock.every,
      unixMs: clock.unixMs,
      renewed: (certificate, warnings) => this.#renew(certificate, warnings),
      refused: (failures) => this.#refuse(describeFindings(failures)),
    });
  }

  /** Call it once the transport listens. */
  start(): void {
    this.#options.log.info("certificate in use", describe(this.#options.current));
    this.#watch.start();
  }

  stop(): void {
    this.#watch.stop();
  }

  /** Other files are to be kept up with from now on. */
  apply(files: CertificateFiles): void {
    this.#watch.files = files;
  }

  #renew(certificate: Certificate, warnings: readonly Finding[]): void {
    const { transport, log } = this.#options;
    try {
      transport.renewTls(certificate);
    } catch (error) {
      return this.#refuse(errorText(error));
    }
    this.metrics.renewed++;
    this.metrics.expiresMs = certificate.expiresMs;
    log.info("certificate renewed", describe(certificate));
    if (warnings.length > 0) log.warn(describeFindings(warnings));
  }

  #refuse(reason: string): void {
    this.metrics.refused++;
    const expires = isoTime(this.metrics.expiresMs);
    this.#options.log.error("new certificate refused, the one in use stays", { reason, expires });
  }
}

function describe({ names, expiresMs, fingerprint }: Certificate): LogFields {
  return { names, expires: isoTime(expiresMs), fingerprint };
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}
