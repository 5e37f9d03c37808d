// Texts at random, made of what parsers and engines have ever disagreed on, with a call in them somewhere: where the engine
// runs that call, or would refuse it were it no token at all, an import in its place must be found. Runs on the engine
// that this process has: `bun tests/extension/import_fuzz.ts TEXTS SEED`.

import { parse } from "acorn";
import process from "node:process";
import { Script } from "node:vm";
import { findImport, runningText } from "../../src/program/running_text.ts";

const PIECES = [
  ..."/ / / / g i ( ) { } { } [ ] ; , . ? : + - * = ! ~ < > & | \n \n \u2028 \r".split(" "),
  ..."` ` ${ } ${1} ' \" \\ # @ \t \ufeff 1 1. .5 0x1 1n a b x _ $ \u00e9".split(" "),
  ..."function(){} function*(){} async function*(){} class{} class{} ()=>{} async()=>{} {} [] (1)".split(" "),
  ...[
    "async function () {}",
    "async function* () {}",
    "x = async function () {}",
    "x = class {}",
    "return",
    "if(1)",
  ],
  ...[
    "yield",
    "await",
    "let",
    "static",
    "async",
    "of",
    "get",
    "set",
    "in",
    "typeof",
    "void",
    "new.target",
    "using",
  ],
  ...["++", "--", "++/", "--/", "**", "=>", "...", "?.", "??=", "&&=", ">>>", "/=", "/g", ")/", "}/", "]/"],
  ...[
    "//",
    "/*",
    "*/",
    "<!--",
    "-->",
    "\n-->",
    "#!",
    "/[/]/",
    "/[",
    "]/",
    "/\\/",
    "/(?<n>a)/",
    "/a/v",
    "</script>",
  ],
  ...[
    "label:",
    "x:{}",
    "do;while(0)",
    "case 1:",
    "default:",
    "export",
    "class A{a=1\n",
    "static{",
    "get import",
    "super",
  ],
  ...[
    "String.raw`",
    "`${`",
    "`}`",
    "'\\\n'",
    '"\\u2028"',
    "\\u0061",
    "\\u{61}",
    "\\x61",
    "\\0",
    "/* \n */",
    "x=",
    "0,",
    "!",
  ],
];
const SHAPES = [
  '("x")',
  '.defer("x")',
  '.source("x")',
  '\n("x")',
  '/**/("x")',
  '\u2028.\u2029defer("x")',
  ".meta",
];

/** Right around the call: what a parser may take for one literal and an engine for several tokens, or the reverse. */
const FRAMES = [
  ["", ""],
  ["", ""],
  ["/(", ")/g"],
  ["\n/(", ")/g"],
  ["/", "/g"],
  ["/[", "]/"],
  ["`${", "}`"],
  ["//\u2028", ""],
];

export interface FuzzCounts {
  texts: number;
  /** Texts that the engine reads. */
  read: number;
  /** Of these, with the call in code. */
  inCode: number;
  /** Of these, where the parser sees no code. */
  differ: number;
}

/** @throws with the text for which an import is not found, or found where there is none */
export function fuzzImports(
  texts: number,
  seed: number,
  tell: (text: string) => void = () => {},
): FuzzCounts {
  const random = mulberry(seed);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
  const counts: FuzzCounts = { texts, read: 0, inCode: 0, differ: 0 };
  for (let i = 0; i < texts; i++) {
    const soup = (most: number) =>
      Array.from({ length: Math.floor(random() * most) }, () => pick(PIECES)).join("");
    const [open, close] = pick(FRAMES);
    const [before, after] = [soup(7) + open, close + soup(5)];
    const shape = pick(SHAPES);
    const whole = (word: string, rest = shape) => runningText(`${before}${word}${rest}${after}`, 0);
    // A name of the same length in the place of the keyword: reads alike wherever a call may stand.
    const reads = isRead(whole("impart", shape === ".meta" ? "('x')" : shape));
    if (!reads) continue;
    counts.read++;
    const inCode = !isRead(whole("imp@rt"));
    const found = findImport(whole("import"));
    if (inCode) {
      counts.inCode++;
      if (found === null && isCall(before)) throw new Error(`not found: ${JSON.stringify(whole("import"))}`);
      if (!isInCodeForParser(before, shape, after)) {
        counts.differ++;
        tell(JSON.stringify(whole("import")));
      }
    } else if (found !== null && isRead(whole("import"))) {
      throw new Error(`found where there is none: ${JSON.stringify(whole("import"))}`);
    }
  }
  return counts;
}

/** What stands before makes a name of it: part of a longer one, a property's, or a private one's. */
function isCall(before: string): boolean {
  return !/[\w$#]$/.test(before) && !/(^|[^.])\.$/.test(before);
}

function isRead(text: string): boolean {
  try {
    new Script(`"use strict";${text}`);
    return true;
  } catch {
    return false;
  }
}

function isInCodeForParser(before: string, shape: string, after: string): boolean {
  const options = { ecmaVersion: "latest", sourceType: "script" } as const;
  const accepts = (word: string) => {
    try {
      parse(runningText(`${before}${word}${shape}${after}`, 0), options);
      return true;
    } catch {
      return false;
    }
  };
  return !accepts("imp@rt");
}

/** https://gist.github.com/tommyettinger/46a874533244883189143505d203312c */
function mulberry(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

if (import.meta.main) {
  const [texts, seed] = process.argv.slice(2).map(Number);
  const counts = fuzzImports(texts ?? 1e5, seed ?? 1);
  process.stdout.write(`${JSON.stringify(counts)}\n`);
}
