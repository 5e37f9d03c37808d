// From the files of an extension to the program that a worker runs: a script with the files that it imports, TypeScript
// taken out of them and imports made calls, or a WASM module with its memory capped. Done in the gateway's process, which
// runs none of it. Only files below the configuration file's folder are read, wherever links lead.

import { Buffer } from "node:buffer";
import { readFileSync, realpathSync, statSync } from "node:fs";
import { dirname, extname, isAbsolute, join, relative, resolve, sep } from "node:path";
import { type Transform, transform } from "sucrase";
import type { Program, ScriptModule } from "./messages.ts";
import { checkCode, type Fault } from "./module_check.ts";
import { findImport, runningText } from "./running_text.ts";
import { capMemory } from "./wasm_module.ts";

/** A program ready to be sent to a host, with the files that it was made of; or which file is refused, and why. */
export type Prepared =
  | { readonly ok: true; readonly program: Program; readonly files: readonly string[] }
  | { readonly ok: false; readonly path: string; readonly line?: number; readonly msg: string };

export interface ScriptFile {
  /** Folder of the configuration file. */
  readonly root: string;
  /** Absolute, or as written in the configuration: from `root`. */
  readonly file: string;
}

/** Modules of one script. */
const MODULES_MAX = 256;
/** Bytes of one script with all its modules, and of a WASM module. */
const SCRIPT_BYTES_MAX = 4_194_304;
const WASM_BYTES_MAX = 33_554_432;

const TYPESCRIPT = [".ts", ".mts"];
/** What could end a line, or make a name look like another one: in logs, on terminals, in code. */
const UNREADABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u;
const EXTENSIONS = [...TYPESCRIPT, ".js", ".mjs"];

type Refused = Extract<Prepared, { readonly ok: false }>;

class Refusal extends Error {
  readonly refused: Refused;

  constructor(path: string, { line, msg }: { readonly line?: number | undefined; readonly msg: string }) {
    super(msg);
    this.refused = line === undefined ? { ok: false, path, msg } : { ok: false, path, line, msg };
  }
}

/** Reads a script and what it imports. Never throws for what the files hold. */
export function prepareScript({ root, file }: ScriptFile): Prepared {
  return refusalsAsValues(() => {
    const folder = realFolder(root);
    const entry = fileWithin(folder, resolve(folder, file), { named: file });
    const modules = new Map<string, ScriptModule>();
    const waiting = [entry];
    let bytes = 0;
    for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
      if (modules.has(path)) continue;
      if (modules.size === MODULES_MAX) {
        throw new Refusal(named(folder, path), { msg: `an extension has at most ${MODULES_MAX} modules` });
      }
      const source = readFileSync(path);
      bytes += source.length;
      if (bytes > SCRIPT_BYTES_MAX) {
        throw new Refusal(named(folder, path), {
          msg: `an extension's modules have at most ${SCRIPT_BYTES_MAX} bytes together`,
        });
      }
      const { module, imported } = readModule(folder, path, source.toString("utf8"));
      modules.set(path, module);
      waiting.push(...imported);
    }
    const program: Program = {
      kind: "script",
      entry: modules.get(entry)!.path,
      modules: [...modules.values()],
    };
    return { ok: true, program, files: [...modules.keys()] };
  });
}

/** Reads a WASM module and caps its memory. Never throws for what the file holds. */
export function prepareWasm({ root, file, memoryMb }: ScriptFile & { readonly memoryMb: number }): Prepared {
  return refusalsAsValues(() => {
    const folder = realFolder(root);
    const path = fileWithin(folder, resolve(folder, file), { named: file });
    const bytes = readFileSync(path);
    if (bytes.length > WASM_BYTES_MAX) {
      throw new Refusal(named(folder, path), { msg: `a module has at most ${WASM_BYTES_MAX} bytes` });
    }
    const capped = capMemory(bytes, memoryMb);
    if (typeof capped === "string") throw new Refusal(named(folder, path), { msg: capped });
    const program: Program = {
      kind: "wasm",
      path: named(folder, path),
      module: Buffer.from(capped).toString("base64"),
    };
    return { ok: true, program, files: [path] };
  });
}

function refusalsAsValues(prepare: () => Prepared): Prepared {
  try {
    return prepare();
  } catch (error) {
    if (error instanceof Refusal) return error.refused;
    throw error;
  }
}

