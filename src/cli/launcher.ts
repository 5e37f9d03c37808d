// The programs between a gateway and whoever started it: `npx … deno task start` is five processes deep, and a shell among
// them passes no signal on. Where one of them is gone, nobody can reach the gateway by the process that they started.

import { readFileSync } from "node:fs";
import { basename } from "node:path";
import process from "node:process";

/** A process, as /proc tells of it. */
export interface ProcessFacts {
  readonly parent: number;
  /** When it was started, in the kernel's ticks: a number is used again, this is not. */
  readonly started: string;
  readonly args: readonly string[];
}

/** Tells of a process; null when there is none, or this is nobody's to know. */
export type ProcessTable = (pid: number) => ProcessFacts | null;

/** Between two looks. */
const LOOK_MS = 500;
/** More than any way of starting it has. */
const DEPTH_MAX = 16;

interface Link {
  readonly pid: number;
  readonly parent: number;
  readonly started: string;
}

/** Watches the launchers above this process, as far as there are any. Linux only. @returns how to end that */
export function watchLaunchers(options: {
  readonly every: (ms: number, task: () => void) => () => void;
  readonly gone: () => void;
  readonly table?: ProcessTable;
}): () => void {
  const { every, gone, table = procTable } = options;
  const chain = launchersOf(process.pid, table);
  if (chain.length === 0) return () => {};
  const stop = every(LOOK_MS, () => {
    if (isWhole(chain, table)) return;
    stop();
    gone();
  });
  return stop;
}

/** From a process up to its last launcher, each with its parent. */
export function launchersOf(pid: number, table: ProcessTable): Link[] {
  const chain: Link[] = [];
  for (let at = pid; chain.length < DEPTH_MAX;) {
    const facts = table(at);
    const above = facts === null ? null : table(facts.parent);
    if (facts === null || above === null || !isLauncher(above.args)) return chain;
    chain.push({ pid: at, parent: facts.parent, started: facts.started });
    at = facts.parent;
  }
  return chain;
}

/** Whether each of them still has the parent that it had. */
export function isWhole(chain: readonly Link[], table: ProcessTable): boolean {
  return chain.every(({ pid, parent, started }) => {
    const facts = table(pid);
    return facts !== null && facts.parent === parent && facts.started === started;
  });
}

/** `deno task`, what a package manager runs it with, and the shell between the two; never somebody's own shell. */
export function isLauncher(args: readonly string[]): boolean {
  const line = args.join(" ");
  const name = basename(args[0] ?? "");
  if (/^deno(\.exe)?$/.test(name)) return args[1] === "task";
  if (/^(ba|da|z|k)?sh$/.test(name)) return args[1] === "-c" && /\bdeno['"]? .*\btask\b/.test(line);
  // npm names its process after what it runs; others show Node with their script.
  return /^(npm|npx) /.test(line) && /\bdeno\b/.test(line) ||
    /^(node|bun|bunx|pnpm|yarn)$/.test(name) && /\bdeno\b.*\btask\b/.test(line);
}

const procTable: ProcessTable = (pid) => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The second field is a name in brackets, with whatever in it.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const args = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").filter((arg) => arg !== "");
    return { parent: Number(fields[1]), started: fields[19]!, args };
  } catch {
    return null; // gone, no /proc, or on Deno no permission to read it
  }
};
