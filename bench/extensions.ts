// What extensions cost: calls of one without a gateway (extension_calls.ts), and a gateway's messages with and without
// scripts and plugins (README.md, "Extensions"). One server and one load generator at a time.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import process from "node:process";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { parse, stringify } from "yaml";
import type { CallsResult } from "./extension_calls.ts";
import type { Load, LoadResult } from "./load_spec.ts";

const HELP = `deno task bench's flags, and bench/extensions.ts [options]
  --only calls|gateway   one half
  --seconds N            of each measurement (5)
  --rounds N             of the gateway's, which take turns (3)
  --json FILE            where the numbers go (dist/extensions.json)
`;

const BUN = "node_modules/bun/bin/bun.exe";
const FOLDER = "dist/extensions";
const CONFIG = `${FOLDER}/wsprism.yaml`;
const MIB = 2 ** 20;
/** With one message in flight each: a session's messages to an extension are called one after the other. */
const SESSIONS = 200;
/** Longest that a program may run. */
const PROGRAM_MS = 120_000;

const ECHO = "export default { onMessage(message) { return message.data; } };\n";
const PASS = "export default { onIngress() {} };\n";

/** Each session in a room of its own: a message in, a message out. */
interface Way {
  readonly title: string;
  readonly tenant: string;
  readonly template: string;
}

const chat = '{"v":1,"svc":"chat","type":"send","room":"r%g","data":{"msg":"@"}}';
const WAYS = {
  chat: { title: "built-in chat, tenant without extensions", tenant: "bare", template: chat },
  chatBeside: { title: "built-in chat, tenant with a script", tenant: "scripts", template: chat },
  plugin: { title: "built-in chat behind a plugin that passes it", tenant: "plugged", template: chat },
  script: {
    title: "a script that echoes",
    tenant: "scripts",
    template: '{"v":1,"svc":"echo","type":"say","seq":1,"data":{"msg":"@"}}',
  },
} as const satisfies Record<string, Way>;
type WayName = keyof typeof WAYS;

const running = new Set<ChildProcess>();

