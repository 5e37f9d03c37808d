// Starts and ends what the bench runs: the gateway, the controls and the load generator, each a process of its
// own, on its own CPU where `taskset` can see to it. Everything started here is ended here, by its own handle.

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import process from "node:process";
import { parse, stringify } from "yaml";
import type { Load, LoadResult } from "./load_spec.ts";
import type { GatewaySettings, ServerKind } from "./works.ts";

const BUN = "node_modules/bun/bin/bun.exe";
const DENO = "deno";
const EXECUTABLE = "dist/wsprism";
const CONFIG = "bench/bench.yaml";

/** How long a server may take until it accepts, in milliseconds. */
const START_MS = 15_000;

export interface RunnerOptions {
  /** Runs the gateway on Bun from source or as the compiled executable. */
  readonly target: "bun" | "executable";
  /** False leaves the choice of CPUs to the system. */
  readonly pinned: boolean;
  /** Folder for CPU profiles of the gateway on Bun; null: none are taken. */
  readonly profile: string | null;
}

/** A server that accepts connections. */
export interface RunningServer {
  readonly pid: number;
  readonly port: number;
  stop(): Promise<void>;
}

/** Starts processes and knows all that still run. */
export class Runner {
  readonly #options: RunnerOptions;
  readonly #running = new Set<ChildProcess>();
  /** One CPU for the server and one for the generator; null where there are not two, or no `taskset`. */
  readonly #cpus: { readonly server: number; readonly load: number } | null;

  constructor(options: RunnerOptions) {
    this.#options = options;
    this.#cpus = options.pinned ? twoCpus() : null;
  }

  get pinned(): boolean {
    return this.#cpus !== null;
  }

  /** @throws when the server does not accept connections in time, with the last that it wrote. */
  async server(kind: ServerKind): Promise<RunningServer> {
    const child = kind.kind === "gateway" ? await this.#gateway(kind) : this.#control(kind);
    const port = await child.port;
    if (child.process.pid === undefined) throw new Error(`Cannot start ${kind.kind}: no process`);
    return { pid: child.process.pid, port, stop: () => this.#end(child.process) };
  }

  /** Runs one measurement. @throws with the generator's message when it fails. */
  async load(load: Load): Promise<LoadResult> {
    const child = this.#spawn([BUN, "bench/load.ts", JSON.stringify(load)], {
      cpu: this.#cpus?.load,
      env: {},
    });
    const [out, err] = [collect(child.stdout), collect(child.stderr)];
    await once(child, "close");
    this.#running.delete(child);
    if (child.exitCode !== 0) {
      throw new Error(`The load generator failed: ${err().trim() || child.signalCode}`);
    }
    return JSON.parse(out());
  }

  /** Starts a session of a tenant that sends all it can until it is stopped. */
  flood(port: number, tenant: string): { stop(): Promise<void> } {
    const child = this.#spawn([BUN, "bench/flood.ts", `${port}`, tenant], { cpu: this.#cpus?.load, env: {} });
    collect(child.stdout);
    return { stop: () => this.#end(child) };
  }

  /** Ends everything that still runs, at once. */
  endAll(): void {
    for (const child of this.#running) child.kill("SIGKILL");
    this.#running.clear();
  }

  async #gateway({ runtime, settings }: ServerKind & { kind: "gateway" }) {
    const port = await freePort();
    const config = settings === undefined ? CONFIG : writeConfig(settings);
    const start = ["start", "--config", config, "--dev", "--log-level", "error"];
    const command = runtime === "deno"
      ? [DENO, "run", ...denoFlags(), "main.ts", ...start]
      : this.#options.target === "executable"
      ? [EXECUTABLE, ...start]
      : [BUN, ...this.#profileFlags(), "main.ts", ...start];
    const child = this.#spawn(command, {
      cpu: this.#cpus?.server,
      env: { WSPRISM_LISTEN: `127.0.0.1:${port}` },
    });
    const written = collect(child.stderr);
    collect(child.stdout);
    return { process: child, port: this.#untilReady(child, { port, written }) };
  }

  #control(kind: ServerKind & { kind: "control" }) {
    const file = `bench/controls/${kind.name}.ts`;
    const command = kind.runtime === "deno"
      ? [DENO, "run", "--no-prompt", "--allow-net=127.0.0.1", "--allow-env", file]
      : [BUN, file];
    const child = this.#spawn(command, { cpu: this.#cpus?.server, env: {} });
    const written = collect(child.stderr);
    const port = new Promise<number>((resolve, reject) => {
      child.stdout?.on("data", (chunk) => resolve(Number(`${chunk}`)));
      child.on(
        "close",
        () => reject(new Error(`${kind.name} ended before it listened: ${written().trim()}`)),
      );
    });
    return { process: child, port };
  }

  async #untilReady(child: ChildProcess, watch: { port: number; written: () => string }): Promise<number> {
    for (const start = performance.now(); performance.now() - start < START_MS; await delay(20)) {
      if (child.exitCode !== null) break;
      const response = await fetch(`http://127.0.0.1:${watch.port}/readyz`).catch(() => null);
      await response?.body?.cancel();
      if (response?.ok) return watch.port;
    }
    await this.#end(child);
    throw new Error(
      `The gateway is not ready on port ${watch.port}: ${watch.written().trim() || "no message"}`,
    );
  }

  #profileFlags(): string[] {
    const folder = this.#options.profile;
    return folder === null ? [] : ["--cpu-prof", "--cpu-prof-md", `--cpu-prof-dir=${folder}`];
  }

  #spawn(command: readonly string[], options: { cpu: number | undefined; env: Record<string, string> }) {
    const whole = options.cpu === undefined ? command : ["taskset", "-c", `${options.cpu}`, ...command];
    const child = spawn(whole[0] ?? "", whole.slice(1), {
      env: { ...process.env, ...options.env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#running.add(child);
    return child;
  }

  /** A profile is written on an orderly exit only; otherwise there is nothing to wait for. */
  async #end(child: ChildProcess): Promise<void> {
    if (child.exitCode === null && child.signalCode === null) {
      const closed = once(child, "close");
      if (this.#options.profile !== null) {
        child.kill("SIGTERM");
        await Promise.race([closed, delay(5000, undefined, { ref: false })]);
      }
      child.kill("SIGKILL");
      await closed;
    }
    this.#running.delete(child);
  }
}

