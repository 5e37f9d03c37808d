// A file loaded anew on a thread of its own: what comes back is what loading it here would give, and tenants that stayed
// as they were come back as the objects that they are.

import { strict as assert } from "node:assert";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, test } from "node:test";
import { loadSchema } from "../../src/config/data_schema.ts";
import { SILENT } from "../../src/log.ts";
import { FileSource } from "../../src/config/file_source.ts";
import { readConfig } from "../../src/config/load.ts";

const folder = mkdtempSync(join(tmpdir(), "wsprism-source-"));
after(() => rmSync(folder, { recursive: true }));
const file = join(folder, "wsprism.yaml");

const tenants = (count: number, more: (n: number) => string) =>
  `version: 1\ntenants:\n${
    Array.from({ length: count }, (_, n) => `  - id: tenant-${n}\n    ${more(n)}\n`).join("")
  }`;

async function started(text: string, thread: "kept" | "each"): Promise<FileSource> {
  writeFileSync(file, text);
  const loaded = await readConfig(file, { env: {}, dev: true });
  assert.ok(loaded.ok);
  const source = new FileSource({
    file,
    dev: true,
    envFile: null,
    config: loaded.config,
    files: loaded.files,
    thread,
    log: SILENT,
  });
  source.start();
  return source;
}

for (const thread of ["each", "kept"] as const) {
  const way = thread === "kept" ? "One thread" : "A thread each";

  test(`${way}: what has not changed comes back as the same objects, what has as new ones, in the order of the file`, async () => {
    const source = await started(tenants(60, () => "suspended: false"), thread);
    const first = await source.load();
    assert.ok(first.ok);
    const second = await source.load();
    assert.ok(second.ok);
    second.config.tenants.forEach((tenant, n) => assert.equal(tenant, first.config.tenants[n]));
    // More than one portion of them.
    writeFileSync(file, tenants(70, (n) => `suspended: ${n % 2 === 0}`));
    const third = await source.load();
    assert.ok(third.ok);
    const direct = await readConfig(file, { env: {}, dev: true });
    assert.ok(direct.ok);
    assert.deepEqual(third.config, direct.config);
    assert.deepEqual(third.warnings, direct.warnings);
    third.config.tenants.slice(0, 60).forEach((tenant, n) => {
      assert.equal(tenant === first.config.tenants[n], n % 2 === 1);
    });
    source.stop();
  });

  test(`${way}: a file that is not good is refused with the same words, and what was good stays known`, async () => {
    const source = await started(tenants(2, () => "suspended: false"), thread);
    const before = await source.load();
    writeFileSync(file, "version: 1\ntenants: [{ id: acme, suspended: perhaps }]\n");
    const direct = await readConfig(file, { env: {}, dev: true });
    assert.ok(!direct.ok);
    assert.deepEqual(await source.load(), { ok: false, failures: direct.failures, files: [] });
    writeFileSync(file, tenants(2, () => "suspended: false"));
    const after = await source.load();
    assert.ok(before.ok && after.ok);
    assert.equal(after.config.tenants[1], before.config.tenants[1]);
    source.stop();
  });

  test(`${way}: the code of schemas comes with the tenants that have changed, each once`, async () => {
    const text = (maxLength: number) => JSON.stringify({ type: "string", maxLength });
    const rule = (id: string, maxLength: number) =>
      `{ id: ${id}, match: { service: "chat:send" }, schema_text: '${text(maxLength)}' }`;
    const fileWith = (last: number) =>
      tenants(60, (n) => `policy: { rules: [${rule("a", 7)}, ${rule("b", n === 59 ? last : n)}] }`);
    const source = await started(fileWith(59), thread);
    writeFileSync(file, fileWith(100));
    const one = await source.load();
    assert.ok(one.ok);
    assert.deepEqual([...one.schemas.keys()], [text(7), text(100)]);
    const schema = loadSchema(one.schemas.get(text(7))!);
    assert.deepEqual([schema.fault("1234567"), schema.fault("12345678") === null], [null, false]);
    writeFileSync(file, fileWith(100).replaceAll("id: a,", "id: c,"));
    const all = await source.load();
    assert.ok(all.ok);
    assert.equal(all.schemas.size, 60);
    source.stop();
  });
}

test("The files that a configuration names are known, whether they can be read or not", async () => {
  const source = await started(tenants(1, () => "suspended: false"), "each");
  assert.deepEqual(source.files, [file]);
  writeFileSync(
    file,
    tenants(1, () => "auth: { mode: jwt, jwt: { algorithms: [ES256], keys: [{ public_key_file: k.pem }] } }"),
  );
  assert.equal((await source.load()).ok, false);
  assert.deepEqual(source.files, [file, join(folder, "k.pem")]);
  writeFileSync(join(folder, "k.pem"), "no key");
  assert.equal((await source.load()).ok, false);
  assert.deepEqual(source.files, [file, join(folder, "k.pem")]);
});

test("A look changes nothing of what a load compares with; lines are found in the text that was loaded", async () => {
  const source = await started(tenants(3, () => "suspended: false"), "kept");
  const first = await source.load();
  writeFileSync(file, tenants(3, (n) => `suspended: ${n === 1}`));
  const [looked, lines] = await Promise.all([
    source.look(),
    source.lines(tenants(3, () => "suspended: false"), [["tenants", 2, "suspended"], [
      "tenants",
      2,
      "limits",
    ]]),
  ]);
  assert.ok(first.ok && looked.ok);
  assert.deepEqual(lines, [8, null]);
  assert.equal(looked.config.tenants[1]!.suspended, true);
  assert.equal(looked.text, tenants(3, (n) => `suspended: ${n === 1}`));
  writeFileSync(file, tenants(3, () => "suspended: false"));
  const after = await source.load();
  assert.ok(after.ok);
  after.config.tenants.forEach((tenant, n) => assert.equal(tenant, first.config.tenants[n]));
  source.stop();
});

test("A pasted text reads no file that the one in use does not name, and no variable but plain numbers", async () => {
  const secret = join(folder, "secret.txt");
  writeFileSync(secret, "not for everybody");
  process.env["WSPRISM_TEST_RATE"] = "77";
  process.env["WSPRISM_TEST_WORD"] = "hush";
  const source = await started(tenants(1, () => "suspended: false"), "kept");
  const text = tenants(1, () => "policy:\n      rate_limit_rps: ${WSPRISM_TEST_RATE}")
    .replace("tenant-0", "${WSPRISM_TEST_WORD}");
  const good = await source.check(text);
  assert.ok(good.ok);
  assert.equal(good.config.tenants[0]!.policy.rate_limit_rps, 77);
  assert.doesNotMatch(JSON.stringify(good), /hush/);
  const rule = `{ id: a, match: { service: "a:b" }, schema: ${JSON.stringify(secret)} }`;
  const bad = await source.check(tenants(1, () => `policy: { rules: [${rule}] }`));
  assert.ok(!bad.ok);
  assert.match(bad.failures[0]!.message, /the configuration in use does not name it/);
  source.stop();
});
