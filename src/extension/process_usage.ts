// What the system says of a process's memory and CPU time, read from Linux's /proc: an extension host that somebody has
// broken out into cannot lie there. Elsewhere, and on Deno, which gives /proc to nobody without all permissions, there is
// nothing to read: what the host says of itself has to do, with the limits that hold without it.

import { closeSync, openSync, readSync } from "node:fs";
import process from "node:process";

export interface ProcessUsage {
  /** Bytes that it has in memory or in swap; null once it has ended. */
  memoryBytes(): number | null;
  /** Of all its threads since it began, in milliseconds, to 10 of them; null once it has ended. */
  cpuMs(): number | null;
  /** Lets go of it; nothing is read afterwards. */
  close(): void;
}

/** The unit of times in /proc, on every machine (USER_HZ). */
const TICK_MS = 10;
/** Fields of /proc/<pid>/stat behind the name, which may have spaces and parentheses in it. */
const USER_TIME = 11;
const SYSTEM_TIME = 12;
const BUFFER_BYTES = 4096;

/** A process's usage; null where the system does not tell it. */
export function readUsage(pid: number): ProcessUsage | null {
  if (process.platform !== "linux" || process.versions["bun"] === undefined || pid === 0) return null;
  let status: number | null = null;
  try {
    status = openSync(`/proc/${pid}/status`, "r");
    return new ProcUsage(status, openSync(`/proc/${pid}/stat`, "r"));
  } catch { // it has ended, or /proc is not there
    if (status !== null) closeSync(status);
    return null;
  }
}

/** Its files stay open: they are the same process's even when its number is another's. */
class ProcUsage implements ProcessUsage {
  readonly #status: number;
  readonly #stat: number;
  readonly #buffer = new Uint8Array(BUFFER_BYTES);
  #closed = false;

  constructor(status: number, stat: number) {
    this.#status = status;
    this.#stat = stat;
  }

  memoryBytes(): number | null {
    const text = this.#read(this.#status);
    const resident = /^VmRSS:\s+(\d+) kB$/m.exec(text ?? "");
    const swapped = /^VmSwap:\s+(\d+) kB$/m.exec(text ?? "");
    return resident === null ? null : (Number(resident[1]) + Number(swapped?.[1] ?? 0)) * 1024;
  }

  cpuMs(): number | null {
    const text = this.#read(this.#stat);
    if (text === null) return null;
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[USER_TIME]) + Number(fields[SYSTEM_TIME])) * TICK_MS;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeSync(this.#status);
    closeSync(this.#stat);
  }

  #read(file: number): string | null {
    if (this.#closed) return null;
    try {
      const length = readSync(file, this.#buffer, 0, BUFFER_BYTES, 0);
      return length === 0 ? null : new TextDecoder().decode(this.#buffer.subarray(0, length));
    } catch { // it has ended
      return null;
    }
  }
}
