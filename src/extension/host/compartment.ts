// The first wall: the language's own objects are frozen for the whole worker, and a script's modules run in a compartment
// whose globals are listed here, one by one. https://github.com/endojs/endo/tree/master/packages/ses
//
// Modules are functions of `exports` and `require`, made of their code by the evaluator in evaluator.ts.

import "ses";
import type { Program } from "../../program/messages.ts";
import { findImport, moduleLabel, runningText } from "../../program/running_text.ts";
import { evaluatorIn } from "./evaluator.ts";
import { ExtensionError } from "./extension_error.ts";
import { scriptGlobals } from "./globals.ts";

type Script = Extract<Program, { readonly kind: "script" }>;
type ModuleFunction = (exports: object, require: (specifier: unknown) => object) => void;

/** What the language has, and scripts may have. Whatever else a compartment comes with is taken out of it. */
const LANGUAGE = new Set([
  ...["globalThis", "Infinity", "NaN", "undefined", "isFinite", "isNaN", "parseFloat", "parseInt"],
  ...["decodeURI", "decodeURIComponent", "encodeURI", "encodeURIComponent", "escape", "unescape"],
  ...["Array", "ArrayBuffer", "DataView", "Int8Array", "Int16Array", "Int32Array", "Uint8Array"],
  ...["Uint8ClampedArray", "Uint16Array", "Uint32Array", "Float16Array", "Float32Array", "Float64Array"],
  ...["BigInt", "BigInt64Array", "BigUint64Array", "Boolean", "Iterator", "JSON", "Map", "Number", "Object"],
  ...["Promise", "Proxy", "Reflect", "RegExp", "Set", "String", "Symbol", "WeakMap", "WeakSet"],
  ...["Error", "AggregateError", "EvalError", "RangeError", "ReferenceError", "SyntaxError", "TypeError"],
  ...["URIError"],
]);

/**
 * Freezes the language in this worker. Once, before any foreign code. Every option is said, or it would be looked for in
 * the environment, which a worker may not read.
 */
export function lockDown(): void {
  lockdown({
    errorTaming: "safe",
    consoleTaming: "unsafe",
    errorTrapping: "none",
    unhandledRejectionTrapping: "none",
    overrideTaming: "moderate",
    localeTaming: "safe",
    stackFiltering: "concise",
    reporting: "none",
    regExpTaming: "safe",
    domainTaming: "safe",
    evalTaming: "safe-eval",
    overrideDebug: [],
    legacyRegeneratorRuntimeTaming: "safe",
    __hardenTaming__: "safe",
  });
  harden(ExtensionError);
}

/** A module of a script in a stack. */
const OWN_PLACE = new RegExp(`${moduleLabel(0).replace("0", "(\\d+)")}(?=:)`);

/** An error's stack, in the script's own files; nothing of it is seen by scripts. */
export function stackReader(paths: readonly string[]): (error: unknown) => string {
  const stackOf = Reflect.get(globalThis, "getStackString") as (error: unknown) => string;
  return (error) =>
    stackOf(error).split("\n").filter((line) => OWN_PLACE.test(line))
      .map((line) => `\n    ${line.trim().replace(OWN_PLACE, (label, index) => paths[index] ?? label)}`).join(
        "",
      );
}

/** @returns the default export of a script @throws what its modules throw */
export function evaluate(script: Script, powers: Readonly<Record<string, unknown>>): unknown {
  const run = newCompartment(powers);
  const modules = new Map(script.modules.map((module, index) => [module.path, { ...module, index }]));
  const loaded = new Map<string, object>();
  const load = (path: string): object => {
    const known = loaded.get(path);
    if (known !== undefined) return known;
    const { code, imports, index } = modules.get(path)!;
    const exports = {};
    // Before it runs, for modules that import each other.
    loaded.set(path, exports);
    const require = (specifier: unknown) => {
      const target = typeof specifier === "string" && Object.hasOwn(imports, specifier)
        ? imports[specifier]
        : undefined;
      if (target === undefined) throw new TypeError("require is for static imports");
      return load(target);
    };
    const text = runningText(code, index);
    // Asked before, by whoever read the file; but it is this engine that runs the text.
    const found = findImport(text);
    if (found !== null) throw new SyntaxError(`${path}:${found.line}: an import in code`);
    const made = run(text);
    Reflect.apply(made as ModuleFunction, undefined, [exports, harden(require)]);
    return exports;
  };
  return Reflect.get(load(script.entry), "default");
}

/** @returns what runs code in a compartment of its own */
function newCompartment(powers: Readonly<Record<string, unknown>>): (code: string) => unknown {
  const compartment = new Compartment({
    __options__: true,
    globals: harden({ ...scriptGlobals(), ...powers, ExtensionError }),
  } as never);
  // Made by what the globals give, and led to by nothing that freezing them goes through.
  const segments = new Intl.Segmenter().segment("");
  harden([Object.getPrototypeOf(segments), Object.getPrototypeOf(segments[Symbol.iterator]())]);
  const scope = compartment.globalThis;
  const given = new Set([
    ...LANGUAGE,
    ...Object.keys(scriptGlobals()),
    ...Object.keys(powers),
    "ExtensionError",
  ]);
  for (const key of Reflect.ownKeys(scope)) {
    if (typeof key === "symbol" || given.has(key)) continue;
    if (!Reflect.deleteProperty(scope, key)) throw new Error(`the compartment keeps ${key}`);
  }
  return evaluatorIn(scope);
}
