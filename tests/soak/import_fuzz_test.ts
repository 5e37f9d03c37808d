// Millions of texts at random on both engines: what a parser and an engine read differently hides no import. To be run with
// every new version of a runtime or of the parser. `WSPRISM_FUZZ_TEXTS` says how many, `WSPRISM_FUZZ_SEED` repeats a run.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import process from "node:process";
import { test } from "node:test";
import { promisify } from "node:util";

const TEXTS = process.env["WSPRISM_FUZZ_TEXTS"] ?? "3000000";
const SEED = process.env["WSPRISM_FUZZ_SEED"] ?? String(Date.now() % 1e9);
const ENGINES: Readonly<Record<string, readonly string[]>> = {
  JavaScriptCore: ["node_modules/bun/bin/bun.exe"],
  V8: [process.execPath, "run", "--no-prompt", "--allow-read"],
};

for (const [engine, [program, ...args]] of Object.entries(ENGINES)) {
  test(`${engine} runs no import that is not found in ${TEXTS} texts (seed ${SEED})`, async () => {
    const command = [...args, "tests/extension/import_fuzz.ts", TEXTS, SEED];
    const { stdout } = await promisify(execFile)(program!, command);
    process.stdout.write(`${engine}: ${stdout}`);
    const { inCode, differ } = JSON.parse(stdout) as { inCode: number; differ: number };
    assert.ok(inCode > 0 && differ > 0, stdout);
  });
}
