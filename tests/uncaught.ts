// `deno test` drops what a `node:test` test throws outside of its own promise (in an event, a timer, a microtask):
// a crash would pass. Tests of sockets and processes run inside `strictly`, which fails for it on every runtime.

import process from "node:process";

/** Runs `run`, and fails with the first error that nobody caught meanwhile. */
export async function strictly(run: () => Promise<void>): Promise<void> {
  const uncaught: unknown[] = [];
  const note = (error: unknown) => void uncaught.push(error);
  process.on("uncaughtException", note);
  try {
    await run();
    await new Promise((resolve) => setImmediate(resolve));
  } finally {
    process.off("uncaughtException", note);
  }
  if (uncaught.length > 0) throw uncaught[0];
}
