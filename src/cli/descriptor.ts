// Writing to stdout and stderr past the runtime's own streams: these wait for a reader that has stalled (Deno), end the
// process when nobody reads (both), or keep what cannot be written without a bound (Bun).

import { write, writeSync } from "node:fs";

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

/** Says something before the process ends, or nothing where nobody listens. Waits for a reader: for commands only. */
export function writeNow(descriptor: Descriptor, text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length;) {
    try {
      at += writeSync(descriptor, bytes, at);
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EAGAIN")) return;
      // A reader that shares its pipe with a program which does not wait: a moment, then again.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}
