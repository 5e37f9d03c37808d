// The table of attacks in docs/security.md: the numbers of inputs are what stands in the corpora, and the files are there.

import { strict as assert } from "node:assert";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { LOOKS, REFUSED } from "../src/extension/seccomp.ts";
import { neighbours } from "../bench/rows/neighbours.ts";
import { ATTACKS } from "./outbound/hostile_answers.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const text = (path: string) => readFileSync(join(ROOT, path), "utf8");
const scripts = readdirSync(join(ROOT, "tests/extension/hostile")).filter((file) => file !== "tried.js");
const count = (pattern: RegExp) => scripts.filter((file) => pattern.test(file)).length;
const LOADING = /^(import|html|require|reexport|code_in)_/;
const RESOURCES = /^(spin|memory|flood|big|long)_|^(never|stack_overflow)/;

/** How many inputs of each family there are. */
const INPUTS: Readonly<Record<string, number>> = {
  "ways to load code": count(LOADING),
  "time and memory": count(RESOURCES),
  "the language's own objects": scripts.length - count(LOADING) - count(RESOURCES),
  "texts that parser and engine read differently": 2 * Number(
    /WSPRISM_FUZZ_TEXTS"\] \?\? "(\d+)"/.exec(text("tests/soak/import_fuzz_test.ts"))![1],
  ),
  "scripts without wall 1": readdirSync(join(ROOT, "tests/extension/walls")).length,
  "calls of the kernel, made":
    text("tests/extension/walls/system_calls.js").match(/^ {6}\w+: \(\) =>/gm)!.length,
  "calls of the kernel, refused by number": Object.keys(REFUSED).length + Object.keys(LOOKS).length,
  "answers": Object.keys(ATTACKS).length,
  "guessed tickets": Number(
    /WSPRISM_SOAK_TICKETS"\] \?\? ([\d_]+)/.exec(text("tests/soak/tickets_test.ts"))![1]!.replaceAll("_", ""),
  ),
  "neighbours": neighbours.length,
};

test("The table of attacks in docs/security.md has the numbers of the corpora, and names files that exist", () => {
  const table = /^\| attacks +\| inputs[^]*?\n\n/m.exec(text("docs/security.md"))![0];
  const rows = table.match(/^\| [^|]+ +\| *[\d,]+ *\|.*$/gm) ?? [];
  const told = Object.fromEntries(rows.map((row) => {
    const [, family, inputs] = row.split("|").map((cell) => cell.trim());
    return [family!, Number(inputs!.replaceAll(",", ""))];
  }));
  assert.deepEqual(told, INPUTS);
  for (const row of rows) {
    for (const [, path] of row.matchAll(/`((?:tests|bench)\/[\w/.]+)`/g)) {
      assert.ok(existsSync(join(ROOT, path!)), `${path} is not there`);
    }
  }
});
