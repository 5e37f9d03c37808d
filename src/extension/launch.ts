// Starts an extension host: the same program as this one, as a child with the hidden verb `extension-host`, an empty
// environment, and three pipes that are all it has. On Deno from source it has no permission but to read the source of its
// workers, which themselves have none.

import { type ChildProcess, spawn } from "node:child_process";
import { devNull, setPriority } from "node:os";
import process from "node:process";
import { fileURLToPath } from "node:url";
import type { Confinement, HostProcess } from "./host_process.ts";
import { type ProcessUsage, readUsage } from "./process_usage.ts";

/** The verb that runs a host. */
export const HOST_VERB = "extension-host";

/** Characters of a line of its stderr; the rest of the line is dropped. */
const LINE_CHARS_MAX = 2000;

export interface LaunchOptions {
  readonly confinement: Confinement;
  /** Program and arguments instead of this one's own: a test's host. */
  readonly command?: readonly string[];
}

/** Starts a host. @throws in one line, when no process can be started */
export function launchHost({ confinement, command = ownCommand() }: LaunchOptions): HostProcess {
  const [program, ...before] = command;
  let child: ChildProcess;
  try {
    child = spawn(program!, [...before, HOST_VERB, "--confinement", confinement], {
      cwd: "/",
      env: ENVIRONMENT,
      stdio: ["pipe", "pipe", "pipe"],
      // Out of reach of a terminal, whose Ctrl-C and end are meant for the gateway: a host ends when that lets it.
      detached: true,
    });
  } catch (error) {
    const reason = error instanceof Error ? error.message.split("\n")[0] : String(error);
    throw new Error(`an extension host cannot be started: ${reason}`);
  }
  yieldCpu(child.pid);
  return new ChildHost(child);
}

/** Where CPUs are scarce, the loop that serves everybody goes before what a tenant's extensions compute. */
const NICENESS = 5;

/** At once, for threads that the child starts have the niceness of who starts them. */
function yieldCpu(pid: number | undefined): void {
  try {
    if (pid !== undefined) setPriority(pid, NICENESS);
  } catch { // It has ended already, or this runtime may not (Deno without --allow-sys=setPriority).
  }
}

/**
 * Nothing of anybody's. From source, Bun is told by the first to read modules on the thread that locks itself, and not on
 * others that Landlock would not hold; and by the second to write none of what it has compiled.
 */
const ENVIRONMENT: Record<string, string> = {
  BUN_FEATURE_FLAG_DISABLE_ASYNC_TRANSPILER: "1",
  BUN_RUNTIME_TRANSPILER_CACHE_PATH: "0",
  // A worker's garbage is collected as if the machine were small: by itself the engine lets a busy worker of 10 MB grow to 90
  // where there is room, and the host would be taken for a bomb.
  BUN_JSC_forceRAMSize: "67108864",
  // Ways to load or to make code that no extension has: the engine does not know their syntax, or the object, then.
  BUN_JSC_useImportDefer: "0",
  BUN_JSC_useImportText: "0",
  BUN_JSC_useShadowRealm: "0",
};

function isFromSource(runtime: "bun" | "deno"): boolean {
  return process.versions[runtime] !== undefined && import.meta.url.endsWith(".ts") && !isStandaloneDeno();
}

function isStandaloneDeno(): boolean {
  return process.versions["deno"] !== undefined && Deno.build.standalone;
}

/** The command line of this very program. */
function ownCommand(): readonly string[] {
  if (!isFromSource("bun") && !isFromSource("deno")) return [process.execPath];
  const source = fileURLToPath(new URL("..", import.meta.url)).replace(/[/\\]$/, "");
  // The command line's own modules would take longer to load than the host does to start.
  const start = fileURLToPath(new URL("./host/start.ts", import.meta.url));
  // Nothing that lies in the folder of the program's start is to configure it.
  if (isFromSource("bun")) return [process.execPath, "--no-env-file", `--config=${devNull}`, start];
  return [
    process.execPath,
    "run",
    "--no-prompt",
    "--no-remote",
    "--quiet",
    "--unstable-worker-options",
    `--allow-read=${source}`,
    start,
  ];
}

class ChildHost implements HostProcess {
  readonly #child: ChildProcess;
  #line = "";
  #ended = false;

  constructor(child: ChildProcess) {
    this.#child = child;
    // What could not be written is no news: its end is told by itself.
    child.stdin!.on("error", () => {});
    child.once("exit", () => {
      this.#ended = true;
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  write(bytes: Uint8Array): boolean {
    const { stdin } = this.#child;
    return stdin!.writable ? stdin!.write(bytes) : true;
  }

  onData(take: (bytes: Uint8Array) => void): void {
    this.#child.stdout!.on("data", take);
  }

  onDrain(tell: () => void): void {
    this.#child.stdin!.on("drain", tell);
  }

  onStderr(take: (line: string) => void): void {
    const { stderr } = this.#child;
    stderr!.setEncoding("utf8");
    stderr!.on("data", (text: string) => {
      const [first, ...others] = text.split("\n");
      this.#line = `${this.#line}${first}`.slice(0, LINE_CHARS_MAX);
      for (const other of others) {
        if (this.#line !== "") take(this.#line);
        this.#line = other.slice(0, LINE_CHARS_MAX);
      }
    });
  }

  onExit(tell: (why: string) => void): void {
    this.#child.once("error", (error) => tell(`it cannot be started: ${error.message}`));
    this.#child.once("exit", (code, signal) => tell(signal === null ? `it ended with ${code}` : `${signal}`));
  }

  usage(): ProcessUsage | null {
    return readUsage(this.pid);
  }

  closeInput(): void {
    this.#child.stdin!.end();
  }

  kill(): void {
    if (!this.#ended) this.#child.kill("SIGKILL");
  }
}
