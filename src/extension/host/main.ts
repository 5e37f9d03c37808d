// An extension host: a process that locks itself in, runs workers, and carries chunks between its pipes and them unread.
// It watches how long each worker's present turn lasts and how much memory there is, and reports; what is to be done about
// it is decided in the gateway. It ends when its stdin does.

import { openSync, readSync } from "node:fs";
import process from "node:process";
import { ownEntry } from "../../own_entry.ts";
import { ChunkReader, writeChunk } from "../chunks.ts";
import { confine, isEnough, missingWalls } from "../confine.ts";
import type { Confinement } from "../host_process.ts";
import { HOST_SLOT, type HostCommand, type HostEvent, REPORT_MS } from "../../program/messages.ts";
import { RunClock, type RunTimes } from "./run_clock.ts";
import { type Entries, WorkerHandle } from "./worker_handle.ts";

/** How often the workers' turns are looked at, in milliseconds. */
const LOOK_MS = 5;
/**
 * Most that a host may have by any configuration, in MiB; by its own it is ended long before. A reload can change that one,
 * and what the system was told stays.
 */
const HOST_MB_MAX = 4096;
/** Largest chunk from the gateway; it sends one call's input, or one program, and little more. */
const ORDER_BYTES_MAX = 134_217_728;

/** Reads what launch.ts puts behind the verb. Null: somebody else has. */
export function hostArguments(args: readonly string[]): Confinement | null {
  const [option, confinement] = args;
  const isKnown = confinement === "required" || confinement === "best_effort";
  return option === "--confinement" && isKnown ? confinement : null;
}

/** Where workers begin, and which folders they are loaded from. Tests have another. */
export interface Workers {
  readonly entries: Entries;
  readonly folders: readonly string[];
}

/** Runs until its stdin ends. @returns the exit code; the process is to end then, whatever its workers do */
export async function hostMain(confinement: Confinement, workers: Workers = ownWorkers()): Promise<number> {
  const rss = rssReader();
  const confined = await confine(workers.folders, HOST_MB_MAX);
  if (!isEnough(confinement, confined)) {
    await said([{ kind: "unsafe", why: missingWalls(confined) }]);
    return 1;
  }
  void said([{ kind: "hello", walls: confined.walls }]);
  await new Host(rss, workers.entries).run();
  return 0;
}

/** An executable has all that its workers are made of in itself. */
function ownWorkers(): Workers {
  const here = import.meta.url;
  const entry = (kind: string) => ownEntry(here, "extension/host", `${kind}_worker.ts`);
  const entries: Entries = { script: entry("script"), wasm: entry("wasm") };
  if (process.versions["bun"] === undefined || !here.endsWith(".ts")) return { entries, folders: [] };
  const folders = [new URL("../..", here), new URL("../../../node_modules", here)];
  return { entries, folders: folders.map(({ pathname }) => pathname) };
}

class Host {
  readonly #slots = new Map<number, WorkerHandle>();
  readonly #reader = new ChunkReader(ORDER_BYTES_MAX);
  readonly #rss: () => number;
  readonly #entries: Entries;
  readonly #clock = new RunClock(runTimes);
  #sinceReport = 0;

  constructor(rss: () => number, entries: Entries) {
    this.#rss = rss;
    this.#entries = entries;
  }

  run(): Promise<void> {
    const looks = setInterval(() => this.#look(), LOOK_MS);
    return new Promise((resolve) => {
      const end = () => {
        clearInterval(looks);
        resolve();
      };
      process.stdin.on("data", (bytes: Uint8Array) => {
        const chunks = this.#reader.read(bytes);
        if (chunks === null) return end();
        for (const { slot, body } of chunks) {
          if (slot === HOST_SLOT) this.#execute(JSON.parse(new TextDecoder().decode(body)) as HostCommand[]);
          else this.#slots.get(slot)?.take(body);
        }
      });
      process.stdin.on("end", end);
      process.stdin.on("error", end);
      process.stdin.on("close", end);
      process.stdout.on("error", end);
    });
  }

  #execute(commands: readonly HostCommand[]): void {
    for (const command of commands) {
      if (command.kind === "spawn") this.#spawn(command);
      else this.#end(command.slot);
    }
  }

  #spawn({ slot, spec }: Extract<HostCommand, { readonly kind: "spawn" }>): void {
    const gone = (why: string) => {
      if (this.#slots.delete(slot)) void said([{ kind: "gone", slot, why }]);
    };
    try {
      this.#slots.set(
        slot,
        new WorkerHandle({ slot, spec, entry: this.#entries[spec.program.kind], write, gone }),
      );
    } catch (error) {
      void said([{ kind: "gone", slot, why: error instanceof Error ? error.message : String(error) }]);
    }
  }

  #end(slot: number): void {
    const worker = this.#slots.get(slot);
    if (worker === undefined) return;
    worker.end();
    this.#slots.delete(slot);
    void said([{ kind: "gone", slot, why: "it was told to end" }]);
  }

  #look(): void {
    const ranMs = this.#clock.now();
    const workers = [...this.#slots].map(([slot, worker]) => ({
      slot,
      busyMs: Math.round(worker.busyMs(ranMs)),
      heapBytes: worker.heapBytes,
    }));
    const now = performance.now();
    if (now - this.#sinceReport < REPORT_MS) return;
    this.#sinceReport = now;
    void said([{ kind: "report", rssBytes: this.#rss(), workers }]);
  }
}

function runTimes(): RunTimes {
  const { user, system } = process.cpuUsage();
  return { wallMs: performance.now(), cpuMs: (user + system) / 1000 };
}

function write(chunk: Uint8Array): void {
  process.stdout.write(chunk);
}

/** Resolves when the events are on their way. */
function said(events: readonly HostEvent[]): Promise<void> {
  const chunk = writeChunk(HOST_SLOT, events.map((event) => JSON.stringify(event)));
  return new Promise((resolve) => process.stdout.write(chunk, () => resolve()));
}

/** Reads how much memory this process has, from a file that is opened before files cannot be. */
function rssReader(): () => number {
  if (process.platform !== "linux" || process.versions["bun"] === undefined) {
    return () => process.memoryUsage().rss;
  }
  const status = openSync("/proc/self/status", "r");
  const buffer = new Uint8Array(4096);
  return () => {
    const length = readSync(status, buffer, 0, buffer.length, 0);
    const found = /^VmRSS:\s+(\d+) kB$/m.exec(new TextDecoder().decode(buffer.subarray(0, length)));
    return Number(found![1]) * 1024;
  };
}
