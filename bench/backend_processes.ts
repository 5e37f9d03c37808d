// Starts and ends what backend.ts measures: gateways with configurations of their own, the backend and the generators, each a
// process, on its own CPU where `taskset` can see to it.

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";
import { parse, stringify } from "yaml";

const BUN = "node_modules/bun/bin/bun.exe";
/** Of the admin API; and of signatures. */
const SECRET = "a-secret-of-the-bench-of-more-than-32-bytes";

/** What the backend's services take to answer, in milliseconds; service `s10` is one of them. */
export const LATENCIES = [1, 10, 100] as const;
/** Opens the admin API. */
export const AUTHORIZATION: string = `Bearer ${SECRET}`;

const running = new Set<ChildProcess>();
const [LOAD_CPU, SERVER_CPU] = twoCpus();

/** Whether gateways and generators have a CPU each. */
export const PINNED: boolean = LOAD_CPU !== null;

/** The first and the last CPU that this process may use; null for both where there is one, or no `taskset`. */
function twoCpus(): readonly [number | null, number | null] {
  const { stdout, error } = spawnSync("taskset", ["-cp", `${process.pid}`], { encoding: "utf8" });
  const numbers = error === undefined
    ? /list: (\S+)/.exec(stdout)?.[1]?.match(/\d+/g)?.map(Number) ?? []
    : [];
  const [first, last] = [numbers[0], numbers.at(-1)];
  return first === undefined || last === undefined || first === last ? [null, null] : [first, last];
}

function start(command: readonly string[], cpu: number | null, env: Readonly<Record<string, string>> = {}) {
  const whole = cpu === null ? command : ["taskset", "-c", `${cpu}`, ...command];
  const child = spawn(whole[0]!, whole.slice(1), {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  running.add(child);
  child.on("close", () => running.delete(child));
  return child;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const closed = once(child, "close");
  child.kill("SIGKILL");
  await closed;
}

/** Runs a generator to its end. */
export async function generate<T>(file: string, load: object): Promise<T> {
  const child = start([BUN, file, JSON.stringify(load)], LOAD_CPU);
  let out = "";
  child.stdout!.on("data", (text) => out += text);
  await once(child, "close");
  if (child.exitCode !== 0) throw new Error(`${file} failed`);
  return JSON.parse(out);
}

/** A running gateway. */
export interface Gateway {
  readonly pid: number;
  readonly port: number;
  readonly adminPort: number;
  stop(): Promise<void>;
}

/** What differs from bench.yaml. */
export interface Changes {
  readonly backendPort: number;
  readonly webhook?: readonly string[];
  /** Whether the gateway may use all CPUs: for what its threads do beside the loop. */
  readonly free?: boolean;
}

let gateways = 0;

export async function startGateway(command: readonly string[], changes: Changes): Promise<Gateway> {
  const name = `dist/backend-${process.pid}-${++gateways}`;
  const config = parse(readFileSync("bench/bench.yaml", "utf8"));
  const url = (path: string) => `http://127.0.0.1:${changes.backendPort}${path}`;
  const [tenant] = config.tenants;
  config.gateway.listen = "127.0.0.1:0";
  config.admin = {
    listen: "127.0.0.1:0",
    keys: [{
      id: "bench",
      secret: SECRET,
      tenants: ["*"],
      permissions: ["read", "publish"],
      rps: 1e9,
      burst: 1e9,
    }],
  };
  for (const ms of LATENCIES) {
    tenant.policy.ext_allowlist.push(`s${ms}:*`);
    const http = { url: url(`/service/${ms}`), secret: SECRET, max_concurrent: 512, max_queued: 100_000 };
    tenant.services.push({ svc: `s${ms}`, http });
  }
  if (changes.webhook !== undefined) {
    config.gateway.state_dir = `./${name.slice("dist/".length)}.state`;
    tenant.webhooks = [{ id: "bench", url: url("/hooks"), secret: SECRET, events: changes.webhook }];
  }
  mkdirSync("dist", { recursive: true });
  writeFileSync(`${name}.yaml`, stringify(config));
  const child = start(
    [...command, "start", "--config", `${name}.yaml`, "--dev", "--log-format", "json"],
    changes.free ? null : SERVER_CPU,
  );
  let adminPort = 0;
  for await (const line of createInterface({ input: child.stdout! })) {
    const { message, port } = JSON.parse(line);
    if (message === "admin listening") adminPort = port;
    if (message !== "listening") continue;
    child.stdout!.resume();
    const stop = async () => {
      await end(child);
      rmSync(`${name}.yaml`);
      rmSync(`${name}.state`, { recursive: true, force: true });
    };
    // taskset becomes what it starts.
    return { pid: child.pid!, port, adminPort, stop };
  }
  throw new Error("Cannot go on: the gateway has ended");
}

/** Starts the backend of backend_server.ts. */
export async function startBackend(): Promise<
  { port: number; events: () => Promise<number>; stop: () => Promise<void> }
> {
  const child = start([BUN, "bench/backend_server.ts"], LOAD_CPU);
  const [text] = await once(child.stdout!, "data");
  const port = Number(`${text}`);
  const events = async () => await (await fetch(`http://127.0.0.1:${port}/events`)).json();
  return { port, events, stop: () => end(child) };
}

/** The sum of one of the gateway's metrics. */
export async function metric(gateway: Gateway, name: string): Promise<number> {
  const headers = { authorization: AUTHORIZATION };
  const text = await (await fetch(`http://127.0.0.1:${gateway.adminPort}/metrics`, { headers })).text();
  const lines = text.split("\n").filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" ") + 1)), 0);
}

/** Ends all that still runs. */
export function endAll(): void {
  for (const child of running) child.kill("SIGKILL");
}
