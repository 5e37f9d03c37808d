// What extensions must satisfy beyond each key's own range: one file each, names that are not taken twice, variables that
// are set. The files are read and prepared here, so that a loaded configuration is complete and what cannot run stops the
// start, not the first message.

import { createHash } from "node:crypto";
import type { Program } from "../program/messages.ts";
import { extensionTerms } from "./extension_schema.ts";
import type { ConfigIssue, Path } from "./issue.ts";
import type { Tree } from "./tree.ts";

/** The files of an extension as a program, or which of them is refused, and why. */
export type Prepared =
  | { readonly ok: true; readonly program: Program; readonly files: readonly string[] }
  | { readonly ok: false; readonly path: string; readonly line?: number; readonly msg: string };

/** Reads and prepares files; paths are as the configuration has them. MUST NOT throw for what files hold. */
export interface Preparer {
  script(file: string): Prepared;
  wasm(file: string, memoryMb: number): Prepared;
}

/** An extension's program, and where in the configuration it belongs. */
export interface FoundProgram {
  readonly tenant: number;
  readonly list: "services" | "plugins";
  readonly index: number;
  readonly program: Program;
  readonly digest: string;
}

export interface CheckedExtensions {
  readonly failures: readonly ConfigIssue[];
  readonly warnings: readonly ConfigIssue[];
  readonly programs: readonly FoundProgram[];
}

interface Circumstances {
  readonly prepare: Preparer;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Keys that only an extension has. */
const EXTENSION_KEYS = ["permissions", "limits", "options", "tick_ms"] as const;

/** Checks the extensions of every tenant. */
export function checkExtensions(tree: Tree, circumstances: Circumstances): CheckedExtensions {
  const check = new ExtensionCheck(tree, circumstances);
  list(tree.at(["tenants"])).forEach((_, tenant) => check.tenant(tenant));
  return check;
}

class ExtensionCheck implements CheckedExtensions {
  readonly failures: ConfigIssue[] = [];
  readonly warnings: ConfigIssue[] = [];
  readonly programs: FoundProgram[] = [];
  readonly #tree: Tree;
  readonly #circumstances: Circumstances;
  /** Tenants may share files. */
  readonly #prepared = new Map<string, Prepared & { readonly digest?: string }>();

  constructor(tree: Tree, circumstances: Circumstances) {
    this.#tree = tree;
    this.#circumstances = circumstances;
  }

  tenant(tenant: number): void {
    list(this.#tree.at(["tenants", tenant, "services"])).forEach((_, index) => {
      const path = ["tenants", tenant, "services", index];
      const isExtension = ["worker", "wasm"].some((key) => this.#tree.has([...path, key]));
      if (isExtension) return this.#extension(path, { tenant, list: "services", index });
      for (const key of EXTENSION_KEYS) {
        if (this.#tree.has([...path, key])) {
          this.#fail([...path, key], "is for a service with worker or wasm", "key");
        }
      }
    });
    const ids = new Map<string, number>();
    list(this.#tree.at(["tenants", tenant, "plugins"])).forEach((_, index) => {
      const path = ["tenants", tenant, "plugins", index];
      const { worker, wasm, id } = map(this.#tree.at(path));
      if (worker === undefined && wasm === undefined) this.#fail(path, "needs one of worker, wasm");
      if (worker !== undefined && wasm !== undefined) {
        this.#fail([...path, "wasm"], "does not go with worker");
      }
      if (typeof id === "string") {
        const before = ids.get(id);
        if (before === undefined) ids.set(id, index);
        else this.#fail([...path, "id"], `must be unique, but is also plugins[${before}].id`);
      }
      this.#extension(path, { tenant, list: "plugins", index });
    });
  }

  #extension(path: Path, at: Pick<FoundProgram, "tenant" | "list" | "index">): void {
    const { worker, wasm, limits, permissions } = map(this.#tree.at(path));
    list(map(permissions)["env"]).forEach((name, index) => {
      if (typeof name !== "string") return;
      const fault = faultOfVariable(name, this.#circumstances.env);
      if (fault !== null) this.#fail([...path, "permissions", "env", index], fault);
    });
    const { memory_mb: memory = extensionTerms({}).limits.memory_mb } = map(limits);
    const [key, file] = typeof worker === "string" ? ["worker", worker] : ["wasm", wasm];
    if (typeof file !== "string" || file === "" || typeof memory !== "number") return;
    const prepared = this.#prepare(key as "worker" | "wasm", file, memory);
    if (!prepared.ok) {
      const { path: within, line, msg } = prepared;
      const place = line === undefined ? within : `${within}:${line}`;
      return this.#fail([...path, key!], `must name a file that can run: ${place}: ${msg}`);
    }
    this.programs.push({ ...at, program: prepared.program, digest: prepared.digest! });
  }

  #prepare(key: "worker" | "wasm", file: string, memoryMb: number): Prepared & { readonly digest?: string } {
    const name = key === "worker" ? file : `${file} ${memoryMb}`;
    const known = this.#prepared.get(name);
    if (known !== undefined) return known;
    const { prepare } = this.#circumstances;
    const prepared = key === "worker" ? prepare.script(file) : prepare.wasm(file, memoryMb);
    const made = prepared.ok ? { ...prepared, digest: digestOf(prepared.program) } : prepared;
    this.#prepared.set(name, made);
    return made;
  }

  #fail(path: Path, message: string, at: "value" | "key" = "value"): void {
    this.failures.push(this.#tree.issue(path, message, at));
  }
}

/** Why a variable cannot be handed on. */
function faultOfVariable(name: string, env: Circumstances["env"]): string | null {
  try {
    return env[name] === undefined ? `names a variable that is not set: ${name}` : null;
  } catch { // Deno's permissions
    return `names a variable that this process may not read; allow it (--allow-env=${name})`;
  }
}

function digestOf(program: Program): string {
  return createHash("sha256").update(JSON.stringify(program)).digest("hex").slice(0, 32);
}

function map(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? value as Record<string, unknown>
    : {};
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
