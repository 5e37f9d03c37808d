// Writing to stdout and stderr past the runtime's own streams: these wait for a reader that has stalled (Deno), end the
// process when nobody reads (both), or keep what cannot be written without a bound (Bun).

import { write } from "node:fs";
import process from "node:process";

/** stdout or stderr. */
export type Descriptor = 1 | 2;

/** Writes some of the bytes, on a thread of the runtime. @returns how many; rejects with the system's error */
export function writeLater(descriptor: Descriptor, bytes: Uint8Array): Promise<number> {
  // Deno's `fs.write` waits on the loop, where its own streams do not.
  if (typeof Deno !== "undefined") return (descriptor === 1 ? Deno.stdout : Deno.stderr).write(bytes);
  return new Promise((resolve, reject) =>
    write(descriptor, bytes, 0, bytes.length, null, (error, written) => {
      if (error === null) resolve(written);
      else reject(error);
    })
  );
}

/** Says something, or nothing where nobody listens. For commands, which may wait for a reader. */
export function writeNow(descriptor: Descriptor, text: string): void {
  try {
    (descriptor === 1 ? process.stdout : process.stderr).write(text);
  } catch {
    // Deno throws what Bun tells its stream's listeners (see mod.ts); the exit code says the rest.
  }
}
