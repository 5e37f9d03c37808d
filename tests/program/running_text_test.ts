// Imports at run time are found in whatever spelling the engine takes for one, whichever of the two engines it is; and what
// only looks like one is let be.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Script } from "node:vm";
import { findImport, runningText } from "../../src/program/running_text.ts";
import { fuzzImports } from "../extension/import_fuzz.ts";

const found = (code: string) => findImport(runningText(code, 0))?.line ?? null;

/** What stands before a slash that is a division for the engine: behind it a parser may see a regular expression. */
const OPERANDS = [
  ...[
    "async function () {}",
    "async function* () {}",
    "function* () {}",
    "function () {}",
    "class {}",
    "class { a = 1 }",
  ],
  ...[
    "async () => ({})",
    "{}",
    "[]",
    "(1)",
    "a++",
    "a--",
    "`${1}`",
    "`}`",
    "/a/",
    "/a/g",
    "1",
    "1.",
    "1n",
    '""',
    "this",
  ],
  ...[
    "new.target",
    "a[0]",
    "a()",
    "a.return",
    "a?.typeof",
    "{ if: 1 }",
    "{ async f() {} }",
    "{ get return() {} }",
  ],
  ...[
    "function yield_() {}",
    "async",
    "of",
    "get",
    "set",
    "await",
    "a.yield",
    "!class {}",
    "typeof {}",
    "(() => {})",
  ],
];
const IMPORTS = [
  ...[
    'import("x")',
    'import.defer("x")',
    'import.source("x")',
    'import\n("x")',
    'import/**/("x")',
    'import//\n("x")',
  ],
  ...[
    'import . defer("x")',
    'import\u2028("x")',
    'import\ufeff("x")',
    'import/**/./**/defer("x")',
    'import\u00a0("x")',
  ],
  ...[
    'import<!--\n("x")',
    "import.meta",
    'import\u3000.\u2029source("x")',
    '\\u0069mport("x")',
    'im\\u{70}ort.defer("x")',
  ],
];

test("An import behind whatever is an operand is found, on its line", () => {
  for (const operand of OPERANDS) {
    for (const call of IMPORTS) {
      const code = `let a = 1, leak, x; const g = 1;\nx = ${operand}\n/(leak = ${call})/g`;
      const line = found(code);
      // An operand that no assignment takes, or a division that none is, makes a text that nothing runs.
      if (isRead(code.replace(call, "a()"))) {
        const inCode = !isRead(code.replace(call, "@"));
        assert.equal(line, inCode ? 3 : null, code);
      } else assert.equal(line, 3, code);
    }
  }
});

test("Imports in every place where code can stand are found", () => {
  const places = [
    ..."CALL|(CALL)|[...CALL]|{ a: CALL }|a?.[CALL]|`${CALL}`|`${`${CALL}`}`|a => CALL|async () => await CALL"
      .split("|"),
    ...[
      "class A { a = CALL }",
      "class A { static { CALL } }",
      "class A { [CALL] = 1 }",
      "class A extends (CALL) {}",
    ],
    ...[
      "label: CALL",
      "if (1) CALL",
      "for (const a of [CALL]) a",
      "switch (1) { case CALL: }",
      "function f(a = CALL) {}",
    ],
    ...[
      "a\n++\nCALL",
      "1.\nCALL",
      "'use strict'\nCALL",
      "/* */ CALL",
      "// \u2028 CALL",
      "// \r CALL",
      "<!-- \u2029 CALL",
    ],
    ...[
      "const { a = CALL } = {}",
      "new (CALL)",
      "void CALL",
      "x\n-->\nCALL",
      "'</script>', CALL",
      "/[/]/, CALL",
      "/\\//, CALL",
    ],
    ...[
      "`\\`${CALL}`",
      "'\\\n', CALL",
      "async function* g() { yield* CALL }",
      "}), CALL; (function () {",
      "\ufeffCALL",
    ],
  ];
  for (const place of places) {
    for (const call of IMPORTS) {
      assert.notEqual(found(place.replace("CALL", () => call)), null, `${place} ${JSON.stringify(call)}`);
    }
  }
});

test("What only looks like an import is let be", () => {
  const honest = [
    ...[
      '"import(x)"',
      "'import.meta'",
      "`import(1) ${2} import.defer`",
      "/import\\(|import./g",
      "// import(x)",
      "/* import.meta */",
    ],
    ...[
      "a.import(1)",
      "a?.import(1)",
      "class A { #import() { this.#import() } }",
      "({ import: 1, 'import'() {} })",
    ],
    ...[
      "important(1)",
      "$import(1)",
      "import_(1)",
      "reimport.x",
      "String.raw`import(${1})`",
      "({ import: 1 }).import.x",
    ],
    ...[
      "/[import.]/",
      '"\\\nimport(x)"',
      '"\u2028import(x)"',
      "`\nimport(x)\n`",
      "a = 1 / 2 / 3; 'import(x)'",
      "/\"/, 'import(x)'",
    ],
  ];
  for (const code of honest) {
    assert.ok(isRead(code), code);
    assert.equal(found(code), null, code);
  }
});

test("No character stands between the keyword and its parenthesis for an engine but those that are known", () => {
  for (let code = 0; code < 0x10000; code++) {
    const text = `import${String.fromCharCode(code)}("x")`;
    if (isRead(`a${String.fromCharCode(code)}b`)) continue; // a part of a name, or an operator
    if (isRead(text)) assert.notEqual(found(text), null, code.toString(16));
  }
});

test("An import with escapes in it, or right behind a number's dot, is none for an engine", () => {
  for (
    const text of [
      '\\u0069mport("x")',
      'import.d\\u0065fer("x")',
      '1.import("x")',
      '1_0.import("x")',
      '/a/gimport("x")',
    ]
  ) {
    assert.ok(!isRead(text) || found(text) === null || text.startsWith("\\"), text);
  }
  assert.ok(!isRead('\\u0069mport("x")'));
  assert.ok(!isRead('1.import("x")'));
});

test("Texts at random hold no import that is not found", () => {
  const counts = fuzzImports(20_000, 42);
  assert.ok(counts.read > 1000 && counts.inCode > 500, JSON.stringify(counts));
});

function isRead(code: string): boolean {
  try {
    new Script(`"use strict";${runningText(code, 0)}`);
    return true;
  } catch {
    return false;
  }
}
