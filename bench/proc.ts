// What Linux says, from /proc: a process's CPU time and resident memory, which cover all threads, so that a runtime's
// compiler and collector threads are part of the bill; and what the kernel holds for connections on loopback.

import { readdirSync, readFileSync } from "node:fs";

/** Ticks per second of the times in /proc; 100 on every Linux that Bun and Deno run on. */
const TICKS = 100;

/** User and system CPU seconds that the process has used, to 10 ms. @throws when there is no such process. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The name in parentheses may hold blanks: fields are counted from behind it (utime is the 14th, stime the 15th).
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

/** Processes that a process has started, with those that these have. */
export function descendants(pid: number): number[] {
  const children = readdirSync(`/proc/${pid}/task`).flatMap((thread) => {
    try {
      return readFileSync(`/proc/${pid}/task/${thread}/children`, "utf8").split(" ").filter((word) =>
        word !== ""
      );
    } catch { // the thread has ended
      return [];
    }
  }).map(Number);
  return children.flatMap((child) => [child, ...descendants(child)]);
}

/** As `cpuSeconds`, with the processes that it has started and that still run. */
export function familyCpuSeconds(pid: number): number {
  return [pid, ...descendants(pid)].reduce((sum, one) => sum + cpuSeconds(one), 0);
}

/** CPU seconds that the whole machine has used, interrupts included, what its host took away not. */
export function busySeconds(): number {
  // cpu user nice system idle iowait irq softirq …
  const fields = readFileSync("/proc/stat", "utf8").split("\n", 1)[0]?.split(/\s+/).map(Number) ?? [];
  return [1, 2, 3, 6, 7].reduce((sum, index) => sum + (fields[index] ?? 0), 0) / TICKS;
}

/** Resident bytes of the process. @throws when there is no such process. */
export function residentBytes(pid: number): number {
  const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  if (line === null) throw new Error(`Cannot read the memory of process ${pid}: it has ended`);
  return Number(line[1]) * 1024;
}

/**
 * Bytes that the kernel holds on the way from the server on `serverPort` to the clients on `clientPorts`, all together:
 * not yet acknowledged at the server's end, or not yet read at the client's. Without the kernel's own overhead.
 */
export function kernelBytes(serverPort: number, clientPorts: ReadonlySet<number>): number {
  let held = 0;
  for (const line of readFileSync("/proc/net/tcp", "utf8").split("\n")) {
    // sl local_address rem_address st tx_queue:rx_queue, all in hexadecimal; 01 is an open connection.
    const fields = line.trim().split(" ", 5);
    if (fields[3] !== "01") continue;
    const [local, remote] = [fields[1], fields[2]].map((text) => parseInt(text?.slice(9) ?? "", 16));
    const [sent, received] = (fields[4] ?? "").split(":").map((text) => parseInt(text, 16));
    if (local === undefined || remote === undefined) continue;
    if (local === serverPort && clientPorts.has(remote)) held += sent ?? 0;
    else if (remote === serverPort && clientPorts.has(local)) held += received ?? 0;
  }
  return held;
}

/** Bytes that the kernel has given to all TCP sockets of the machine, in pages, its own overhead included. */
export function kernelTcpBytes(): number {
  const pages = /^TCP:.* mem (\d+)/m.exec(readFileSync("/proc/net/sockstat", "utf8"))?.[1];
  return Number(pages ?? 0) * 4096;
}
