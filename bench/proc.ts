// What Linux says about a process: CPU time and resident memory, from /proc. Both cover all threads,
// so that a runtime's compiler and collector threads are part of the bill.

import { readFileSync } from "node:fs";

/** Ticks per second of the times in /proc; 100 on every Linux that Bun and Deno run on. */
const TICKS = 100;

/** User and system CPU seconds that the process has used, to 10 ms. @throws when there is no such process. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The name in parentheses may hold blanks: fields are counted from behind it (utime is the 14th, stime the 15th).
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

/** Resident bytes of the process. @throws when there is no such process. */
export function residentBytes(pid: number): number {
  const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  if (line === null) throw new Error(`Cannot read the memory of process ${pid}: it has ended`);
  return Number(line[1]) * 1024;
}