function readModule(
  folder: string,
  path: string,
  source: string,
): { readonly module: ScriptModule; readonly imported: readonly string[] } {
  const name = named(folder, path);
  const refuse = (fault: Fault) => {
    throw new Refusal(name, fault);
  };
  if (!EXTENSIONS.includes(extname(path))) {
    refuse({ line: 1, msg: `a module's name ends in one of ${EXTENSIONS.join(", ")}` });
  }
  const typescript: Transform[] = TYPESCRIPT.includes(extname(path)) ? ["typescript"] : [];
  const checked = checkCode(transformed(name, source, typescript), "module");
  if (!checked.ok) return refuse(checked.fault) as never;
  const code = transformed(name, source, [...typescript, "imports"]);
  // Again, as it will run: between the two stands a transformation that might be fooled.
  const asRun = checkCode(code, "script");
  if (!asRun.ok) return refuse(asRun.fault) as never;
  const found = findImport(runningText(code, 0));
  if (found !== null) {
    refuse({
      ...found,
      msg: `import followed by "(" or "." is not allowed in code; a method of that name is "import"()`,
    });
  }
  const imports: Record<string, string> = {};
  const imported: string[] = [];
  for (const { specifier, line } of checked.imports) {
    const target = importedFile(folder, path, { name, specifier, line });
    imports[specifier] = named(folder, target);
    imported.push(target);
  }
  return { module: { path: name, code, imports }, imported };
}

function transformed(name: string, source: string, transforms: Transform[]): string {
  try {
    return transform(source, {
      transforms,
      preserveDynamicImport: true,
      disableESTransforms: true,
      production: true,
      injectCreateRequireForImportRequire: false,
    }).code;
  } catch (error) {
    const { loc, message } = error as { loc?: { line: number }; message?: string };
    const msg = String(message ?? error).replace(/ \(\d+:\d+\)$/, "");
    throw new Refusal(name, { line: loc?.line, msg });
  }
}

function importedFile(
  folder: string,
  from: string,
  { name, specifier, line }: { readonly name: string; readonly specifier: string; readonly line: number },
): string {
  if (!/^\.\.?\//.test(specifier)) {
    throw new Refusal(name, {
      line,
      msg: `imports ${quoted(specifier)}: only files of its own can be imported, as "./name.ts"`,
    });
  }
  return fileWithin(folder, resolve(dirname(from), specifier), { named: specifier, by: name, line });
}

/** A file's real path, when it is below the folder. */
function fileWithin(
  folder: string,
  path: string,
  { named: specifier, by, line }: { readonly named: string; readonly by?: string; readonly line?: number },
): string {
  const refuse = (msg: string) => {
    throw by === undefined
      ? new Refusal(specifier, { msg })
      : new Refusal(by, { line, msg: `imports ${quoted(specifier)}: ${msg}` });
  };
  if (UNREADABLE.test(specifier)) refuse("a file's name has no line ends, control or invisible characters");
  // Told before the disk is asked, so that nobody learns what there is outside.
  if (!isWithin(folder, path)) refuse("it is not below the configuration file's folder");
  let real: string;
  try {
    real = realpathSync(path);
    if (isWithin(folder, real) && !statSync(real).isFile()) refuse("it is not a file");
  } catch (error) {
    if (error instanceof Refusal) throw error;
    return refuse("there is no such file that can be read") as never;
  }
  if (UNREADABLE.test(relative(folder, real))) {
    refuse("the file that it leads to has a name that cannot be shown");
  }
  if (!isWithin(folder, real)) refuse("it is a link to something outside of the configuration file's folder");
  return real;
}

function isWithin(folder: string, path: string): boolean {
  const way = relative(folder, path);
  return way !== "" && way !== ".." && !way.startsWith(`..${sep}`) && !isAbsolute(way);
}

function realFolder(root: string): string {
  return realpathSync(join(root));
}

/** As errors name it: below the folder, with slashes. */
function named(folder: string, path: string): string {
  return relative(folder, path).replaceAll(sep, "/");
}

/** A foreign text in a message that is one line to whoever shows it. */
function quoted(text: string): string {
  return JSON.stringify(text).replace(
    /[\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
