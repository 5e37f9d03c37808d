// YAML text to plain values, led by the schema's shape: what the schema doesn't know is reported and left out, so that
// neither depth nor aliases can grow beyond it. Keeps the syntax tree, to tell the place and the wording of any value.

import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, visit } from "yaml";
import { isHeld, sameNumber } from "../protocol/json_number.ts";
import type { Alias, Node, ParsedNode, Scalar, ScalarTag, YAMLMap, YAMLSeq } from "yaml";
import { interpolate } from "./interpolation.ts";
import { type ConfigIssue, formatPath, type Path, quote } from "./issue.ts";
import { unknownKeyMessage } from "./keys.ts";
import type { MapShape, Shape } from "./shape.ts";

/** Values that a file may come to, counting an alias as often as it is used. */
export const VALUES_MAX = 500_000;

/** Keys and indexes from the root of the file to a value of any shape. */
const ANY_DEPTH_MAX = 64;

/** Syntax errors told of one file; most of the later ones follow from the earlier. */
const SYNTAX_FAILURES_MAX = 20;

/** Stands for a value that was reported already; it satisfies no schema. */
export const BROKEN: unique symbol = Symbol("broken");

type Env = Readonly<Record<string, string | undefined>>;

/** A file's values before validation, and the way back from a path to the text. */
export class Tree {
  readonly root: unknown;
  readonly failures: ConfigIssue[] = [];
  readonly #doc: Document.Parsed;
  readonly #lines: LineCounter;
  readonly #env: Env;
  readonly #shape: MapShape;
  readonly #targets = new Map<Alias, Node>();
  readonly #broken = new Set<string>();
  #values = 0;

