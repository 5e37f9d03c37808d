// Pairs that a gateway may serve, and everything that is wrong with others; and what a watch makes of files that change.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type CertificateVerdict,
  checkCertificate,
  type Finding,
  PEM_BYTES_MAX,
} from "../../src/config/certificate.ts";
import { fileContent } from "../../src/config/configured_file.ts";
import { CertificateWatch, describeFindings, loadCertificate } from "../../src/config/certificate_files.ts";
import { makePair, type TestPair } from "../certificates.ts";
import { accepted, oneTenant, refusals } from "./loading.ts";

const DAY_MS = 86_400_000;
const root = makePair("root");
const middle = makePair("middle", { issuer: root });
const leaf = makePair("leaf", { issuer: middle });
const own = makePair("own");
const other = makePair("other");
// An hour on: a certificate made later in this run is valid by then too.
const now = Date.now() + 3_600_000;

function check(cert: string, key: string, nowMs = now): CertificateVerdict {
  return checkCertificate({ cert, key }, nowMs);
}

function failures(verdict: CertificateVerdict): string[] {
  if (verdict.ok) assert.fail("the pair was accepted");
  return verdict.failures.map(({ key, message }) => `${key} ${message}`);
}

function warnings(verdict: CertificateVerdict): readonly Finding[] {
  if (!verdict.ok) assert.fail(describeFindings(verdict.failures));
  return verdict.warnings;
}

test("a pair is accepted with its chain, its names, its end and its fingerprint", () => {
  const verdict = check(leaf.cert + middle.cert + root.cert, leaf.key);
  assert.deepEqual(warnings(verdict), []);
  const { certificate } = verdict as Extract<CertificateVerdict, { ok: true }>;
  assert.deepEqual(certificate.names, ["localhost", "127.0.0.1"]);
  assert.ok(Math.abs(certificate.expiresMs - now - 365 * DAY_MS) < DAY_MS);
  assert.match(certificate.fingerprint, /^([0-9A-F]{2}:){31}[0-9A-F]{2}$/);
  assert.equal(certificate.cert.match(/BEGIN CERTIFICATE/g)!.length, 3);
});

test("every kind of key that all runtimes serve is accepted, in either form of PEM", () => {
  for (const wish of [{ kind: "rsa:2048" }, { kind: "ed25519" }, { curve: "P-384" }, { curve: "P-521" }]) {
    const pair = makePair("kind", wish);
    assert.deepEqual(warnings(check(pair.cert, pair.key)), []);
  }
  // Text around the blocks, both files in one, and line ends of another system are nobody's mistake.
  const both = `Bag Attributes\n${own.key}${own.cert}`.replaceAll("\n", "\r\n");
  assert.deepEqual(warnings(check(both, both)), []);
});

test("kinds of keys that some runtime cannot serve, or no client accepts, are refused", () => {
  for (const wish of [{ kind: "rsa:1024" }, { curve: "secp256k1" }]) {
    const pair = makePair("weak", wish);
    assert.match(
      failures(check(pair.cert, pair.key)).join("\n"),
      /^cert_file must name a (certificate for|file of certificates)/,
    );
  }
});

test("files that hold something else are refused, both at once", () => {
  const cases: [string, string, RegExp[]][] = [
    ["", "", [/^cert_file .*in PEM.*BEGIN CERTIFICATE/, /^key_file .*in PEM.*BEGIN PRIVATE KEY/]],
    [own.key, own.cert, [/^cert_file .*BEGIN CERTIFICATE/, /^key_file .*BEGIN PRIVATE KEY/]],
    [broken(own.cert), own.key, [/^cert_file .*certificate 1 in it cannot be read/]],
    [own.cert + broken(other.cert), own.key, [/^cert_file .*certificate 2 in it cannot be read/]],
    [own.cert, broken(own.key), [/^key_file .*cannot be read/]],
    [own.cert, encrypted, [/^key_file must name a private key without a passphrase/]],
    [own.cert, legacyEncrypted, [/^key_file must name a private key without a passphrase/]],
  ];
  for (const [cert, key, expected] of cases) {
    const found = failures(check(cert, key));
    assert.equal(found.length, expected.length, found.join("\n"));
    expected.forEach((pattern, i) => assert.match(found[i]!, pattern));
  }
});

