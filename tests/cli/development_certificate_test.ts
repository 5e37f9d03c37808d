// The certificate for development as others see it: Node's reader, OpenSSL, and what browsers ask of one that is known by
// its hash. A browser itself takes it in tests/browser/webtransport_test.ts.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash, createPrivateKey, X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { makeDevelopmentCertificate } from "../../src/cli/development_certificate.ts";
import { checkCertificate } from "../../src/config/certificate.ts";

const NOW_MS = Date.UTC(2026, 5, 1);

test("It is for its hosts, on P-256, for so many days, and no authority", () => {
  const hosts = ["game.test", "127.0.0.1", "::1"];
  const { cert, key, hash, expiresMs } = makeDevelopmentCertificate({ hosts, days: 14, nowMs: NOW_MS });
  const read = new X509Certificate(cert);
  assert.equal(read.ca, false);
  assert.equal(read.checkHost("game.test"), "game.test");
  for (const host of ["127.0.0.1", "::1"]) assert.ok(read.checkIP(host) !== undefined, host);
  assert.ok(read.checkPrivateKey(createPrivateKey(key)));
  assert.ok(read.verify(read.publicKey));
  assert.equal(read.publicKey.asymmetricKeyDetails?.namedCurve, "prime256v1");
  assert.equal(Date.parse(read.validTo) - Date.parse(read.validFrom), 14 * 86_400_000);
  assert.ok(Date.parse(read.validFrom) < NOW_MS);
  assert.equal(Date.parse(read.validTo), expiresMs);
  assert.deepEqual(hash, new Uint8Array(createHash("sha256").update(read.raw).digest()));
  const other = makeDevelopmentCertificate({ hosts, days: 1, nowMs: NOW_MS });
  assert.notEqual(new X509Certificate(other.cert).serialNumber, read.serialNumber);
});

test("OpenSSL finds nothing wrong with it, and the gateway takes it", () => {
  const folder = mkdtempSync(join(tmpdir(), "wsprism-cert-"));
  try {
    const nowMs = Date.now();
    const { cert, key } = makeDevelopmentCertificate({ hosts: ["localhost"], days: 14, nowMs });
    const file = join(folder, "cert.pem");
    writeFileSync(file, cert);
    const said = execFileSync("openssl", ["verify", "-x509_strict", "-CAfile", file, file], {
      stdio: "pipe",
    });
    assert.match(said.toString(), /: OK/);
    assert.equal(checkCertificate({ cert, key }, nowMs).ok, true);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
