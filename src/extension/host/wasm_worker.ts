// The entry of a worker that runs a WASM module. Built into the executable as an entry of its own (compile.sh); started by
// slot.ts.

import "./no_environment.ts";
import { linkOwnImportsOnly } from "./bare_imports.ts";
import { heapReader } from "./heap.ts";
import type { WorkerScope } from "./worker_handle.ts";
import { WasmRunner } from "./wasm_runner.ts";

const scope = self as unknown as WorkerScope;
linkOwnImportsOnly();
const heapBytes = await heapReader();

scope.onmessage = ({ data: start }) => {
  scope.onmessage = null;
  const hand = (chunk: Uint8Array<ArrayBuffer>) => scope.postMessage(chunk, [chunk.buffer]);
  void new WasmRunner(start, { hand, heapBytes }).start();
};
