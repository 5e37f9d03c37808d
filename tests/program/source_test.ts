// From files to programs: what a script becomes, what is refused and where, and how a module's memory is capped.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { prepareScript, prepareWasm } from "../../src/program/source.ts";
import { capMemory } from "../../src/program/wasm_module.ts";

const root = mkdtempSync(join(tmpdir(), "wsprism-source-"));
after(() => rmSync(root, { recursive: true }));

function prepared(files: Readonly<Record<string, string>>) {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(root, name), text);
  return prepareScript({ root, file: `./${Object.keys(files)[0]!}` });
}

const HEAD = [0, 97, 115, 109, 1, 0, 0, 0];

test("A script is its modules without types, each with what it imports, on the lines where they were", () => {
  const result = prepared({
    "main.ts": 'import type { T } from "wsprism";\nimport { add } from "./add.ts";\n\nexport default {\n' +
      "  onMessage: (m: T): number => add(1, 2),\n};\n",
    "add.ts": "export const add = (a: number, b: number): number => a + b;\n",
  });
  assert.ok(result.ok && result.program.kind === "script", JSON.stringify(result));
  assert.equal(result.program.entry, "main.ts");
  const [main, add] = result.program.modules;
  assert.deepEqual(main!.imports, { "./add.ts": "add.ts" });
  assert.match(main!.code.split("\n")[4]!, /onMessage: \(m\)/);
  assert.deepEqual([add!.path, add!.imports], ["add.ts", {}]);
  assert.equal(result.files.length, 2);
});

test("Modules may import each other in a circle", () => {
  const result = prepared({
    "a.ts": 'import "./b.ts";\nexport default {};\n',
    "b.ts": 'import "./a.ts";\nexport {};\n',
  });
  assert.ok(result.ok);
});

