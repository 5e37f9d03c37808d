// The verifying code of docs/backend.md, run as it stands there.

import { strict as assert } from "node:assert";
import { Buffer } from "node:buffer";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { signature, type SigningKey } from "../../src/outbound/signing.ts";
import { blocksOf } from "./blocks.ts";
import { PYTHON, python } from "./programs.ts";

const block = (language: string) =>
  blocksOf("docs/backend.md").find((found) => found.language === language)!.text;

const BODY = JSON.stringify({ events: [{ id: "é" }] });
const KEY: SigningKey = { id: "k1", secret: "a secret of the backend" };
const OLD: SigningKey = { id: "k0", secret: "an older one" };

interface Case {
  readonly header: string;
  readonly secrets: Readonly<Record<string, string>>;
  readonly good: boolean;
}

function cases(): Case[] {
  const now = Date.now();
  const good = signature(BODY, [KEY], now);
  const both = signature(BODY, [KEY, OLD], now);
  const secrets = { [KEY.id]: KEY.secret };
  return [
    { header: good, secrets, good: true },
    { header: both, secrets, good: true },
    { header: both, secrets: { [OLD.id]: OLD.secret }, good: true },
    { header: good, secrets: { k1: "another" }, good: false },
    { header: good, secrets: {}, good: false },
    { header: signature(`${BODY} `, [KEY], now), secrets, good: false },
    { header: signature(BODY, [KEY], now - 600_000), secrets, good: false },
    { header: good.replace("t=", "t=1"), secrets, good: false },
    { header: "", secrets, good: false },
    { header: "t=1,kid=k1", secrets, good: false },
  ];
}

test(
  "Signatures are checked in Python",
  PYTHON,
  () => {
    const hex = Buffer.from(BODY).toString("hex");
    const all = cases();
    const asked = all.map(({ header, secrets }) =>
      `print(is_wsprism(bytes.fromhex("${hex}"), ${JSON.stringify(header)}, ${JSON.stringify(secrets)}))`
    );
    const answers = python(`${block("python")}\n${asked.join("\n")}`)!.split("\n");
    assert.deepEqual(answers.map((answer) => answer === "True"), all.map(({ good }) => good));
    // What a request without the header has in most frameworks.
    assert.equal(python(`${block("python")}\nprint(is_wsprism(b"", None, {"k1": "x"}))`), "False");
  },
);

test("Signatures are checked in JavaScript", async () => {
  const folder = mkdtempSync(join(tmpdir(), "wsprism-doc-"));
  const file = join(folder, "verify.mjs");
  writeFileSync(file, `import { Buffer } from "node:buffer";\n${block("js")}`);
  const module = await import(pathToFileURL(file).href);
  rmSync(folder, { recursive: true });
  for (const { header, secrets, good } of cases()) {
    assert.equal(module.isWsprism(Buffer.from(BODY), header, secrets), good, header);
  }
  assert.equal(module.isWsprism(Buffer.from(BODY), undefined, { k1: "x" }), false, "no header");
});
