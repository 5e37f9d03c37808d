// A gateway as its users have it: a process of its own, started from a configuration file on a free port of
// 127.0.0.1, seen only through its sockets, its HTTP, its log and its exit code. `WSPRISM_TARGET` says which
// one: `bun` (the default), `deno`, `deno-native` or `executable` (dist/wsprism, or what `WSPRISM_EXECUTABLE` names).

import assert from "node:assert/strict";
import type { Buffer } from "node:buffer";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { type Peer, RawClient, within } from "../raw_client.ts";
import { Metrics } from "./metrics_text.ts";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");

const TARGETS = ["bun", "deno", "deno-native", "executable"] as const;
export type Target = typeof TARGETS[number];

/** The target of this run. */
export const TARGET: Target = targetOf(process.env["WSPRISM_TARGET"] ?? "bun");

/** What the target's transport cannot do, as src/transport/port.ts and docs name it. */
export const NATIVE_DENO: boolean = TARGET === "deno-native";

/** Every gateway of this run frames by itself: `WSPRISM_TRANSPORT=raw`, on Bun. */
export const RAW: boolean = process.env["WSPRISM_TRANSPORT"] === "raw";

/** How long a process may take to start, how long to end, and to read its configuration anew, on a machine that is busy. */
const PROCESS_MS = 30_000;

/** Variables of this process that no gateway is to see. */
const OURS = /^(WSPRISM_|PORT$|NO_COLOR$|FORCE_COLOR$)/;

export interface LogLine {
  readonly level: string;
  readonly message: string;
  readonly [field: string]: unknown;
}

export interface StartOptions {
  /** Further arguments of `start`, after --config, --dev and --log-format. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Whether it is started with --dev; true when absent. */
  readonly dev?: boolean;
  /** Lines on stderr that are no fault. */
  readonly mayComplain?: boolean;
  /** Files beside the configuration, by name. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
  /** The certificate that the gateway has, where it speaks TLS. */
  readonly ca?: string;
  /** A folder for its state that outlives it. */
  readonly keeps?: string;
  /** What it runs on, where this run's target cannot do what is tested. */
  readonly target?: Target;
  /** The most file descriptors that it may have. */
  readonly descriptors?: number | undefined;
}

/** A command of wsPrism that has ended. */
export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Log lines about a reload. */
const RELOADED = /^(configuration reloaded|reload refused)/;

const children = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of children) child.kill("SIGKILL");
});

function targetOf(text: string): Target {
  const target = TARGETS.find((known) => known === text);
  if (target === undefined) {
    throw new Error(`WSPRISM_TARGET must be one of ${TARGETS.join(", ")}, got "${text}"`);
  }
  return target;
}

/** The command line that runs `wsprism` on the target; Deno may read no more than the project and these folders. */
export function commandOf(...folders: readonly string[]): readonly string[] {
  return commandOn(TARGET, folders);
}

function commandOn(target: Target, folders: readonly string[]): readonly string[] {
  switch (target) {
    case "bun":
      return [
        `${ROOT}/node_modules/bun/bin/bun.exe`,
        "--no-env-file",
        "--config=/dev/null",
        `${ROOT}/main.ts`,
      ];
    case "deno":
    case "deno-native":
      return [
        "deno",
        "run",
        "--no-prompt",
        "--allow-net",
        `--allow-read=${[ROOT, ...folders].join(",")}`,
        `--allow-write=${folders.join(",")}`,
        "--allow-env=WSPRISM_*,PORT,WS_NO_BUFFER_UTIL,LOG_TOKENS,LOG_STREAM,NODE_*,DENO_*,SSLKEYLOGFILE",
        `--allow-run=${process.execPath}`,
        `${ROOT}/main.ts`,
      ];
    case "executable":
      return [process.env["WSPRISM_EXECUTABLE"] ?? `${ROOT}/dist/wsprism`];
  }
}

