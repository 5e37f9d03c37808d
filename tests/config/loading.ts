// Short ways for the tests of this folder to load a text.

import { strict as assert } from "node:assert";
import type { Prepared, Preparer } from "../../src/config/extensions.ts";
import {
  type ConfigIssue,
  formatIssue,
  loadConfig,
  type LoadOptions,
  type LoadResult,
} from "../../src/config/load.ts";
import type { Program } from "../../src/program/messages.ts";

/** What a test may vary. */
export interface Circumstances {
  readonly env?: Readonly<Record<string, string>>;
  readonly dev?: boolean;
  /** Contents of the files that the text names. */
  readonly files?: Readonly<Record<string, string>>;
  readonly nowMs?: number;
  readonly noQuic?: string | null;
}

/** 2026-01-01, when nothing has expired. */
const NOW_MS = 1_767_225_600_000;

/** What `loadConfig` is given. */
export function loadOptions(text: string, circumstances: Circumstances = {}): LoadOptions {
  const { env = {}, dev = true, files = {}, nowMs = NOW_MS, noQuic = null } = circumstances;
  const read = (path: string) => {
    if (Object.hasOwn(files, path)) return new TextEncoder().encode(files[path]);
    throw Object.assign(new Error(`no file ${path}`), { code: "ENOENT" });
  };
  return { text, file: "gateway.yaml", env, dev, read, prepare: preparer(files), nowMs, noQuic };
}

/** Programs without preparation: the text of the file, or a fault where it says so. */
function preparer(files: Readonly<Record<string, string>>): Preparer {
  const prepare = (kind: "script" | "wasm", file: string): Prepared => {
    if (!Object.hasOwn(files, file)) return { ok: false, path: file, msg: "there is no such file" };
    const text = files[file]!;
    const fault = /^fault at (\d+)$/.exec(text);
    if (fault !== null) return { ok: false, path: file, line: Number(fault[1]), msg: "it is at fault" };
    const program: Program = kind === "wasm"
      ? { kind, path: file, module: text }
      : { kind, entry: file, modules: [{ path: file, code: text, imports: {} }] };
    return { ok: true, program, files: [file] };
  };
  return { script: (file) => prepare("script", file), wasm: (file) => prepare("wasm", file) };
}

/** Loads a text that must be accepted. */
export function accepted(
  text: string,
  circumstances: Circumstances = {},
): Extract<LoadResult, { ok: true }> {
  const result = loadConfig(loadOptions(text, circumstances));
  if (!result.ok) assert.fail(result.failures.map((issue) => formatIssue("gateway.yaml", issue)).join("\n"));
  return result;
}

/** Loads a text that must be refused. */
export function refused(text: string, circumstances: Circumstances = {}): readonly ConfigIssue[] {
  const result = loadConfig(loadOptions(text, circumstances));
  if (result.ok) assert.fail("the text was accepted");
  assert.notEqual(result.failures.length, 0);
  return result.failures;
}

/** The failures as "path message (line, column)" lines. */
export function refusals(text: string, circumstances: Circumstances = {}): string[] {
  return refused(text, circumstances).map(line);
}

/** The warnings as "path message (line, column)" lines, without the one that --dev always brings. */
export function warned(text: string, circumstances: Circumstances = {}): string[] {
  return accepted(text, circumstances).warnings.filter((issue) => !issue.message.includes("--dev")).map(line);
}

function line(issue: ConfigIssue): string {
  const place = issue.line === undefined ? "" : ` (${issue.line}, ${issue.column})`;
  return `${issue.path} ${issue.message}${place}`.trim();
}

/** A file with one tenant; `more` is added inside the tenant, indented by four. */
export function oneTenant(more = ""): string {
  return `version: 1\ntenants:\n  - id: acme\n${more === "" ? "" : `    ${more}\n`}`;
}
