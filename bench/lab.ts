/// <reference path="./bun.d.ts" />
// What a row measures with: gateways, controls and generators, each a process of its own, on its own CPU where `taskset`
// can see to it. A lab is for one measurement of one side: `end` ends everything that was started in it.

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { resolve } from "node:path";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { parse, stringify } from "yaml";
import type { Load, LoadResult } from "./generator/load_spec.ts";
import { Lines } from "./lines.ts";
import type { Sample } from "./row.ts";

const HERE = resolve(import.meta.dirname!, "..");
const BUN = "node_modules/bun/bin/bun.exe";
const WORK = resolve(HERE, "dist/bench");
/** Of the admin API, of signatures, and of tickets: the bench's own. */
export const SECRET = "a-secret-of-the-bench-of-more-than-32-bytes";
export const AUTHORIZATION = { authorization: `Bearer ${SECRET}` };

/** How long a server may take until it accepts, in milliseconds. */
const START_MS = 20_000;

/** Which gateway is measured: a checkout of the project, or a compiled executable. */
export interface Subject {
  readonly root: string;
  readonly executable: string | null;
}

export function subjectAt(path: string): Subject {
  const whole = resolve(path);
  if (existsSync(`${whole}/main.ts`)) {
    if (existsSync(`${whole}/${BUN}`)) return { root: whole, executable: null };
    throw new Error(`Cannot measure "${path}": it has no node_modules, which "deno install" makes`);
  }
  if (statSync(whole, { throwIfNoEntry: false })?.isFile()) return { root: HERE, executable: whole };
  throw new Error(`Cannot measure "${path}": it is neither a checkout of the project nor an executable`);
}

export interface LabOptions {
  readonly subject: Subject;
  /** Length of a measurement. */
  readonly seconds: number;
  /** Rows do not take longer than `seconds` where they can do without. */
  readonly quick: boolean;
  readonly cpus: Cpus | null;
  /** Folder for CPU profiles of the gateway on Bun; null: none are taken. */
  readonly profile: string | null;
  /** Messages/s that the probe of a row allows; NaN where there was none. */
  readonly rate: number;
  readonly warn: (text: string) => void;
}

/** The configuration of a gateway, as far as rows change it. */
export interface Config {
  readonly gateway: Record<string, unknown>;
  admin?: unknown;
  cluster?: unknown;
  tenants: Tenant[];
}

export interface Tenant {
  readonly id: string;
  readonly policy: Record<string, unknown>;
  readonly services: unknown[];
  readonly [key: string]: unknown;
}

export interface GatewayOptions {
  /** Changes bench.yaml; a relative path in it starts at the gateway's own folder, which `files` go to. */
  readonly change?: (config: Config) => void;
  readonly files?: Readonly<Record<string, string>>;
  readonly runtime?: "bun" | "deno";
  /** Whether it has the admin API, and serves its metrics there alone. */
  readonly admin?: boolean;
  /** Whether it may use all CPUs: for what its threads and processes do beside the loop. */
  readonly free?: boolean;
  /** One that others may listen to as well; a free one otherwise. */
  readonly port?: number;
  /** Whether it logs what is no error. */
  readonly logs?: boolean;
  /** Loaded into its process before anything else; a file of the bench. */
  readonly preload?: string;
}

/** A server that accepts connections. */
export interface Server {
  readonly pid: number;
  readonly port: number;
  readonly child: ChildProcess;
}

export interface Gateway extends Server {
  readonly adminPort: number;
  readonly config: string;
  /** The next line of its log, or of stderr, that fulfils `wanted`; the log has infos where `logs` says so. */
  logged(wanted: (line: string) => boolean): Promise<string>;
  told(wanted: (line: string) => boolean): Promise<string>;
  /** The sum of a metric. */
  metric(name: string): Promise<number>;
}

/** A generator's process: it is ready, and answers each line with another. */
export interface Program {
  readonly child: ChildProcess;
  ask<T>(line: string | number): Promise<T>;
  stop(): Promise<void>;
}

/** Sessions that are open. */
export interface Crowd {
  measure(seconds: number): Promise<LoadResult & Sample>;
}

/** One CPU for the server and one for generators. */
export interface Cpus {
  readonly server: number;
  readonly load: number;
  /** Whether a process may be given real-time priority, as root may. */
  readonly realtime: boolean;
}

const DENO_QUIC = ["deno", "run", "--no-prompt", "--unstable-net", "--allow-net=127.0.0.1", "--allow-env"];