function broken(pem: string): string {
  return pem.replace(/\n.{20}/, `\n${"A".repeat(20)}`);
}

const encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
const legacyEncrypted =
  "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n" +
  "AAAA\n-----END RSA PRIVATE KEY-----\n";

test("a key of another certificate is refused, and a chain in the wrong order says whose key it is", () => {
  assert.deepEqual(failures(check(own.cert, other.key)), [
    "key_file must name the private key of the certificate in cert_file",
  ]);
  assert.deepEqual(failures(check(middle.cert + leaf.cert, leaf.key)), [
    "cert_file must have the server's own certificate first, and key_file belongs to certificate 2",
  ]);
});

test("a chain that does not hang together is a warning", () => {
  for (const chain of [leaf.cert + root.cert, leaf.cert + root.cert + middle.cert, leaf.cert + other.cert]) {
    const [warning, ...more] = warnings(check(chain, leaf.key));
    assert.match(warning!.message, /certificate 2 has not issued the one before it/);
    assert.deepEqual(more, []);
  }
});

test("a certificate is refused before its time and after it, and warned of in its last 30 days", () => {
  const at = (days: number) => check(own.cert, own.key, now + days * DAY_MS);
  assert.deepEqual(warnings(at(0)), []);
  assert.deepEqual(warnings(at(334)), []);
  for (const days of [336, 364]) {
    assert.match(warnings(at(days))[0]!.message, /expires soon, at \d{4}-\d\d-\d\dT/);
  }
  assert.match(failures(at(366))[0]!, /^cert_file must name a valid certificate, but it expired at \d{4}-/);
  assert.match(failures(at(-1))[0]!, /^cert_file .*is not valid before \d{4}-/);
});

test("a certificate that lives for days is warned of in its last third", () => {
  const brief = makePair("brief", { days: 6 });
  const at = (days: number) => check(brief.cert, brief.key, now + days * DAY_MS);
  assert.deepEqual(warnings(at(3.9)), []);
  assert.equal(warnings(at(4.1)).length, 1);
});

test("an intermediate that expires first is warned of by name", () => {
  const brief = makePair("brief", { issuer: root, days: 10 });
  const long = makePair("long", { issuer: brief });
  const verdict = check(long.cert + brief.cert, long.key, now + 9 * DAY_MS);
  assert.match(warnings(verdict)[0]!.message, /an intermediate certificate that expires soon/);
});

test("a file that is missing or too large has no content, and the reason is told", () => {
  const missing = fileContent({ error: Object.assign(new Error("x"), { code: "ENOENT" }) }, PEM_BYTES_MAX);
  const huge = fileContent(new Uint8Array(2_000_000), PEM_BYTES_MAX);
  assert.deepEqual(failures(checkCertificate({ cert: missing, key: huge }, now)), [
    "cert_file must name a file that can be read: there is no such file",
    "key_file must name a file of at most 1048576 bytes",
  ]);
});

test("gateway.tls is checked at load, with the place of the key that names the file", () => {
  const text = `gateway:\n  tls: { cert_file: a.pem, key_file: b.key }\n${oneTenant()}`;
  const files = { "a.pem": own.cert, "b.key": own.key };
  assert.equal(accepted(text, { files, nowMs: now }).config.gateway.tls?.cert_file, "a.pem");
  assert.deepEqual(refusals(text, { files: { "a.pem": own.cert }, nowMs: now }), [
    "gateway.tls.key_file must name a file that can be read: there is no such file (2, 38)",
  ]);
  assert.deepEqual(refusals(text, { files: { ...files, "b.key": other.key }, nowMs: now }), [
    "gateway.tls.key_file must name the private key of the certificate in cert_file (2, 38)",
  ]);
  const soon = accepted(text, { files, nowMs: now + 350 * DAY_MS }).warnings;
  assert.ok(soon.some(({ path, line }) => path === "gateway.tls.cert_file" && line === 2));
  assert.match(
    refusals(`gateway: { tls: { cert_file: a.pem } }\n${oneTenant()}`, { files })[0]!,
    /key_file is missing/,
  );
  assert.equal(accepted(oneTenant()).config.gateway.tls, undefined);
});

