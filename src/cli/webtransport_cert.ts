// `wsprism webtransport-cert`: a certificate for development, and the hash by which a browser takes it without an authority.

import { Buffer } from "node:buffer";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isIP } from "node:net";
import { Command } from "commander";
import { errorText } from "../error_text.ts";
import { writeNow } from "./descriptor.ts";
import { DAYS_MAX, makeDevelopmentCertificate } from "./development_certificate.ts";
import { type Done, EXIT } from "./exit.ts";
import { complain } from "./tenant_auth.ts";

const HOST =
  /^(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$/;

const EXAMPLES = `
Examples:
  wsprism webtransport-cert                                 print certificate, key and hash
  wsprism webtransport-cert --out . --host game.test        write cert.pem and key.pem, print the hash

Browsers take such a certificate for WebTransport by its hash alone, if it is ECDSA and good for at most ${DAYS_MAX} days:
  new WebTransport(url, { serverCertificateHashes: [{ algorithm: "sha-256", value: Uint8Array.from(atob(HASH), (c) => c.charCodeAt(0)) }] })
It is for development: whoever visits a real gateway needs one of a public authority, and no hash.`;

interface CertOptions {
  readonly host: readonly string[];
  readonly days: string;
  readonly out?: string;
}

export function webtransportCertCommand(done: Done): Command {
  return new Command("webtransport-cert")
    .description("print a certificate for WebTransport in development, and its hash for browsers")
    .option("--host <name...>", "names and addresses that it is for", ["localhost", "127.0.0.1", "::1"])
    .option("--days <n>", `how long it is good for, 1 to ${DAYS_MAX}`, String(DAYS_MAX))
    .option("--out <folder>", "write cert.pem and key.pem there instead of printing them")
    .addHelpText("after", EXAMPLES)
    .action((options: CertOptions) => done(webtransportCert(options)));
}

function webtransportCert({ host: hosts, days: daysText, out }: CertOptions): number {
  const days = /^\d{1,3}$/.test(daysText) ? Number(daysText) : 0;
  if (days < 1 || days > DAYS_MAX) {
    return complain(
      `--days must be 1..${DAYS_MAX}, for browsers take no other by its hash, got "${daysText}"`,
      EXIT.usage,
    );
  }
  const stranger = hosts.find((host) => isIP(host) === 0 && !HOST.test(host));
  if (stranger !== undefined) {
    return complain(`--host must be a host name or an address, got "${stranger}"`, EXIT.usage);
  }
  const { cert, key, hash, expiresMs } = makeDevelopmentCertificate({ hosts, days, nowMs: Date.now() });
  const told = `# for ${hosts.join(", ")}, until ${new Date(expiresMs).toISOString()}\n` +
    `# SHA-256 in base64:\n${Buffer.from(hash).toString("base64")}\n`;
  if (out === undefined) {
    writeNow(1, cert + key + told);
    return EXIT.done;
  }
  const files = [["cert.pem", cert, 0o644], ["key.pem", key, 0o600]] as const;
  try {
    mkdirSync(out, { recursive: true });
    // A file that is there already is not written over: it may be a real one.
    for (const [name, text, mode] of files) writeFileSync(join(out, name), text, { mode, flag: "wx" });
  } catch (error) {
    return complain(`Cannot write the certificate: ${errorText(error)}`, EXIT.failed);
  }
  writeNow(1, files.map(([name]) => `${join(out, name)}\n`).join("") + told);
  return EXIT.done;
}
