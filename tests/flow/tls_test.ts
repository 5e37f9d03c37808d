// TLS from outside: sessions, HTTP, what is refused at load, and certificates that change under living sessions.

import assert from "node:assert/strict";
import { mkdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { makePair, type TestPair } from "../certificates.ts";
import { RawClient, within } from "../raw_client.ts";
import { Client, target } from "./client.ts";
import { Folder, GatewayProcess, NATIVE_DENO, TARGET, wsprism } from "./gateway_process.ts";

/** A watch looks every 2 s, and has to see a change twice. */
const RENEWAL_MS = 15_000;

const first = makePair("first");
const second = makePair("second", { kind: "rsa:2048" });

function secure(pair: TestPair, gateway: object = {}, mayComplain = false): Promise<GatewayProcess> {
  return GatewayProcess.start({
    gateway: { tls: { cert_file: "tls.crt", key_file: "tls.key" }, drain_grace_ms: 0, ...gateway },
    tenants: [{ id: "acme", policy: { ext_allowlist: ["room:*", "chat:*"] } }],
  }, { files: { "tls.crt": pair.cert, "tls.key": pair.key }, ca: pair.cert, mayComplain });
}

/** The name in the certificate that a new connection is shown. */
async function shown(gateway: GatewayProcess, trusted: TestPair): Promise<unknown> {
  const client = await RawClient.connect({ port: gateway.port, ca: trusted.cert });
  const name = client.certificateName;
  client.destroy();
  return name;
}

/** Replaces a file the way certbot and editors do: another one takes its name. */
function replace(gateway: GatewayProcess, name: string, text: string): void {
  writeFileSync(join(gateway.folder, `${name}.new`), text);
  renameSync(join(gateway.folder, `${name}.new`), join(gateway.folder, name));
}

test("sessions and HTTP work through TLS, and plain text does not", async () => {
  await using gateway = await secure(first);
  const line = await gateway.logged("certificate in use");
  assert.deepEqual(line["names"], ["localhost", "127.0.0.1"]);
  const [ann, bob] = [await Client.open(gateway), await Client.open(gateway)];
  for (const client of [ann, bob]) await client.join("lobby");
  await ann.settled();
  ann.send({ svc: "chat", type: "send", room: "lobby", data: { msg: "grüße" } });
  assert.equal((await bob.next("chat.msg")).data.msg, "grüße");
  assert.equal((await gateway.get("/healthz")).body, "ok");

  const plain = await RawClient.connect(gateway.port);
  plain.send("GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n");
  plain.end();
  assert.ok(!(await plain.rest()).includes("ok"));

  const metrics = await gateway.metrics();
  const expiry = metrics.sum("wsprism_tls_certificate_expiry_timestamp_seconds");
  assert.ok(Math.abs(expiry - Date.now() / 1000 - 365 * 86_400) < 86_400);
  for (const client of [ann, bob]) await client.close();
  await gateway.stop();
});

test("sessions talk on while the certificate is renewed, and new ones see the new one", async () => {
  await using gateway = await secure(first, {}, true);
  const client = await Client.open(gateway);
  let talking = true;
  const talk = (async () => {
    for (; talking; await new Promise((resolve) => setTimeout(resolve, 20))) await client.hearsNothing();
  })().then(() => "talked on", String); // a failure below is not to be hidden by the end that it brings here

  // One file of two: nothing to be used, nothing to be lost.
  replace(gateway, "tls.crt", second.cert);
  const refused = await gateway.logged(
    "new certificate refused, the one in use stays",
    undefined,
    RENEWAL_MS,
  );
  assert.match(refused["reason"] as string, /key_file must name the private key of the certificate/);
  assert.equal(await shown(gateway, first), "first");

  replace(gateway, "tls.key", second.key);
  if (NATIVE_DENO) {
    await gateway.logged(
      "new certificate refused, the one in use stays",
      (line) => /restart/.test(line["reason"] as string),
      RENEWAL_MS,
    );
    assert.equal(await shown(gateway, first), "first");
  } else {
    await gateway.logged("certificate renewed", undefined, RENEWAL_MS);
    assert.equal(await shown(gateway, second), "second");
    gateway.ca = second.cert;
  }
  const next = await Client.open(gateway);
  talking = false;
  assert.equal(await talk, "talked on");
  await client.hearsNothing();
  const metrics = await gateway.metrics();
  const renewals = (result: string) => metrics.sum("wsprism_tls_renewals_total", { result });
  assert.deepEqual([renewals("renewed"), renewals("refused")], NATIVE_DENO ? [0, 2] : [1, 1]);
  for (const each of [client, next]) await each.close();
  await gateway.stop();
});

test("files behind swapped symlinks are seen, as Kubernetes mounts them", async () => {
  if (NATIVE_DENO) return assert.equal(TARGET, "deno-native"); // renews nothing; seen above
  const folder = (name: string, pair: TestPair) => ({
    [`${name}.crt`]: pair.cert,
    [`${name}.key`]: pair.key,
  });
  await using gateway = await GatewayProcess.start({
    gateway: { tls: { cert_file: "first.crt", key_file: "first.key" } },
    tenants: [{ id: "acme" }],
  }, { files: folder("first", first), ca: first.cert });
  // From here on the names are links through a folder's link, which is swapped in one step.
  const at = (...names: string[]) => join(gateway.folder, ...names);
  for (const [generation, pair] of [["one", first], ["two", second]] as const) {
    mkdirSync(at(generation));
    writeFileSync(at(generation, "tls.crt"), pair.cert);
    writeFileSync(at(generation, "tls.key"), pair.key);
  }
  symlinkSync("one", at("data"));
  for (const kind of ["crt", "key"]) {
    symlinkSync(join("data", `tls.${kind}`), at(`link.${kind}`));
    renameSync(at(`link.${kind}`), at(`first.${kind}`));
  }
  const client = await Client.open(gateway);
  symlinkSync("two", at("data.new"));
  renameSync(at("data.new"), at("data"));
  await gateway.logged("certificate renewed", undefined, RENEWAL_MS);
  assert.equal(await shown(gateway, second), "second");
  await client.hearsNothing();
  gateway.ca = second.cert;
  await client.close();
  await gateway.stop();
});

test("a pair that cannot be used is refused by check and by start, with its place", async () => {
  using folder = new Folder();
  folder.write("tls.crt", first.cert);
  folder.write("other.key", second.key);
  folder.write(
    "wsprism.yaml",
    "version: 1\ngateway:\n  tls:\n    cert_file: tls.crt\n    key_file: other.key\ntenants: [{ id: acme }]\n",
  );
  for (const verb of ["check", "start"]) {
    const { code, stderr } = await wsprism([verb, "--config", "wsprism.yaml", "--dev"], {
      folder: folder.path,
    });
    assert.equal(code, 3);
    assert.equal(
      stderr,
      'Cannot load "wsprism.yaml": gateway.tls.key_file must name the private key of the certificate in cert_file ' +
        "(line 5, column 15)\n",
    );
  }
});

test("connections that never start or finish a TLS handshake are ended, and hinder nobody", async () => {
  await using gateway = await secure(first, TARGET.startsWith("deno") ? { header_timeout_ms: 2000 } : {});
  const silent = await Promise.all(Array.from({ length: 100 }, () => RawClient.connect(gateway.port)));
  silent.slice(50).forEach((client) => client.send("\x16\x03\x01\x02\x00\x01"));
  const client = await Client.open(gateway);
  await client.hearsNothing();
  if (!NATIVE_DENO) {
    await within(Promise.all(silent.map(({ gone }) => gone)), "the end of silent connections", 16_000);
  }
  for (const each of silent) each.destroy();
  await client.hearsNothing();
  await client.close();
  assert.equal(await shown(gateway, first), "first");
  await gateway.stop();
});

test("a handshake's ticket travels through TLS as through plain text", async () => {
  await using gateway = await secure(first);
  const client = await RawClient.open(gateway.peer, target({ user: "ann" }));
  assert.equal(JSON.parse(await client.nextText()).data.user, "ann");
  client.destroy();
  const refused = await RawClient.connect(gateway.peer);
  assert.equal((await refused.upgrade("/v1/ws?tenant=acme")).status, 401);
  refused.destroy();
  await gateway.empty();
  await gateway.stop();
});