function start(command: readonly string[], env: Readonly<Record<string, string>> = {}): ChildProcess {
  const child = spawn(command[0]!, command.slice(1), {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  running.add(child);
  child.on("close", () => running.delete(child));
  return child;
}

/** Runs a program to its end. @returns the object that it prints */
async function told<T>(command: readonly string[]): Promise<T> {
  const child = start(command);
  let text = "";
  child.stdout!.on("data", (chunk) => text += chunk);
  const late = setTimeout(() => child.kill("SIGKILL"), PROGRAM_MS);
  await once(child, "close");
  clearTimeout(late);
  if (child.exitCode !== 0) throw new Error(`${command[1]} failed`);
  return JSON.parse(text);
}

/** bench.yaml with three tenants: one bare, one with a script, one with a script and a plugin. */
function writeConfig(): void {
  mkdirSync(FOLDER, { recursive: true });
  writeFileSync(`${FOLDER}/echo.ts`, ECHO);
  writeFileSync(`${FOLDER}/pass.ts`, PASS);
  const config = parse(readFileSync("bench/bench.yaml", "utf8"));
  const [tenant] = config.tenants;
  const policy = { ...tenant.policy, ext_allowlist: ["room:*", "chat:*", "echo:*"] };
  const echo = { svc: "echo", worker: "./echo.ts", limits: { max_pending: 100_000 } };
  const pass = {
    id: "pass",
    match: { service: "chat:*" },
    worker: "./pass.ts",
    limits: { max_pending: 100_000 },
  };
  config.tenants = [
    { ...tenant, policy, id: "bare" },
    { ...tenant, policy, id: "scripts", services: [...tenant.services, echo] },
    { ...tenant, policy, id: "plugged", plugins: [pass] },
  ];
  writeFileSync(CONFIG, stringify(config));
}

async function measureGateway(way: Way, sessions: number, seconds: number): Promise<LoadResult> {
  const gateway = start(
    [BUN, "main.ts", "start", "--config", CONFIG, "--dev", "--log-format", "json"],
    { WSPRISM_LISTEN: "127.0.0.1:0" },
  );
  let port = 0;
  for await (const line of createInterface({ input: gateway.stdout! })) {
    if (!line.includes('"listening"')) continue;
    port = JSON.parse(line).port;
    break;
  }
  gateway.stdout!.resume();
  const load: Load = {
    port,
    serverPid: gateway.pid!,
    path: `/v1/ws?tenant=${way.tenant}&ticket=dev:u%d`,
    sessions,
    groups: sessions,
    init: ['{"v":1,"svc":"room","type":"join","room":"r%g"}'],
    readyText: '"type":"joined"',
    pace: { kind: "closed", publishersPerGroup: 1, inFlight: 1 },
    message: { kind: "text", template: way.template, payloadBytes: 64 },
    slow: null,
    probe: null,
    metricsPath: null,
    fanout: 1,
    sampleEvery: 1,
    warmupSeconds: 2,
    seconds,
  };
  const result = await told<LoadResult>([BUN, "bench/load.ts", JSON.stringify(load)]);
  gateway.kill("SIGKILL");
  await once(gateway, "close");
  if (result.strays > 0) throw new Error(`${way.title}: ${result.firstStray}`);
  return result;
}

interface GatewayRow {
  readonly way: WayName;
  readonly perSecond: number;
  readonly cpuMicros: number;
  /** Of one session with one message in flight. */
  readonly p50Micros: number;
  readonly p99Micros: number;
}

async function gatewayRows(rounds: number, seconds: number): Promise<GatewayRow[]> {
  writeConfig();
  const rows: GatewayRow[] = [];
  for (let round = 0; round < rounds; round++) {
    for (const way of Object.keys(WAYS) as WayName[]) {
      const many = await measureGateway(WAYS[way], SESSIONS, seconds);
      const alone = await measureGateway(WAYS[way], 1, seconds);
      rows.push({
        way,
        perSecond: many.received / many.seconds,
        cpuMicros: many.serverCpuSeconds * 1e6 / many.received,
        p50Micros: alone.p50Micros,
        p99Micros: alone.p99Micros,
      });
    }
  }
  return rows;
}

/** A line of the report: what, the number, what is wanted. */
type Row = readonly [what: string, number: string, wanted: string];

function judged(is: boolean, wanted: string): string {
  return `${is ? "yes" : "NO"} (${wanted})`;
}

function callRows({ kind, ...result }: CallsResult): Row[] {
  const perSecond = Math.round(result.callsPerSecond).toLocaleString("en-US");
  const fast = result.callsPerSecond >= 1e5;
  return [
    [`${kind}: calls/s, 1000 under way`, perSecond, kind === "script" ? judged(fast, "≥ 100,000") : ""],
    [`${kind}: CPU of both processes for a call, µs`, result.cpuMicros.toFixed(1), ""],
    [`${kind}: one at a time, p50 µs`, `${result.p50Micros}`, ""],
    [`${kind}: one at a time, p99 µs`, `${result.p99Micros}`, ""],
    [
      `${kind}: host with one, until its first answer, ms`,
      result.coldMs.toFixed(0),
      judged(result.coldMs <= 200, "≤ 200"),
    ],
    [`${kind}: a further one, ms`, result.furtherMs.toFixed(0), ""],
    [`${kind}: memory of a host with one, MiB`, (result.hostBytes / MIB).toFixed(0), ""],
    [`${kind}: memory of a further one, MiB`, (result.workerBytes / MIB).toFixed(0), ""],
  ];
}

function reportRows(rows: readonly GatewayRow[]): Row[] {
  const median = (way: WayName, key: Exclude<keyof GatewayRow, "way">) => {
    const values = rows.filter((row) => row.way === way).map((row) => row[key]).toSorted((a, b) => a - b);
    return values[values.length >> 1]!;
  };
  const report: Row[] = [];
  for (const way of Object.keys(WAYS) as WayName[]) {
    const { title } = WAYS[way];
    const cpu = median(way, "cpuMicros"), p50 = median(way, "p50Micros");
    const share = median("chat", "cpuMicros") / cpu, added = p50 - median("chat", "p50Micros");
    const isScript = way === "script";
    report.push(
      [`${title}: messages/s`, Math.round(median(way, "perSecond")).toLocaleString("en-US"), ""],
      [`${title}: CPU for a message, µs`, cpu.toFixed(1), ""],
      [
        `${title}: chat's CPU in terms of that`,
        share.toFixed(2),
        isScript ? judged(share >= 0.4, "≥ 0.40") : "",
      ],
      [
        `${title}: p50 / p99 of one alone, µs`,
        `${p50.toFixed(0)} / ${median(way, "p99Micros").toFixed(0)}`,
        way === "chat"
          ? ""
          : `${added >= 0 ? "+" : ""}${added.toFixed(0)} at p50${
            isScript ? `, ${judged(added <= 300, "≤ 300")}` : ""
          }`,
      ],
    );
  }
  return report;
}

function print(rows: readonly Row[]): void {
  const widths = [0, 1].map((column) => Math.max(...rows.map((row) => row[column]!.length)));
  for (const [what, number, wanted] of rows) {
    process.stdout.write(
      `${what.padEnd(widths[0]!)}  ${number.padStart(widths[1]!)}  ${wanted}`.trimEnd() + "\n",
    );
  }
}

async function conduct(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      only: { type: "string" },
      seconds: { type: "string", default: "5" },
      rounds: { type: "string", default: "3" },
      json: { type: "string", default: "dist/extensions.json" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  mkdirSync("dist", { recursive: true });
  const seconds = Number(values.seconds);
  const calls: CallsResult[] = [];
  if (values.only !== "gateway") {
    for (const kind of ["script", "wasm"]) {
      calls.push(await told<CallsResult>([BUN, "bench/extension_calls.ts", kind, `${seconds}`]));
    }
  }
  const rows = values.only === "calls" ? [] : await gatewayRows(Number(values.rounds), seconds);
  print([...calls.flatMap(callRows), ...(rows.length === 0 ? [] : reportRows(rows))]);
  const machine = { cpu: cpus()[0]?.model ?? "", cpus: cpus().length };
  writeFileSync(
    values.json,
    `${JSON.stringify({ at: new Date().toISOString(), machine, calls, rows }, null, 2)}\n`,
  );
}

try {
  await conduct(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
} finally {
  for (const child of running) child.kill("SIGKILL");
}
process.exit();