  constructor(text: string, shape: MapShape, env: Env) {
    this.#shape = shape;
    this.#env = env;
    this.#lines = new LineCounter();
    this.#doc = parseDocument(text, {
      lineCounter: this.#lines,
      prettyErrors: false,
      // Found below instead, with a path, and in linear time.
      uniqueKeys: false,
      version: "1.2",
      schema: "core",
    });
    this.#readProblems(text);
    if (this.failures.length > 0) return;
    if (text.includes("&")) this.#findTargets();

    const contents = this.#resolve(this.#doc.contents);
    if (isMap(contents)) this.root = this.#map(contents, shape, []);
    else this.#fail([], `the file must be a map of keys, got ${this.show([])}`, contents);
  }

  /** Whether something at exactly this path was reported while reading. */
  isBroken(path: Path): boolean {
    return this.#broken.has(formatPath(path));
  }

  /** Whether the file itself has something at this path, rather than a default. */
  has(path: Path): boolean {
    return this.#find(path) !== undefined;
  }

  /** The value at `path`, before validation and without defaults. */
  at(path: Path): unknown {
    let value = this.root;
    for (const part of path) {
      if (typeof value !== "object" || value === null || !Object.hasOwn(value, part)) return undefined;
      value = (value as Record<string | number, unknown>)[part];
    }
    return value;
  }

  /** Makes a finding with the place of the value at `path`, or of what is nearest to it. */
  issue(path: Path, message: string, at: "value" | "key" = "value"): ConfigIssue {
    let found = this.#find(path);
    for (let end = path.length - 1; found === undefined && end >= 0; end--) {
      found = this.#find(path.slice(0, end));
    }
    const node = at === "key" ? found?.key ?? found?.value : found?.value;
    return { path: formatPath(path), message, ...this.#position(start(node)) };
  }

  /** The value at `path` as its author wrote it: what came from the environment shows as `${NAME}`. */
  show(path: Path): string {
    const node = this.#resolve(this.#find(path)?.value);
    if (isMap(node)) return "a map";
    if (isSeq(node)) return node.items.length === 0 ? "an empty list" : "a list";
    if (!isScalar(node) || node.value === null) return "nothing";
    if (this.#isSecret(path)) return "a value that is not shown";
    return typeof node.value === "string"
      ? quote(node.value)
      : (node.source ?? String(node.value)).slice(0, 60);
  }

  /** Whether a text at `path` is a secret, or stands where a map with one should be. */
  #isSecret(path: Path): boolean {
    let shape: Shape | undefined = this.#shape;
    for (const [index, part] of path.entries()) {
      const list = shape.kind === "list" && shape.secret && index === path.length - 1;
      shape = shape.kind === "map"
        ? shape.keys.get(String(part))
        : shape.kind === "list"
        ? shape.item
        : undefined;
      if (shape === undefined) return false;
      if (list) return true;
    }
    return shape.secret;
  }

  #readProblems(text: string): void {
    const seen = new Set<string>();
    // A warning is a tag that YAML couldn't resolve: its value would not be what the author meant.
    for (const problem of [...this.#doc.errors, ...this.#doc.warnings]) {
      const [offset] = problem.pos;
      const message = problem.code === "MULTIPLE_DOCS"
        ? "must be one YAML document, but a second one starts here"
        // The parser's own recursion ended, which it reports at every level on the way back.
        : problem.message.includes("call stack")
        ? "is nested too deeply"
        : `is not valid YAML: ${problem.message.replace(/\s+/g, " ")}${inBraces(text, offset)}`;
      // What follows from an error often stands at the same place; the first word on it is the useful one.
      const place = this.#position(offset);
      const key = `${place.line}:${place.column}`;
      if (seen.has(key) || seen.size >= SYNTAX_FAILURES_MAX) continue;
      seen.add(key);
      this.failures.push({ path: "", message: `the file ${message}`, ...place });
    }
  }

  #map(map: YAMLMap, shape: MapShape, path: Path): unknown {
    const value: Record<string, unknown> = {};
    const lines = new Map<string, number | undefined>();
    for (const pair of map.items) {
      const key = keyText(pair.key);
      if (key === undefined) {
        this.#fail(path, "has a key that is not a text", pair.key as Node | null);
        continue;
      }
      const below = [...path, key];
      const place = this.#position(start(pair.key as Node));
      if (lines.has(key)) {
        // Not `#fail`: the first value stays, and its own faults are still to be told.
        const message = `is given twice, first in line ${lines.get(key)}`;
        this.failures.push({ path: formatPath(below), message, ...place });
        continue;
      }
      lines.set(key, place.line);
      const inner = shape.keys.get(key);
      if (inner === undefined) {
        // A place for anchors that several tenants share; nobody reads what is in it.
        if (path.length === 0 && key.startsWith("x-")) continue;
        const map = formatPath(path).replace(/\[[0-9]+\]/g, "[]");
        this.#fail(below, unknownKeyMessage(this.#shape, map, key), pair.key as Node);
      } else value[key] = this.#value(pair.value as Node | null, inner, below);
    }
    return value;
  }

  #value(written: Node | null, shape: Shape, path: Path): unknown {
    if (++this.#values > VALUES_MAX) {
      if (this.#values === VALUES_MAX + 1) {
        this.#fail(
          path,
          `is one value too many: a file may come to ${VALUES_MAX}, aliases counted at each use`,
          written,
        );
      }
      this.#broken.add(formatPath(path));
      return BROKEN;
    }
    const node = this.#resolve(written);
    if (isAlias(written) && node === undefined) {
      this.#fail(path, `refers to ${quote(written.source)}, which no anchor before it names`, written);
      return BROKEN;
    }
    if (shape.kind === "any" && (isMap(node) || isSeq(node))) return this.#any(node, shape, path);
    if (isMap(node)) return shape.kind === "map" ? this.#map(node, shape, path) : {};
    if (isSeq(node)) {
      if (shape.kind !== "list") return [];
      return node.items.map((item, index) => this.#value(item as Node | null, shape.item, [...path, index]));
    }
    const value = isScalar(node) ? this.#scalar(node, shape, path) : null;
    // A key with nothing below it (everything commented out, say) is an empty map or list.
    if (value === null && shape.kind === "map") return {};
    if (value === null && shape.kind === "list") return [];
    return value;
  }

  /** A map or list whose keys are nobody's business here. */
  #any(node: YAMLMap | YAMLSeq, shape: Shape, path: Path): unknown {
    if (path.length > ANY_DEPTH_MAX) {
      this.#fail(path, "is nested too deeply", node);
      return BROKEN;
    }
    if (isSeq(node)) {
      return node.items.map((item, index) => this.#value(item as Node | null, shape, [...path, index]));
    }
    const map = new Map<string, unknown>();
    for (const pair of node.items) {
      const key = keyText(pair.key);
      const below = [...path, key ?? "?"];
      if (key === undefined) this.#fail(path, "has a key that is not a text", pair.key as Node | null);
      else if (key === "__proto__") this.#fail(below, "is a key that no map can have", pair.key as Node);
      else if (map.has(key)) this.#fail(below, "is given twice", pair.key as Node);
      else map.set(key, this.#value(pair.value as Node | null, shape, below));
    }
    return Object.fromEntries(map);
  }

  #scalar(node: Scalar, shape: Shape, path: Path): unknown {
    let value = node.value;
    let written = node.source;
    if (typeof value === "string" && value.includes("${")) {
      const filled = interpolate(value, this.#env);
      if (!filled.ok) {
        this.#fail(path, filled.message, node);
        return BROKEN;
      }
      written = filled.text;
      value = node.type === "PLAIN" ? this.#plain(filled.text) : filled.text;
    }
    // `id: 2024` needs no quotes: where a text is wanted, the digits as written are one.
    const isText = shape.kind === "text" && value !== null && typeof value !== "string";
    // Where a number's range is known, that says it of an infinite one.
    const matters = !isText && (Number.isFinite(value) || shape.kind === "any");
    if (matters && typeof value === "number" && isChanged(value, written)) {
      this.#fail(path, "is a number that no double holds: put it in quotes", node);
      return BROKEN;
    }
    return isText ? written ?? String(value) : value;
  }

  /** Reads a text as YAML reads one without quotes, so that `${N}` can be a number. */
  #plain(text: string): unknown {
    for (const tag of this.#doc.schema.tags as readonly ScalarTag[]) {
      if (tag.default !== true || tag.test?.test(text) !== true) continue;
      const value = tag.resolve(text, () => {}, this.#doc.options);
      return isScalar(value) ? value.value : value;
    }
    return text;
  }

  #fail(path: Path, message: string, node: Node | null | undefined): void {
    const text = formatPath(path);
    this.#broken.add(text);
    this.failures.push({ path: text, message, ...this.#position(start(node)) });
  }

  /** An alias means the nearest anchor of its name before it, so both are read in the order of the file. */
  #findTargets(): void {
    const anchors = new Map<string, Node>();
    visit(this.#doc, {
      Node: (_, node) => {
        const target = isAlias(node) ? anchors.get(node.source) : undefined;
        if (isAlias(node)) {
          if (target !== undefined) this.#targets.set(node, target);
        } else if (node.anchor !== undefined) anchors.set(node.anchor, node);
      },
    });
  }

  #resolve(node: Node | ParsedNode | null | undefined): Node | undefined {
    return (isAlias(node) ? this.#targets.get(node) : node) ?? undefined;
  }

  #find(path: Path): { key?: Node; value: Node | undefined } | undefined {
    let found: { key?: Node; value: Node | undefined } = { value: this.#doc.contents ?? undefined };
    for (const part of path) {
      const node = this.#resolve(found.value);
      if (isMap(node)) {
        const pair = node.items.find((item) => keyText(item.key) === part);
        if (pair === undefined) return undefined;
        found = { key: pair.key as Node, value: (pair.value ?? pair.key) as Node };
      } else if (isSeq(node) && typeof part === "number" && part < node.items.length) {
        found = { value: node.items[part] as Node };
      } else return undefined;
    }
    return found;
  }

  #position(offset: number | undefined): { line?: number; column?: number } {
    if (offset === undefined) return {};
    const { line, col } = this.#lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  }
}

/** `${NAME}` within `[ ]` or `{ }` is the one fault of the syntax that this format invites. */
function inBraces(text: string, offset: number): string {
  const brace = text.slice(Math.max(0, offset - 1), offset + 2).includes("${");
  return brace ? '; within [ ] and { } write "${NAME}" with the quotes' : "";
}

function start(node: Node | null | undefined): number | undefined {
  return node?.range?.[0];
}

/** Whether a number is another one than its author wrote. */
function isChanged(value: number, written: string | undefined): boolean {
  if (written === undefined) return false;
  if (/^0[xo]/.test(written)) return BigInt(written) !== BigInt(value);
  return sameNumber(written) !== null && !isHeld(written);
}

function keyText(key: unknown): string | undefined {
  if (!isScalar(key) || key.value === null) return undefined;
  return typeof key.value === "string" ? key.value : key.source ?? String(key.value);
}
