// JSON Schemas (2020-12) for the `data` of messages, compiled: to code first, where that holds up nobody, for it takes some
// 8 ms per KiB of schema; the code is then loaded at next to no cost, by whom it serves. What a schema costs is bounded before it is taken: patterns
// run in an engine that is linear in the text, nothing is fetched, and nothing compares each item with each other one
// without a bound on their number.

import { readForeign } from "../protocol/json.ts";
import { JSON_DEPTH_MAX } from "../protocol/json_scan.ts";
import { errorText } from "../error_text.ts";
import { Ajv2020, type ErrorObject, type ValidateFunction } from "ajv/dist/2020.js";
import equal from "ajv/dist/runtime/equal.js";
import ucs2length from "ajv/dist/runtime/ucs2length.js";
import standalone from "ajv/dist/standalone/index.js";
import { RE2JS } from "re2js";

const standaloneCode = functionOf(standalone) as (ajv: Ajv2020, validate: ValidateFunction) => string;

/** Largest `maxItems` beside `uniqueItems`, for that compares each with each. */
const UNIQUE_ITEMS_MAX = 256;
/** Largest answer about a fault: its path is the client's own text. */
const FAULT_CHARS_MAX = 200;

/** A compiled schema. */
export interface DataSchema {
  /** What is wrong with a message's `data`, in words for its sender; null: nothing. */
  fault(data: unknown): string | null;
}

/** Keywords whose value is a map of schemas, and those whose value is no schema at all. */
const MAPS = ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"];
const VALUES = ["const", "enum", "default", "examples"];

/** The code of validators by the texts of their schemas. */
export type SchemaCodes = ReadonlyMap<string, string>;

/** Compiles schemas to code. One of these may serve many: nothing of one schema is seen by another. */
export class SchemaCompiler {
  readonly #ajv: Ajv2020;

  constructor() {
    this.#ajv = new Ajv2020({
      strict: true,
      strictTypes: false,
      strictTuples: false,
      strictRequired: false,
      validateFormats: false,
      addUsedSchema: false,
      logger: false,
      code: { source: true, regExp: Object.assign(linearPattern, { code: "linearPattern" }) },
    });
  }

  /** @returns the code, for `loadSchema`; or what is wrong with the text */
  compile(text: string): { readonly code: string } | string {
    const read = readForeign(text, JSON_DEPTH_MAX);
    if (!read.ok) return read.why === "is not valid JSON" ? "is not JSON" : read.why;
    const schema = read.value;
    if (
      typeof schema !== "boolean" && (typeof schema !== "object" || schema === null || Array.isArray(schema))
    ) {
      return "is no JSON Schema: that is an object";
    }
    try {
      const costly = findCostly(schema);
      if (costly !== null) return costly;
      const validate = this.#ajv.compile(schema);
      if (typeof schema === "object") this.#ajv.removeSchema(schema);
      const code = standaloneCode(this.#ajv, validate);
      evaluate(code);
      return { code };
    } catch (error) {
      return `is no JSON Schema that can be used: ${oneLine(error)}`;
    }
  }
}

/** A schema from its code, which is evaluated when the first message asks for it: some 20 µs for one of 250 bytes. */
export function loadSchema(code: string): DataSchema {
  let validate: ValidateFunction | null = null;
  return { fault: (data) => faultOf(validate ??= evaluate(code), data) };
}

/** What the code of validators asks for. */
const RUNTIME: Readonly<Record<string, { readonly default: unknown }>> = {
  "ajv/dist/runtime/equal": { default: functionOf(equal) },
  "ajv/dist/runtime/ucs2length": { default: functionOf(ucs2length) },
};

/** The default export of a CommonJS module: runtimes differ in whether it is unwrapped already. */
function functionOf(module: unknown): unknown {
  return typeof module === "function" ? module : (module as { readonly default: unknown }).default;
}

function evaluate(code: string): ValidateFunction {
  const module: { exports: unknown } = { exports: {} };
  const require = (name: string) => {
    if (!Object.hasOwn(RUNTIME, name)) throw new Error(`it needs ${name}`);
    return RUNTIME[name];
  };
  new Function("module", "exports", "require", "linearPattern", code)(
    module,
    module.exports,
    require,
    linearPattern,
  );
  return module.exports as ValidateFunction;
}

/** Whether a schema's text has a `format` somewhere, which is not checked. */
export function hasFormat(text: string): boolean {
  return /"format"\s*:\s*"/.test(text);
}

function faultOf(validate: ValidateFunction, data: unknown): string | null {
  try {
    // Absent data is checked like null, as JSON has nothing else for it.
    if (validate(data === undefined ? null : data)) return null;
  } catch {
    return "data is nested too deep";
  }
  const [error] = validate.errors as ErrorObject[];
  const text = `data${error!.instancePath} ${error!.message ?? "is not valid"}`;
  return text.length > FAULT_CHARS_MAX ? `${text.slice(0, FAULT_CHARS_MAX - 1)}…` : text;
}

/** What makes a schema too dear for strangers' data, or null. */
function findCostly(schema: unknown): string | null {
  if (typeof schema !== "object" || schema === null) return null;
  if (Array.isArray(schema)) return first(schema);
  const { uniqueItems, maxItems } = schema as Record<string, unknown>;
  if (uniqueItems === true && !(typeof maxItems === "number" && maxItems <= UNIQUE_ITEMS_MAX)) {
    return `has uniqueItems, which needs a maxItems of at most ${UNIQUE_ITEMS_MAX} beside it`;
  }
  if ((schema as Record<string, unknown>)["$async"] === true) return "has $async, which is not supported";
  for (const [key, value] of Object.entries(schema)) {
    if (VALUES.includes(key)) continue;
    const inner = MAPS.includes(key) && typeof value === "object" && value !== null
      ? first(Object.values(value))
      : findCostly(value);
    if (inner !== null) return inner;
  }
  return null;
}

function first(schemas: readonly unknown[]): string | null {
  for (const schema of schemas) {
    const costly = findCostly(schema);
    if (costly !== null) return costly;
  }
  return null;
}

/**
 * Stands in for `new RegExp`, which backtracks: a client could send a text that takes it years.
 * @throws where a pattern needs backtracking, as lookaround and backreferences do
 */
function linearPattern(pattern: string): RegExp {
  const compiled = RE2JS.compile(RE2JS.translateRegExp(pattern));
  // The schema compiler uses `test`, and tells patterns apart by `toString`.
  return {
    test: (text: string) => compiled.matcher(text).find(),
    toString: () => pattern,
  } as unknown as RegExp;
}

function oneLine(error: unknown): string {
  const text = errorText(error).replace(/\s+/g, " ");
  return text.replace(/^can't resolve reference (\S+) .*/, "it refers to $1, which is not in it");
}