function launch(
  args: readonly string[],
  { folder, keeps, env = {}, stdin, descriptors, target = TARGET }: {
    folder: string;
    target?: Target | undefined;
    descriptors?: number | undefined;
    keeps?: string | undefined;
    env?: Readonly<Record<string, string>> | undefined;
    stdin?: string;
  },
): ChildProcess {
  const command = commandOn(target, [folder, ...(keeps === undefined ? [] : [keeps])]);
  const limited = ["sh", "-c", `ulimit -n ${descriptors} && exec "$@"`, "sh"];
  const [file, ...before] = descriptors === undefined ? command : [...limited, ...command];
  const inherited = Object.entries(process.env).filter(([name]) => !OURS.test(name));
  const child = spawn(file!, [...before, ...args], {
    cwd: folder,
    env: { ...Object.fromEntries(inherited), NO_COLOR: "1", ...env } as Record<string, string>,
    stdio: [stdin === undefined ? "ignore" : "pipe", "pipe", "pipe"],
  });
  child.stdin?.end(stdin);
  children.add(child);
  child.once("exit", () => children.delete(child));
  return child;
}

/** A folder of its own for a test's files, gone when `dispose` is called. */
export class Folder {
  readonly path: string = mkdtempSync(join(tmpdir(), "wsprism-flow-"));