test("a start with a pair that went bad fails in one line", () => {
  assert.throws(
    () => loadCertificate({ cert_file: own.certFile, key_file: other.keyFile }, now),
    {
      message:
        "Cannot serve TLS: gateway.tls.key_file must name the private key of the certificate in cert_file",
    },
  );
  assert.deepEqual(loadCertificate({ cert_file: own.certFile, key_file: own.keyFile }, now).names, [
    "localhost",
    "127.0.0.1",
  ]);
});

/** A watch over files in memory, looked through by hand. */
function watched(first: TestPair) {
  const files: Record<string, string | null> = { cert: first.cert, key: first.key };
  const heard: string[] = [];
  const loaded = loadCertificate({ cert_file: first.certFile, key_file: first.keyFile }, now);
  const watch = new CertificateWatch({
    files: { cert_file: "cert", key_file: "key" },
    current: loaded,
    read: (path) => {
      const text = files[path];
      return typeof text === "string"
        ? Promise.resolve(new TextEncoder().encode(text))
        : Promise.reject(Object.assign(new Error("gone"), { code: "ENOENT" }));
    },
    every: () => () => {},
    unixMs: () => now,
    renewed: (certificate) => heard.push(certificate.fingerprint),
    refused: (findings) => heard.push(describeFindings(findings)),
  });
  const put = (cert: string | null, key: string | null) => Object.assign(files, { cert, key });
  return { watch, heard, put };
}

function fingerprint(pair: TestPair): string {
  return loadCertificate({ cert_file: pair.certFile, key_file: pair.keyFile }, now).fingerprint;
}

test("a watch tells of a new pair once, when two looks have seen it", async () => {
  const { watch, heard, put } = watched(own);
  for (let i = 0; i < 3; i++) await watch.look();
  assert.deepEqual(heard, []);
  put(other.cert, other.key);
  await watch.look();
  assert.deepEqual(heard, []);
  for (let i = 0; i < 3; i++) await watch.look();
  assert.deepEqual(heard, [fingerprint(other)]);
});

test("a watch does not judge a pair that is being written", async () => {
  const { watch, heard, put } = watched(own);
  await watch.look();
  put(other.cert, own.key);
  await watch.look();
  put(null, other.key);
  await watch.look();
  put(other.cert, other.key);
  await watch.look();
  await watch.look();
  assert.deepEqual(heard, [fingerprint(other)]);
});

test("a watch refuses a bad pair once, and takes the good one that follows", async () => {
  const { watch, heard, put } = watched(own);
  put(other.cert, own.key);
  for (let i = 0; i < 4; i++) await watch.look();
  assert.deepEqual(heard.splice(0), [
    "gateway.tls.key_file must name the private key of the certificate in cert_file",
  ]);
  put(null, null);
  for (let i = 0; i < 4; i++) await watch.look();
  assert.match(heard.splice(0).join(), /^[^;]*no such file; [^;]*no such file$/);
  put(own.cert, own.key); // what is in use is no news
  for (let i = 0; i < 4; i++) await watch.look();
  assert.deepEqual(heard, []);
  put(other.cert, other.key);
  for (let i = 0; i < 4; i++) await watch.look();
  assert.deepEqual(heard, [fingerprint(other)]);
});

test("a watch reads one after the other, however long a read takes", async () => {
  let reads = 0;
  const release: (() => void)[] = [];
  const watch = new CertificateWatch({
    files: { cert_file: "cert", key_file: "key" },
    current: loadCertificate({ cert_file: own.certFile, key_file: own.keyFile }, now),
    read: () => {
      reads++;
      return new Promise((resolve) => release.push(() => resolve(new Uint8Array(0))));
    },
    every: () => () => {},
    unixMs: () => now,
    renewed: () => assert.fail("nothing is new"),
    refused: () => {},
  });
  const first = watch.look();
  await watch.look();
  await watch.look();
  assert.equal(reads, 2);
  for (const go of release.splice(0)) go();
  await first;
  void watch.look();
  assert.equal(reads, 4);
});