/** Writes bench.yaml with other settings. @returns the new file */
function writeConfig(settings: GatewaySettings): string {
  const config = parse(readFileSync(CONFIG, "utf8"));
  Object.assign(config.gateway, settings.gateway);
  const [tenant] = config.tenants;
  tenant.delivery = settings.delivery;
  const { neighbour } = settings;
  if (neighbour !== undefined) {
    const policy = { ...tenant.policy, ...neighbour.policy };
    config.tenants.push({ ...tenant, id: neighbour.id, policy });
  }
  Object.assign(tenant.policy, settings.policy);
  mkdirSync("dist", { recursive: true });
  const path = "dist/bench.yaml";
  writeFileSync(path, stringify(config));
  return path;
}

/** The flags of the task `wsprism:deno`, so that the bench measures with the permissions that users run with. */
function denoFlags(): string[] {
  const tasks: Record<string, string | { command: string }> =
    JSON.parse(readFileSync("deno.json", "utf8")).tasks;
  const task = tasks["wsprism:deno"];
  const command = typeof task === "string" ? task : task?.command;
  if (command === undefined) {
    throw new Error('Cannot start the gateway on Deno: deno.json has no task "wsprism:deno"');
  }
  return command.slice(0, command.indexOf("main.ts")).split(" ").filter((word) => word.startsWith("-"));
}

/** The first and the last CPU that this process may use. */
function twoCpus(): { server: number; load: number } | null {
  const { stdout, error } = spawnSync("taskset", ["-cp", `${process.pid}`], { encoding: "utf8" });
  const list = error === undefined ? /list: (\S+)/.exec(stdout)?.[1] : undefined;
  const numbers = list?.match(/\d+/g)?.map(Number) ?? [];
  const [load, server] = [numbers[0], numbers.at(-1)];
  return load === undefined || server === undefined || load === server ? null : { server, load };
}

async function freePort(): Promise<number> {
  const probe = createServer();
  probe.listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, "close");
  return port;
}

/** Gathers the last 64 KiB of a stream; the pipe has to be read even where nobody asks. */
function collect(stream: NodeJS.ReadableStream | null): () => string {
  let text = "";
  stream?.on("data", (chunk) => text = (text + chunk).slice(-65_536));
  return () => text;
}
