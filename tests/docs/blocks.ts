// The examples of README.md and docs/: every fenced block with its place, and what a comment right before it says of it.
//
//   <!-- not run: REASON -->   no test runs it, and REASON is why
//   <!-- before: COMMANDS -->  shell commands that a shell block needs to have been run
//   <!-- exit: CODE -->        a shell block ends with this code, not with 0
//   <!-- prints: LINES -->     what of a shell block's output must be there, one text a line
//
// A first line such as `# wsprism.yaml` or `// hello.ts` names the file that a block is. A `text` block right after a
// shell block is what that prints.

import { readdirSync, readFileSync } from "node:fs";

export const ROOT_URL: URL = new URL("../../", import.meta.url);

/** The documents that have examples. */
export const DOCUMENTS: readonly string[] = [
  "README.md",
  ...readdirSync(new URL("docs/", ROOT_URL)).filter((name) => name.endsWith(".md")).toSorted()
    .map((name) => `docs/${name}`),
];

/** A fenced block. */
export interface Block {
  readonly file: string;
  /** Of its fence, counted from 1. */
  readonly line: number;
  /** "" where the fence says none. */
  readonly language: string;
  readonly text: string;
  /** Why no test runs it; null where one does. */
  readonly notRun: string | null;
  readonly before: string | null;
  readonly exit: number;
  /** Texts that its output must have. */
  readonly prints: readonly string[];
  /** The file's name that its first line is; null without. */
  readonly name: string | null;
  /** Whether nothing but blank lines stands between the block before and this one. */
  readonly follows: boolean;
}

/** Where a block stands, for messages. */
export function placeOf({ file, line }: Block): string {
  return `${file}:${line}`;
}

/** The blocks of a document, in its order. */
export function blocksOf(file: string): Block[] {
  return readBlocks(file, documentOf(file));
}

/** A document's text. */
export function documentOf(file: string): string {
  return readFileSync(new URL(file, ROOT_URL), "utf8");
}

export function readBlocks(file: string, document: string): Block[] {
  const lines = document.split("\n");
  const blocks: Block[] = [];
  let end = -1;
  for (let at = 0; at < lines.length; at++) {
    const fence = /^( *)(```+)([\w-]*)$/.exec(lines[at]!);
    if (fence === null) {
      if (/^ *(```|~~~)/.test(lines[at]!)) throw new Error(`${file}:${at + 1}: a fence that is not read`);
      continue;
    }
    const [, indent, marks, language] = fence as unknown as [string, string, string, string];
    const close = lines.indexOf(indent + marks, at + 1);
    if (close < 0) throw new Error(`${file}:${at + 1}: the block has no end`);
    const said = directives(lines, at);
    const text = lines.slice(at + 1, close).map((line) => line.slice(indent.length)).join("\n");
    blocks.push({
      file,
      line: at + 1,
      language,
      text: `${text}\n`,
      notRun: said.get("not run") ?? null,
      before: said.get("before") ?? null,
      exit: Number(said.get("exit") ?? 0),
      prints: said.get("prints")?.split("\n") ?? [],
      name: /^(?:#|\/\/) ([\w.]+\.(?:yaml|ts|json))$/.exec(lines[at + 1]!)?.[1] ?? null,
      follows: end >= 0 && lines.slice(end + 1, at).every((line) => line.trim() === ""),
    });
    at = end = close;
  }
  return blocks;
}

/** What the comments right before a fence say. */
function directives(lines: readonly string[], fence: number): Map<string, string> {
  const said = new Map<string, string>();
  let at = fence - 1;
  for (;;) {
    while (at >= 0 && lines[at]!.trim() === "") at--;
    if (at < 0 || !lines[at]!.endsWith("-->")) return said;
    let from = at;
    while (from > 0 && !lines[from]!.startsWith("<!--")) from--;
    const comment = lines.slice(from, at + 1).join("\n").slice(4, -3).trim();
    const found = /^(not run|before|exit|prints): (\S[^]*)$/.exec(comment);
    if (found !== null) said.set(found[1]!, found[2]!);
    at = from - 1;
  }
}