  write(name: string, content: string | Uint8Array): string {
    const path = join(this.path, name);
    writeFileSync(path, content);
    return path;
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** How a verb is run. */
export interface RunOptions {
  readonly folder: string;
  /** What it reads; nothing when absent. */
  readonly stdin?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Ends the process with SIGTERM once this resolves, or once stdout is as this. */
  readonly endWhen?: RegExp | ((ended: () => boolean) => Promise<unknown>);
}

/** What Deno says when several of its processes start at the same time; not ours. */
const DENO_WAITS = /^Blocking waiting for file lock on node_modules directory\n/gm;

/** Runs a verb to its end, in `folder`. */
export async function wsprism(args: readonly string[], options: RunOptions): Promise<Ended> {
  const { endWhen } = options;
  const child = launch(args, options);
  let stdout = "", stderr = "", over = false, told = false;
  const end = () => {
    if (over || told) return;
    told = true;
    process.kill(child.pid!, "SIGTERM");
  };
  child.stdout!.on("data", (chunk: Buffer) => {
    stdout += chunk.toString();
    if (endWhen instanceof RegExp && endWhen.test(stdout)) end();
  });
  child.stderr!.on("data", (chunk: Buffer) => stderr += chunk.toString());
  const closed = new Promise<number>((resolve) => child.once("close", (code) => resolve(code ?? -1)));
  void closed.then(() => over = true);
  try {
    if (typeof endWhen === "function") void endWhen(() => over).then(end, end);
    const code = await within(closed, `the end of wsprism ${args.join(" ")}`, PROCESS_MS);
    return { code, stdout, stderr: stderr.replace(DENO_WAITS, "") };
  } finally {
    child.kill("SIGKILL");
  }
}

/** A running gateway. */
export class GatewayProcess {
  readonly lines: LogLine[] = [];
  readonly pid: number;
  /** The exit code, or -1 after a signal that was not handled. */
  readonly exited: Promise<number>;
  stderr = "";
  port = 0;
  /** What clients trust; null without TLS. */
  ca: string | null;
  readonly #child: ChildProcess;
  readonly #folder: Folder;
  readonly #mayComplain: boolean;
  #rest = "";
  #ended = false;
  #waiting: (() => void)[] = [];

  /**
   * Starts a gateway and waits until it listens.
   * @param config as in a file; `gateway.listen` is a free port of 127.0.0.1 unless it says otherwise
   */
  static async start(config: object, options: StartOptions = {}): Promise<GatewayProcess> {
    return await GatewayProcess.startText(configText(config), options);
  }

  /** Starts a gateway on a configuration as it stands in a file, and waits until it listens. */
  static async startText(config: string, options: StartOptions = {}): Promise<GatewayProcess> {
    const started = new GatewayProcess(config, options);
    try {
      const line = await started.logged("listening", () => true, PROCESS_MS);
      started.port = line["port"] as number;
      return started;
    } catch (error) {
      const said = started.lines.slice(-20).map((line) => JSON.stringify(line)).join("\n");
      const state = started.systemState();
      await started.kill();
      throw new Error(`${(error as Error).message}; it said:\n${said}\n${started.stderr}\n${state}`);
    }
  }

  private constructor(config: string, options: StartOptions) {
    const {
      args = [],
      env,
      mayComplain = false,
      files = {},
      ca = null,
      dev = true,
      keeps,
      descriptors,
      target,
    } = options;
    this.#folder = new Folder();
    this.ca = ca;
    for (const [name, text] of Object.entries(files)) this.#folder.write(name, text);
    this.#mayComplain = mayComplain;
    const file = this.#folder.write("wsprism.yaml", config);
    const kind = NATIVE_DENO ? "native" : RAW ? "raw" : null;
    const transport = kind === null || args.includes("--transport") ? [] : ["--transport", kind];
    this.#child = launch(
      ["start", "--config", file, ...(dev ? ["--dev"] : []), "--log-format", "json", ...transport, ...args],
      { folder: this.#folder.path, keeps, env, descriptors, target },
    );
    this.pid = this.#child.pid!;
    this.exited = new Promise((resolve) => {
      this.#child.once("close", (code) => {
        this.#ended = true;
        this.#wake();
        resolve(code ?? -1);
      });
    });
    this.#child.stdout!.on("data", (chunk: Buffer) => this.#read(chunk.toString()));
    this.#child.stderr!.on("data", (chunk: Buffer) => {
      this.stderr = (this.stderr + chunk.toString()).replace(DENO_WAITS, "");
    });
  }

  get origin(): string {
    return `${this.ca === null ? "http" : "https"}://127.0.0.1:${this.port}`;
  }

  /** Where raw clients connect. */
  get peer(): Peer {
    return this.ca === null ? { port: this.port } : { port: this.port, ca: this.ca };
  }

  /** Where its configuration stands. */
  get folder(): string {
    return this.#folder.path;
  }

  /** The log as text, for what must not be in it. */
  get logText(): string {
    return this.lines.map((line) => JSON.stringify(line)).join("\n");
  }

  /** The first line with this message that fulfils `matches`, written already or to come. */
  async logged(
    message: string,
    matches: (line: LogLine) => boolean = () => true,
    deadlineMs?: number,
  ): Promise<LogLine> {
    let seen = 0;
    const search = async (): Promise<LogLine> => {
      for (;;) {
        for (; seen < this.lines.length; seen++) {
          const line = this.lines[seen]!;
          if (line.message === message && matches(line)) return line;
        }
        if (this.#ended) throw new Error(`the gateway ended without logging "${message}": ${this.stderr}`);
        await new Promise<void>((resolve) => this.#waiting.push(resolve));
      }
    };
    return await within(search(), `the log line "${message}"`, deadlineMs);
  }

  /** An HTTP answer of the gateway. */
  async get(path: string): Promise<{ status: number; headers: Headers; body: string }> {
    if (this.ca !== null) return await this.#getSecurely(path);
    const answer = await within(fetch(`${this.origin}${path}`), `the answer to GET ${path}`);
    return { status: answer.status, headers: answer.headers, body: await answer.text() };
  }

  // What `fetch` trusts is told differently on each runtime.
  async #getSecurely(path: string): Promise<{ status: number; headers: Headers; body: string }> {
    const client = await RawClient.connect(this.peer);
    client.send(`GET ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n`);
    const head = await client.head();
    const body = head.headers.has("transfer-encoding")
      ? unchunked(await client.rest())
      : await client.body(head);
    client.destroy();
    return { status: head.status, headers: new Headers([...head.headers]), body };
  }

  async metrics(): Promise<Metrics> {
    return new Metrics((await this.get("/metrics")).body);
  }

  /** Scrapes until the metrics are as wished. */
  async metricsUntil(
    what: string,
    wished: (metrics: Metrics) => boolean,
    deadlineMs?: number,
  ): Promise<Metrics> {
    return await until(what, async () => {
      const metrics = await this.metrics();
      return wished(metrics) ? metrics : null;
    }, deadlineMs);
  }

  /** Waits until nobody is left, and nothing of anybody. */
  async empty(deadlineMs?: number): Promise<void> {
    await this.metricsUntil(
      "sessions and rooms to be gone",
      (metrics) => metrics.sum("wsprism_ws_sessions_active") + metrics.sum("wsprism_rooms_active") === 0,
      deadlineMs,
    );
  }

  /** Resident memory in bytes. */
  residentBytes(): number {
    // Through a program, for Deno keeps /proc from all but --allow-all.
    const status = execFileSync("cat", [`/proc/${this.pid}/status`], { encoding: "utf8" });
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)![1]) * 1024;
  }

  /** What the system says of its threads, for a start that does not come. */
  systemState(): string {
    try {
      const script =
        `for t in /proc/${this.pid}/task/*; do echo "$(cat $t/comm) $(cat $t/wchan) $(cut -d' ' -f3,14,15 $t/stat)"; done`;
      return execFileSync("sh", ["-c", script], { encoding: "utf8" });
    } catch (error) {
      return String(error);
    }
  }

  /** Ends the gateway as a crash does, without a word; its own folder stays until `kill`. */
  async crash(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.exited;
  }

  /** Puts another configuration in the place of its file, as editors do: whole, by its name. */
  rewrite(config: object | string): void {
    const text = typeof config === "string" ? config : configText(config);
    renameSync(this.#folder.write("next.yaml", text), join(this.#folder.path, "wsprism.yaml"));
  }

  /** Reloads another configuration by SIGHUP. @returns the log line that tells what came of it */
  async reload(config: object | string): Promise<LogLine> {
    const from = this.lines.length;
    this.rewrite(config);
    this.signal("SIGHUP");
    return await this.reloaded(from);
  }

  /** The next line, from this one on, that tells what came of a reload. */
  async reloaded(from: number, deadlineMs: number = PROCESS_MS): Promise<LogLine> {
    return await until("the reload", () => {
      return this.lines.slice(from).find(({ message }) => RELOADED.test(message)) ?? null;
    }, deadlineMs);
  }

  signal(signal: "SIGTERM" | "SIGINT" | "SIGHUP"): void {
    // Not `child.kill`, after which Deno reports the signal in the place of the exit code.
    if (!this.#ended) process.kill(this.pid, signal);
  }

  /** Ends the gateway as an operator does, and fails when it ended badly or had complained before. */
  async stop(): Promise<void> {
    this.signal("SIGTERM");
    try {
      assert.equal(await within(this.exited, "the gateway's end", PROCESS_MS), 0, this.stderr);
    } finally {
      await this.kill();
    }
    this.assertNoComplaint();
  }

  /** Fails when anything was written to stderr or logged as an error. */
  assertNoComplaint(): void {
    if (this.#mayComplain) return;
    assert.equal(this.stderr, "");
    assert.deepEqual(this.lines.filter(({ level }) => level === "ERROR" || level === "FATAL"), []);
  }

  async kill(): Promise<void> {
    if (!this.#ended) this.#child.kill("SIGKILL");
    await this.exited;
    this.#folder[Symbol.dispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  #read(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop()!;
    for (const line of lines) this.lines.push(JSON.parse(line) as LogLine);
    this.#wake();
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}

/**
 * A gateway for all tests of a file. Ask for it before the first test, and call `lastly` after the last one: what
 * fails in an `after` goes unseen on Deno, so the gateway's end is a test of its own.
 */
export async function sharedGateway(config: object, options: StartOptions = {}): Promise<GatewayProcess> {
  const gateway = await GatewayProcess.start(config, options);
  after(() => gateway.kill());
  return gateway;
}

/** Waits until so many extensions take calls, so that what is measured is not their start. */
export async function extensionsReady(gateway: GatewayProcess, count: number): Promise<void> {
  await gateway.metricsUntil(
    `${count} extensions`,
    (metrics) => metrics.sum("wsprism_extension_up") === count,
    PROCESS_MS,
  );
}

/** Registers the last test of a file. */
export function lastly(gateway: GatewayProcess): void {
  test("at the end nobody is left, nothing was complained of, and the gateway stops with exit code 0", async () => {
    await gateway.empty();
    await gateway.stop();
  });
}

/** A configuration as text, JSON being YAML. */
export function configText(config: object): string {
  const { gateway = {}, ...others } = config as { gateway?: object };
  return JSON.stringify({ version: 1, gateway: { listen: "127.0.0.1:0", ...gateway }, ...others }, null, 1);
}

function unchunked(text: string): string {
  const size = parseInt(text, 16);
  const start = text.indexOf("\r\n") + 2;
  return size > 0 ? text.slice(start, start + size) + unchunked(text.slice(start + size + 2)) : "";
}

/** Asks until the answer is not null; fails with `what` after the deadline. */
export async function until<T>(
  what: string,
  ask: () => T | null | Promise<T | null>,
  deadlineMs?: number,
): Promise<T> {
  let given = false;
  const asking = async (): Promise<T> => {
    for (;;) {
      const answer = await ask();
      if (answer !== null) return answer;
      if (given) throw new Error("given up");
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  try {
    return await within(asking(), what, deadlineMs);
  } finally {
    given = true;
  }
}