const running = new Set<ChildProcess>();
let gateways = 0;

export class Lab {
  readonly #options: LabOptions;
  readonly #own = new Set<ChildProcess>();
  readonly #folders: string[] = [];

  constructor(options: LabOptions) {
    this.#options = options;
  }

  get rate(): number {
    return this.#options.rate;
  }

  get subject(): Subject {
    return this.#options.subject;
  }

  /** The length of a measurement that needs so many seconds; with --quick, only if it `always` does. */
  seconds(atLeast = 0, always = false): number {
    return Math.max(this.#options.seconds, this.#options.quick && !always ? 0 : atLeast);
  }

  /** @throws when it is not ready in time, with the last that it wrote */
  async gateway(options: GatewayOptions = {}): Promise<Gateway> {
    const folder = this.folder();
    for (const [name, text] of Object.entries(options.files ?? {})) writeFileSync(`${folder}/${name}`, text);
    const [port, adminPort] = [options.port ?? await freePort(), await freePort()];
    const config: Config = parse(readFileSync(`${HERE}/bench/bench.yaml`, "utf8"));
    config.gateway["listen"] = `127.0.0.1:${port}`;
    if (options.admin) {
      const rights = { tenants: ["*"], permissions: ["read", "publish"], rps: 1e9, burst: 1e9 };
      config.admin = {
        listen: `127.0.0.1:${adminPort}`,
        keys: [{ id: "bench", secret: SECRET, ...rights }],
      };
    }
    options.change?.(config);
    const path = `${folder}/wsprism.yaml`;
    writeFileSync(path, stringify(config, { indent: 1, lineWidth: 0 }));
    const level = options.logs ? "info" : "error";
    const log = ["--log-format", "json", "--log-level", level];
    const start = ["start", "--config", path, "--dev", ...log];
    const child = this.#spawn([...this.#command(options), ...start], {
      cpu: options.free ? null : this.#options.cpus?.server ?? null,
      cwd: this.subject.root,
      env: { WSPRISM_LISTEN: `127.0.0.1:${port}` },
    });
    const out = new Lines(child.stdout!), err = new Lines(child.stderr!);
    for (const since = performance.now();; await delay(20)) {
      if (child.exitCode !== null || performance.now() - since > START_MS) {
        throw new Error(`The gateway is not ready: ${err.last || out.last || "it says nothing"}`);
      }
      const response = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => null);
      await response?.body?.cancel();
      if (response?.ok) break;
    }
    const metric = async (name: string) => {
      const url = `http://127.0.0.1:${options.admin ? adminPort : port}/metrics`;
      const text = await (await fetch(url, options.admin ? { headers: AUTHORIZATION } : {})).text();
      const lines = text.split("\n").filter((line) => /^[{ ]/.test(line.slice(name.length)));
      return lines.filter((line) => line.startsWith(name))
        .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" ") + 1)), 0);
    };
    const logged = out.next.bind(out), told = err.next.bind(err);
    return { pid: child.pid!, port, adminPort, child, config: path, logged, told, metric };
  }

  /** A bare server of bench/controls. */
  async control(name: string): Promise<Server> {
    const file = `bench/controls/${name}.ts`;
    const deno = ["deno", "run", "--no-prompt", "--allow-net=127.0.0.1", "--allow-env", file];
    return await this.#server(
      name.startsWith("deno") ? deno : [BUN, file],
      this.#options.cpus?.server ?? null,
    );
  }

  /** A backend, on the generators' CPU. */
  backend(file = "controls/backend_server.ts"): Promise<Server> {
    return this.#server([BUN, `bench/${file}`], this.#options.cpus?.load ?? null);
  }

  /** Opens the sessions of a load; `beside`: of a disturber, which is on the same CPU. */
  async crowd(load: Load, beside = false): Promise<Crowd> {
    const isFirst = beside && this.#options.cpus?.realtime === true;
    if (beside && !isFirst) {
      this.#options.warn("the disturber delays the generator: no real-time priority here");
    }
    const program = await this.program("bench/generator/load.ts", load, isFirst ? ["-f", "1"] : []);
    const measure = async (seconds: number) => {
      const { result, firstStray } = await program.ask<{ result: LoadResult; firstStray: string }>(seconds);
      for (const text of doubts(load, result, firstStray)) this.#options.warn(text);
      return result;
    };
    return { measure };
  }

  /** A program of the bench that disturbs: it runs when nobody else wants its CPU. */
  disturber(file: string, job: unknown): Promise<Program> {
    return this.program(file, job, ["-i", "0"]);
  }

  /**
   * A program of the bench that says when it is ready and then answers lines; `chrt`: its scheduling. Without one, what a
   * disturber takes from the load generator's CPU would be mistaken for what it does to the gateway.
   */
  async program(file: string, job: unknown, chrt: readonly string[] = []): Promise<Program> {
    const cpu = this.#options.cpus?.load ?? null;
    const scheduled = chrt.length > 0 && cpu !== null ? ["chrt", ...chrt] : [];
    return await this.#program([...scheduled, BUN, file], { file, job, cpu });
  }

  /** The same on Deno, which has WebTransport. */
  async denoProgram(file: string, job: unknown): Promise<Program> {
    const cpu = this.#options.cpus?.load ?? null;
    return await this.#program([...DENO_QUIC, file], { file, job, cpu });
  }

  /** A bare server on Deno that has WebTransport. */
  denoQuicControl(name: string, job: unknown): Promise<Server> {
    const command = [...DENO_QUIC, `bench/controls/${name}.ts`, JSON.stringify(job)];
    return this.#server(command, this.#options.cpus?.server ?? null);
  }

  /** A folder of its own for one measurement. */
  folder(): string {
    const folder = `${WORK}/${process.pid}-${++gateways}`;
    this.#folders.push(folder);
    mkdirSync(folder, { recursive: true });
    return folder;
  }

  /** The same in Node, made into one file first. */
  async nodeProgram(file: string, job: unknown): Promise<Program> {
    mkdirSync(WORK, { recursive: true });
    const made = `${WORK}/${file.replaceAll(/\W/g, "-")}-${process.pid}.mjs`;
    const built = spawnSync(BUN, ["build", "--target=node", `--outfile=${made}`, file], {
      cwd: HERE,
      encoding: "utf8",
    });
    if (built.status !== 0) throw new Error(`Cannot build ${file}: ${built.stderr}`);
    const cpu = this.#options.cpus?.load ?? null;
    return await this.#program(["node", "--expose-gc", made], { file, job, cpu });
  }

  async #program(
    command: readonly string[],
    { file, job, cpu }: { file: string; job: unknown; cpu: number | null },
  ): Promise<Program> {
    const child = this.#spawn([...command, JSON.stringify(job)], { cpu });
    const out = new Lines(child.stdout!), err = new Lines(child.stderr!);
    const next = () =>
      out.next(() => true).catch(() => {
        throw new Error(`${file} ended: ${err.last}`);
      });
    await next();
    const ask = async <T>(line: string | number): Promise<T> => {
      child.stdin!.write(`${line}\n`);
      return JSON.parse(await next());
    };
    return { child, ask, stop: () => this.#end(child) };
  }

  /** Runs a command of the subject to its end. @returns what it prints */
  async run(command: readonly string[]): Promise<string> {
    const child = this.#spawn(command, { cpu: null, cwd: this.subject.root });
    const err = new Lines(child.stderr!);
    let text = "";
    child.stdout!.on("data", (chunk) => text += chunk);
    await once(child, "close");
    if (child.exitCode !== 0) throw new Error(`${command.slice(0, 3).join(" ")} failed: ${err.last}`);
    return text;
  }

  /** The gateway's command line. */
  command(): readonly string[] {
    return this.#command({});
  }

  /** Ends everything that was started here. */
  async end(): Promise<void> {
    await Promise.all([...this.#own].map((child) => this.#end(child)));
    for (const folder of this.#folders) rmSync(folder, { recursive: true, force: true });
  }

  #command({ runtime, preload }: GatewayOptions): readonly string[] {
    const { executable, root } = this.subject;
    const loaded = preload === undefined ? [] : ["--preload", `${HERE}/bench/${preload}`];
    if (runtime === "deno") {
      if (executable !== null) throw new Error("An executable does not run on Deno");
      return ["deno", "run", ...(preload === undefined ? denoFlags(root) : ["-A", "--no-prompt"]), ...loaded]
        .concat("main.ts");
    }
    if (executable !== null) {
      if (preload !== undefined) throw new Error("Nothing can be loaded into an executable");
      return [executable];
    }
    const { profile } = this.#options;
    const profiled = profile === null
      ? []
      : ["--cpu-prof", "--cpu-prof-md", `--cpu-prof-dir=${resolve(profile)}`];
    return [`${root}/${BUN}`, ...profiled, ...loaded, "main.ts"];
  }

  async #server(command: readonly string[], cpu: number | null): Promise<Server> {
    const child = this.#spawn(command, { cpu });
    const out = new Lines(child.stdout!), err = new Lines(child.stderr!);
    const port = Number(await out.next(() => true).catch(() => `no port: ${err.last}`));
    if (Number.isNaN(port)) throw new Error(`Cannot start ${command.at(-1)}: ${err.last}`);
    return { pid: child.pid!, port, child };
  }

  #spawn(
    command: readonly string[],
    { cpu, cwd = HERE, env = {} }: { cpu: number | null; cwd?: string; env?: Record<string, string> },
  ) {
    // taskset becomes what it starts.
    const whole = cpu === null ? command : ["taskset", "-c", `${cpu}`, ...command];
    const missing = whole.slice(0, 1).concat(command[0]!).find((name) => Bun.which(name, { cwd }) === null);
    if (missing !== undefined) throw new Error(`Cannot start "${missing}": there is no such program`);
    const child = spawn(whole[0]!, whole.slice(1), { cwd, env: { ...process.env, ...env }, stdio: "pipe" });
    child.stdin.on("error", () => {});
    for (const all of [running, this.#own]) all.add(child);
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
    for (const all of [running, this.#own]) all.delete(child);
  }
}

/** Ends everything that still runs, at once. */
export function endAll(): void {
  for (const child of running) child.kill("SIGKILL");
  rmSync(WORK, { recursive: true, force: true });
}

/** The first and the last CPU that this process may use; null where there are not two, or no `taskset`. */
export function twoCpus(): Cpus | null {
  const { stdout, error } = spawnSync("taskset", ["-cp", `${process.pid}`], { encoding: "utf8" });
  const list = error === undefined ? /list: (\S+)/.exec(stdout)?.[1] : undefined;
  const numbers = list?.match(/\d+/g)?.map(Number) ?? [];
  const [load, server] = [numbers[0], numbers.at(-1)];
  if (load === undefined || server === undefined || load === server) return null;
  return { server, load, realtime: spawnSync("chrt", ["-f", "1", "true"]).status === 0 };
}

/** Whether a measurement is about the server, and about what it was meant to be. */
function* doubts(load: Load, result: LoadResult, firstStray: string): Iterable<string> {
  const { pace, fanout } = load;
  const { seconds, sent, received, serverCpuSeconds, loadCpuSeconds } = result;
  if (result.strays > 0) yield `unexpected messages, such as ${JSON.stringify(firstStray)}`;
  if (result.closed > 0) yield "the server ended sessions";
  const share = (used: number) => `${Math.round(used / seconds * 100)} %`;
  if (pace.kind === "closed" && loadCpuSeconds > serverCpuSeconds && loadCpuSeconds > 0.9 * seconds) {
    const shares = `(CPU ${share(loadCpuSeconds)}, server ${share(serverCpuSeconds)})`;
    yield `the generator was the bottleneck ${shares}: look at CPU per message`;
  }
  if (pace.kind !== "open" && pace.kind !== "closed") return;
  const publishers = pace.publishersPerGroup * load.groups;
  if (pace.kind === "open" && loadCpuSeconds > 0.75 * seconds) {
    yield `the generator was busy (CPU ${share(loadCpuSeconds)}): it delays what it measures`;
  }
  const due = pace.kind === "open" ? pace.perSecond * publishers * seconds : 0;
  if (sent < due * 0.95) yield `the generator fell behind: ${sent} sent of ${Math.round(due)}`;
  const expected = sent * (fanout ?? 0);
  // What is on its way at either end of the window belongs to no side of the sum.
  const underWay = pace.kind === "closed" ? pace.inFlight * publishers * (fanout ?? 0) : expected * 0.05;
  if (expected > 0 && Math.abs(received - expected) > expected * 0.05 + underWay) {
    yield `${received} deliveries of ${expected} expected`;
  }
}

/** The flags of the task `wsprism:deno`, so that the bench measures with the permissions that users run with. */
function denoFlags(root: string): string[] {
  const { command } = JSON.parse(readFileSync(`${root}/deno.json`, "utf8")).tasks["wsprism:deno"];
  const words: string[] = command.slice(0, command.indexOf("main.ts")).split(" ");
  return words.filter((word) => word.startsWith("-"))
    .map((word) => word === "--allow-read=." ? `${word},${WORK}` : word);
}

export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, "close");
  return port;
}
