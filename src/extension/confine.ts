// An extension host locks itself in, before it has loaded any foreign code: on Linux with Bun by Landlock (files,
// connections, signals) and a seccomp filter over all its threads; on Deno it lets go of every permission. What is locked
// stays so, for threads that come later too, until the process ends. https://docs.kernel.org/userspace-api/landlock.html

import { errorText } from "../error_text.ts";
import { closeSync, openSync, readdirSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import process from "node:process";
import type { Confinement } from "./host_process.ts";
import type { Walls } from "../program/messages.ts";
import { type Machine, seccompFilter } from "./seccomp.ts";

/** What `bun:ffi` has that is needed here. */
interface Ffi {
  dlopen(
    library: string,
    symbols: Readonly<Record<string, { readonly args: readonly string[]; readonly returns: string }>>,
  ): {
    readonly symbols: Readonly<Record<string, (...args: readonly (number | bigint)[]) => number | bigint>>;
  };
  ptr(bytes: ArrayBufferView): number;
}

interface Kernel {
  call(number: number, ...args: readonly (number | bigint)[]): number;
  prctl(option: number, value: number): number;
  addressOf(bytes: ArrayBufferView): number;
}

/** What stands, and whether it is enough to run foreign code. */
export interface Confined {
  readonly walls: Walls;
  readonly enough: boolean;
  /** Landlock's version in this kernel; null where there is none or nobody asked. */
  readonly landlockAbi: number | null;
}

/** A wall that another runtime has. */
const NOT_HERE = "not on this runtime";

// linux/prctl.h
const PR_SET_PDEATHSIG = 1;
const PR_SET_NO_NEW_PRIVS = 38;
const SIGKILL = 9;
// The same numbers on both machines, but for seccomp.
const LANDLOCK_CREATE_RULESET = 444;
const LANDLOCK_ADD_RULE = 445;
const LANDLOCK_RESTRICT_SELF = 446;
const SECCOMP: Readonly<Record<Machine, number>> = { x64: 317, arm64: 277 };
const SECCOMP_SET_MODE_FILTER = 1;
const SECCOMP_FILTER_FLAG_TSYNC = 1;

// asm-generic/resource.h, and the call that sets them.
const PRLIMIT64: Readonly<Record<Machine, number>> = { x64: 302, arm64: 261 };
const RLIMIT_FSIZE = 1;
const RLIMIT_DATA = 2;
const RLIMIT_CORE = 4;
const RLIMIT_NOFILE = 7;
const RLIMIT_MSGQUEUE = 12;
/** What a host may have beside its extensions' memory, twice: stacks of threads above all, most of which nobody touches. */
const THREADS_MB = 1024;
/** Descriptors: each worker takes a few. */
const FILES_MAX = 4096;

// linux/landlock.h
const CREATE_RULESET_VERSION = 1;
const RULE_PATH_BENEATH = 1;
const ACCESS_READ_FILE = 1 << 2;
const ACCESS_READ_DIR = 1 << 3;
/** Every right to files that a version knows: 13 at first, then refer, truncate, ioctl of devices. */
const FILE_RIGHTS = [0, 13, 14, 15, 15, 16];
/** Before it, sockets of the abstract namespace and signals are not scoped; seccomp refuses both as well. */
const SCOPES_SINCE = 6;
const NET_SINCE = 4;
const NET_RIGHTS = 0b11n;
const SCOPES = 0b11n;

const LIBRARIES = ["libc.so.6", "libc.so", "libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1"];
/** Threads that a runtime has from its start, which run none of anybody's orders to read files. */
const QUIET_THREADS = /^(JITWorker|JSCWarmUp|mi-scavenger|HeapHelper|.*Collector.*|GC.*)$/i;
/** A file that anybody could read; asked for so often that each thread of a pool has its turn. */
const PROBE = "/proc/self/status";
const PROBES = 16;

/**
 * Locks this process in, as far as it goes. MUST run before anything foreign, and, with Bun, before anything reads a file
 * asynchronously: threads that are there already stay out of Landlock.
 * @param folders what may be read afterwards, with all below it: the runtime's own source where it runs from source
 * @param memoryMb most that it will be allowed to have by whoever watches it
 */
export async function confine(folders: readonly string[], memoryMb: number): Promise<Confined> {
  if (process.versions["bun"] !== undefined) return await confineBun(folders, memoryMb);
  if (process.versions["deno"] !== undefined) return confineDeno();
  const walls: Walls = { permissions: NOT_HERE, landlock: NOT_HERE, seccomp: NOT_HERE };
  return { walls, enough: false, landlockAbi: null };
}

/** What is missing, in one line. */
export function missingWalls({ walls }: Confined): string {
  return Object.entries(walls).filter(([, state]) => state !== "up" && state !== NOT_HERE)
    .map(([wall, state]) => `${wall}: ${state}`).join("; ");
}

/** Whether a host that is locked so may run foreign code. */
export function isEnough(confinement: Confinement, confined: Confined): boolean {
  return confinement === "best_effort" || confined.enough;
}

function confineDeno(): Confined {
  const left: string[] = [];
  for (const name of ["run", "write", "net", "env", "sys", "ffi"] as const) {
    if (Deno.permissions.revokeSync({ name }).state === "granted") left.push(name);
  }
  // Reading stays for the source of the workers where the host runs from source; what they run has no permission at all.
  const open = left.length === 0 && Deno.permissions.querySync({ name: "read" }).state !== "granted";
  const permissions = open ? "up" : `still granted: ${left.join(", ") || "read"}`;
  return {
    walls: { permissions, landlock: NOT_HERE, seccomp: NOT_HERE },
    enough: permissions === "up",
    landlockAbi: null,
  };
}

async function confineBun(folders: readonly string[], memoryMb: number): Promise<Confined> {
  const walls = (landlock: string, seccomp: string): Walls => ({ permissions: NOT_HERE, landlock, seccomp });
  if (process.platform !== "linux") {
    const none = `needs Linux, and this is ${process.platform}`;
    return { walls: walls(none, none), enough: false, landlockAbi: null };
  }
  let kernel: Kernel;
  try {
    kernel = await kernelCalls();
  } catch (error) {
    const none = `the C library cannot be called: ${errorText(error)}`;
    return { walls: walls(none, none), enough: false, landlockAbi: null };
  }
  kernel.prctl(PR_SET_PDEATHSIG, SIGKILL);
  limitResources(kernel, memoryMb);
  const threads = otherThreads();
  if (kernel.prctl(PR_SET_NO_NEW_PRIVS, 1) !== 0) {
    const none = "the kernel refuses PR_SET_NO_NEW_PRIVS";
    return { walls: walls(none, none), enough: false, landlockAbi: null };
  }
  const abi = kernel.call(LANDLOCK_CREATE_RULESET, 0, 0, CREATE_RULESET_VERSION);
  let landlock = abi < 1
    ? "this kernel has no Landlock, or it is not enabled"
    : applyLandlock(kernel, abi, folders);
  if (landlock === "up" && threads.length > 0) {
    landlock = `threads came before it and stay out of it: ${threads.join(", ")}`;
  }
  if (landlock === "up" && await canRead()) landlock = "it is there, but files can be read";
  const seccomp = applySeccomp(kernel, folders.length > 0);
  return {
    walls: walls(landlock, seccomp),
    enough: landlock === "up" && seccomp === "up",
    landlockAbi: abi < 1 ? null : abi,
  };
}

/** Landlock's version in this kernel, 0 where there is none; null where it cannot be asked. Changes nothing. */
export async function landlockAbi(): Promise<number | null> {
  if (process.versions["bun"] === undefined || process.platform !== "linux") return null;
  const abi = (await kernelCalls()).call(LANDLOCK_CREATE_RULESET, 0, 0, CREATE_RULESET_VERSION);
  return Math.max(0, abi);
}

async function kernelCalls(): Promise<Kernel> {
  const name = "bun:ffi"; // Not a literal: other runtimes and the type checker do not know the module.
  const ffi = await import(name) as Ffi;
  const symbols = {
    syscall: { args: ["i64", "i64", "i64", "i64", "i64", "i64"], returns: "i64" },
    prctl: { args: ["i32", "u64", "u64", "u64", "u64"], returns: "i32" },
  };
  let failure: unknown;
  for (const library of LIBRARIES) {
    try {
      const { syscall, prctl } = ffi.dlopen(library, symbols).symbols;
      return {
        call: (number, ...args) => Number(syscall!(number, ...[...args, 0, 0, 0, 0, 0].slice(0, 5))),
        prctl: (option, value) => Number(prctl!(option, value, 0, 0, 0)),
        addressOf: (bytes) => ffi.ptr(bytes),
      };
    } catch (error) {
      failure ??= error;
    }
  }
  throw failure;
}

function applyLandlock(kernel: Kernel, abi: number, folders: readonly string[]): string {
  const rights = (1n << BigInt(FILE_RIGHTS[Math.min(abi, FILE_RIGHTS.length - 1)]!)) - 1n;
  const attributes = BigUint64Array.of(
    rights,
    abi >= NET_SINCE ? NET_RIGHTS : 0n,
    abi >= SCOPES_SINCE ? SCOPES : 0n,
  );
  // An older kernel takes a longer structure as long as what it does not know is 0.
  const ruleset = kernel.call(
    LANDLOCK_CREATE_RULESET,
    kernel.addressOf(attributes),
    attributes.byteLength,
    0,
  );
  if (ruleset < 0) return "the kernel refuses a ruleset";
  for (const folder of folders) {
    const opened = openSync(folder, "r");
    const rule = new Uint8Array(12);
    const view = new DataView(rule.buffer);
    view.setBigUint64(0, BigInt(ACCESS_READ_FILE | ACCESS_READ_DIR), true);
    view.setInt32(8, opened, true);
    const added = kernel.call(LANDLOCK_ADD_RULE, ruleset, RULE_PATH_BENEATH, kernel.addressOf(rule), 0);
    closeSync(opened);
    if (added !== 0) return `the kernel refuses a rule for ${folder}`;
  }
  const restricted = kernel.call(LANDLOCK_RESTRICT_SELF, ruleset, 0);
  closeSync(ruleset);
  return restricted === 0 ? "up" : "the kernel refuses to restrict this process";
}

/** Hard limits by the system, which hold whatever the gateway reads; a kernel that refuses one has said nothing of the others. */
function limitResources(kernel: Kernel, memoryMb: number): void {
  const prlimit = PRLIMIT64[process.arch as Machine];
  if (prlimit === undefined) return;
  // What the engine has reserved for its heap counts already, however little of it is in use.
  const reserved = /^VmData:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  const dataBytes = (Number(reserved) + (2 * memoryMb + THREADS_MB) * 1024) * 1024;
  const limits: readonly (readonly [resource: number, most: number])[] = [
    [RLIMIT_DATA, dataBytes],
    [RLIMIT_CORE, 0],
    [RLIMIT_FSIZE, 0],
    [RLIMIT_NOFILE, FILES_MAX],
    [RLIMIT_MSGQUEUE, 0],
  ];
  for (const [resource, most] of limits) {
    const both = BigUint64Array.of(BigInt(most), BigInt(most));
    kernel.call(prlimit, 0, resource, kernel.addressOf(both), 0);
  }
}

function applySeccomp(kernel: Kernel, looks: boolean): string {
  const machine = process.arch;
  if (machine !== "x64" && machine !== "arm64") return `no table for ${machine}`;
  const filter = seccompFilter(machine, process.pid, looks);
  // struct sock_fprog
  const program = new Uint8Array(16);
  const view = new DataView(program.buffer);
  view.setUint16(0, filter.length / 8, true);
  view.setBigUint64(8, BigInt(kernel.addressOf(filter)), true);
  const done = kernel.call(
    SECCOMP[machine],
    SECCOMP_SET_MODE_FILTER,
    SECCOMP_FILTER_FLAG_TSYNC,
    kernel.addressOf(program),
  );
  if (done === 0) return "up";
  return done > 0 ? "a thread does not take the filter" : "the kernel refuses the filter";
}

/** Threads, but for this one, that might read files for whoever asks. Those without a name have the program's. */
function otherThreads(): string[] {
  const nameOf = (id: string) => readFileSync(`/proc/self/task/${id}/comm`, "utf8").trim();
  const main = String(process.pid);
  return readdirSync("/proc/self/task").filter((id) => id !== main).map(nameOf)
    .filter((name) => name !== nameOf(main) && !QUIET_THREADS.test(name));
}

async function canRead(): Promise<boolean> {
  const tries = Array.from({ length: PROBES }, () => readFile(PROBE).then(() => true, () => false));
  return (await Promise.all(tries)).includes(true);
}
