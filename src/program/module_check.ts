// What a script may not say, told by a real parser and not by a pattern: imports that happen at run time, in whatever
// spelling, and comments in HTML's manner, which hide code from one parser and show it to another. What the parser does
// not know is refused as well, so a syntax that comes with a newer runtime stays outside until the parser knows it.

import { type Node, parse } from "acorn";

/** Where and why a module is refused. */
export interface Fault {
  readonly line: number;
  readonly msg: string;
}

/** A module's static imports, or why it is refused. */
export type Checked =
  | { readonly ok: true; readonly imports: readonly { readonly specifier: string; readonly line: number }[] }
  | { readonly ok: false; readonly fault: Fault };

type Tree = Node & Readonly<Record<string, unknown>>;

/** Nodes within each other: walking recurses no deeper than the parser did, and this is far below what either stands. */
const DEPTH_MAX = 3000;

/** Looks at JavaScript: a module as its author wrote it, or a function's body as it will run. */
export function checkCode(code: string, sourceType: "module" | "script"): Checked {
  let fault: Fault | null = null;
  let tree: Tree;
  try {
    tree = parse(code, {
      ecmaVersion: "latest",
      sourceType,
      locations: true,
      allowAwaitOutsideFunction: sourceType === "module",
      onComment: (block, _text, start, _end, at) => {
        if (!block && !code.startsWith("//", start)) {
          fault ??= { line: at!.line, msg: "a comment in HTML's manner (<!-- or -->) is not allowed" };
        }
      },
    }) as unknown as Tree;
  } catch (error) {
    return { ok: false, fault: syntaxFault(error) };
  }
  if (fault !== null) return { ok: false, fault };
  const imports: { specifier: string; line: number }[] = [];
  fault = walk(tree, { depth: 0, inFunction: false }, (node, inFunction) => {
    const line = (node.loc as { start: { line: number } }).start.line;
    if (node.type === "ImportExpression") {
      return { line, msg: "import() is not allowed: an extension is made of its static imports" };
    }
    if (node.type === "MetaProperty" && (node["meta"] as { name?: string }).name === "import") {
      return { line, msg: "import.meta is not allowed" };
    }
    if (!inFunction && (node.type === "AwaitExpression" || node["await"] === true)) {
      return { line, msg: "await outside of a function is not allowed; onStart may wait" };
    }
    const source = node["source"] as { value?: unknown } | null | undefined;
    if (/^(Import|ExportNamed|ExportAll)Declaration$/.test(node.type) && typeof source?.value === "string") {
      imports.push({ specifier: source.value, line });
    }
    return null;
  });
  return fault === null ? { ok: true, imports } : { ok: false, fault };
}

function syntaxFault(error: unknown): Fault {
  const { loc, message } = error as { loc?: { line: number }; message?: string };
  // The parser adds the position, which is told apart.
  return { line: loc?.line ?? 1, msg: String(message ?? error).replace(/ \(\d+:\d+\)$/, "") };
}

interface Place {
  readonly depth: number;
  readonly inFunction: boolean;
}

function walk(
  node: Tree,
  { depth, inFunction }: Place,
  look: (node: Tree, inFunction: boolean) => Fault | null,
): Fault | null {
  if (depth > DEPTH_MAX) return { line: 1, msg: "code is nested too deeply" };
  const fault = look(node, inFunction);
  if (fault !== null) return fault;
  const within = { depth: depth + 1, inFunction: inFunction || /Function/.test(node.type) };
  for (const value of Object.values(node)) {
    for (const inner of Array.isArray(value) ? value : [value]) {
      if (!isNode(inner)) continue;
      const found = walk(inner, within, look);
      if (found !== null) return found;
    }
  }
  return null;
}

function isNode(value: unknown): value is Tree {
  return typeof value === "object" && value !== null &&
    typeof (value as { type?: unknown }).type === "string";
}
