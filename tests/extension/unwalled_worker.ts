// A worker without wall 1: the script is evaluated as it stands, with all that the runtime has.

import { createRequire } from "node:module";
import process from "node:process";
import { heapReader } from "../../src/extension/host/heap.ts";
import { ExtensionError } from "../../src/extension/host/extension_error.ts";
import { ScriptRunner } from "../../src/extension/host/script_runner.ts";
import type { WorkerScope } from "../../src/extension/host/worker_handle.ts";

const scope = self as unknown as WorkerScope;
const heapBytes = await heapReader();

scope.onmessage = ({ data: start }) => {
  scope.onmessage = null;
  const runner = new ScriptRunner(start, (chunk) => scope.postMessage(chunk, [chunk.buffer]));
  const { program } = start.spec;
  if (program.kind !== "script") throw new Error("a script was expected");
  const modules = new Map(program.modules.map((module) => [module.path, module]));
  const load = (path: string): Record<string, unknown> => {
    const { code, imports } = modules.get(path)!;
    const exports = {};
    const require = (specifier: string) => load(imports[specifier]!);
    const run = new Function(
      "exports",
      "require",
      "unwalled",
      "globalThis",
      `${code}\n//# sourceURL=${path}`,
    );
    // What an attacker would have found by then.
    run(exports, require, { builtin, load: (url: string) => import(url), process }, globalThis);
    return exports;
  };
  runner.start({
    load: (powers) => {
      Object.assign(globalThis, { ExtensionError }, powers);
      return load(program.entry)["default"];
    },
    stackOf: (error) => `\n${(error as Error).stack ?? ""}`,
    harden: (value) => value,
    heapBytes,
  });
};

function builtin(name: string): unknown {
  return name.startsWith("bun:") ? import(name) : createRequire("file:///")(name);
}