test("What is wrong with a file is told with its path and line", () => {
  const cases: readonly [source: string, line: number | undefined, msg: RegExp][] = [
    ["export default {\n  a: = 1,\n};\n", 2, /Unexpected token/],
    ["\n\nimport fs from 'node:fs';\nfs;\n", 3, /only files of its own/],
    ["\nimport x from './missing.ts';\nx;\n", 2, /no such file/],
    ["\nimport x from '../x.ts';\nx;\n", 2, /not below the configuration file's folder/],
    ["\n\n\nimport('x');\n", 4, /import\(\) is not allowed/],
    ["\nimport.meta.url;\n", 2, /import\.meta is not allowed/],
    ["\nawait 1;\n", 2, /await outside of a function/],
    [
      "async () => {\n  for await (const x of y) await x;\n};\nfor await (const x of y);\n",
      4,
      /await outside/,
    ],
    ["enum A { B }\nexport default A.B;\nimport.defer('x');\n", 3, /./],
  ];
  for (const [source, line, msg] of cases) {
    const result = prepared({ "case.ts": source });
    assert.ok(!result.ok, source);
    assert.deepEqual([result.path, result.line], ["case.ts", line], source);
    assert.match(result.msg, msg);
  }
});

test("A name that ends a line, or cannot be shown, is refused: no file of it is read", () => {
  for (
    const character of ["\n", "\r", "\u2028", "\u2029", "\t", "\x7f", "\x1b", "\u202e", "\u200b", "\ufeff"]
  ) {
    const file = `x${character};var f=1;f.js=f;f.js`;
    writeFileSync(join(root, file), "export const leak = 1;\n");
    const direct = prepareScript({ root, file });
    assert.ok(!direct.ok && /line ends, control or invisible/.test(direct.msg), JSON.stringify(direct));
    const imported = prepared({
      "named.js": `\nimport ${JSON.stringify(`./${file}`)};\nexport default {};\n`,
    });
    assert.ok(!imported.ok && imported.line === 2, JSON.stringify(imported));
    writeFileSync(join(root, "link.js"), "");
    rmSync(join(root, "link.js"));
    symlinkSync(join(root, file), join(root, "link.js"));
    const linked = prepareScript({ root, file: "link.js" });
    assert.ok(!linked.ok && /cannot be shown/.test(linked.msg), JSON.stringify(linked));
    rmSync(join(root, "link.js"));
    rmSync(join(root, file));
  }
});

test("An import that only the engine sees is refused with its line; a text of it is not", () => {
  const hidden = prepared({
    "hidden.js":
      "let x, leak; const g = 1;\nx = async function () {}\n/(leak = import.defer('x'))/g\nexport default {};\n",
  });
  assert.ok(!hidden.ok, "not refused");
  assert.deepEqual([hidden.path, hidden.line], ["hidden.js", 3]);
  assert.match(hidden.msg, /import/);
  const honest = prepared({
    "honest.ts": "const a: string = 'import(x) <!-- y -->'; // import.meta\nexport default { a };\n",
  });
  assert.ok(honest.ok && honest.program.kind === "script", JSON.stringify(honest));
  assert.match(honest.program.modules[0]!.code, /'import\(x\) <!-- y -->'/);
});

test("A file that is not there, is a folder or has another ending is refused", () => {
  for (
    const [file, msg] of [["none.ts", /no such file/], [".", /not below/], ["../x.ts", /not below/]] as const
  ) {
    const result = prepareScript({ root, file });
    assert.ok(!result.ok && msg.test(result.msg), JSON.stringify(result));
  }
  writeFileSync(join(root, "data.json"), "{}");
  const result = prepared({ "json.ts": "import './data.json';\n" });
  assert.ok(!result.ok && /ends in one of/.test(result.msg) && result.path === "data.json");
});

test("A module's memory gets a maximum, or a smaller one; what is around it stays", () => {
  const without = Uint8Array.of(...HEAD, 5, 3, 1, 0, 1, 0, 2, 7, 7);
  assert.deepEqual([...capMemory(without, 4) as Uint8Array], [...HEAD, 5, 4, 1, 1, 1, 64, 0, 2, 7, 7]);
  const larger = Uint8Array.of(...HEAD, 5, 5, 1, 1, 1, 0x80, 0x08);
  assert.deepEqual([...capMemory(larger, 4) as Uint8Array], [...HEAD, 5, 4, 1, 1, 1, 64]);
  const smaller = Uint8Array.of(...HEAD, 5, 4, 1, 1, 1, 2);
  assert.deepEqual([...capMemory(smaller, 4) as Uint8Array], [...smaller]);
});

test("Modules that import what extensions do not have, or cannot be read, are refused with the reason", () => {
  const imports = (module: string, kind: readonly number[]) => {
    const name = [...new TextEncoder().encode(module)];
    const body = [1, name.length, ...name, 1, 120, ...kind];
    return Uint8Array.of(...HEAD, 2, body.length, ...body);
  };
  const cases: readonly [module: Uint8Array, msg: RegExp][] = [
    [Uint8Array.of(1, 2, 3), /not a WebAssembly module/],
    [Uint8Array.of(...HEAD, 5, 90), /ends too early/],
    [Uint8Array.of(...HEAD, 5, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), /too large/],
    [imports("wasi_snapshot_preview1", [0, 0]), /WASI/],
    [imports("env", [2, 0, 1]), /imports a memory/],
    [imports("env", [3, 127, 0]), /imports a global/],
    [imports("elsewhere", [0, 0]), /does not exist here/],
    [Uint8Array.of(...HEAD, 5, 4, 1, 3, 1, 1), /shared or of 64 bits/],
    [Uint8Array.of(...HEAD, 5, 3, 2, 0, 1, 0, 1), /more than one memory/],
    [Uint8Array.of(...HEAD, 5, 4, 1, 0, 0x80, 1), /wants 8 MiB of memory from the start, and memory_mb is 4/],
  ];
  for (const [module, msg] of cases) assert.match(String(capMemory(module, 4)), msg);
  writeFileSync(join(root, "bad.wasm"), "no");
  const refused = prepareWasm({ root, file: "bad.wasm", memoryMb: 4 });
  assert.deepEqual(refused, { ok: false, path: "bad.wasm", msg: "it is not a WebAssembly module" });
});
