// The entry of a worker that runs a script. Built into the executable as an entry of its own (compile.sh); started by
// slot.ts.

import "./no_environment.ts";
import { evaluate, lockDown, stackReader } from "./compartment.ts";
import { heapReader } from "./heap.ts";
import { ScriptRunner } from "./script_runner.ts";
import type { WorkerScope } from "./worker_handle.ts";

const scope = self as unknown as WorkerScope;

const heapBytes = await heapReader();

scope.onmessage = ({ data: start }) => {
  scope.onmessage = null;
  const runner = new ScriptRunner(start, (chunk) => scope.postMessage(chunk, [chunk.buffer]));
  const { program } = start.spec;
  if (program.kind !== "script") throw new Error("a script was expected");
  lockDown();
  runner.start({
    load: (powers) => evaluate(program, powers),
    stackOf: stackReader(program.modules.map(({ path }) => path)),
    harden,
    heapBytes,
  });
};
