// How large this worker's heap is. What runtimes tell everywhere is of the whole process, or needs a file to be read.

import process from "node:process";

/** Reads it, of the worker that this is called in. */
export async function heapReader(): Promise<() => number> {
  if (process.versions["bun"] === undefined) return () => process.memoryUsage().heapUsed;
  const name = "bun:jsc"; // Not a literal: other runtimes and the type checker do not know the module.
  const { heapSize } = await import(name) as { heapSize(): number };
  return heapSize;
}
