// A file of 1,000 tenants, reloaded while sessions are served: how long it takes, and how long the loop is ever held up
// (README.md, "Reloads"). Starts the gateway with loop_watch.ts loaded into it, and one load generator beside it.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { parse, stringify } from "yaml";
import type { Load } from "./load_spec.ts";
import { residentBytes } from "./proc.ts";

const HELP = `deno run -A bench/reload.ts [options]
  --runtime bun|deno   what the gateway runs on (bun)
  --rounds N           reloads of each kind (5)
  --json FILE          where the numbers go (dist/reload.json)
`;

const BUN = "node_modules/bun/bin/bun.exe";
const CONFIG = "dist/reload.yaml";
const TENANTS = 1000;
const SESSIONS = 200;
/** Of each session. */
const PER_SECOND = 50;
/** Longest pause that is wanted, in milliseconds. */
const PAUSE_MS = 20;
/** Before and after a reload, for what it leaves behind to be collected. */
const SETTLE_MS = 500;

/** Beside the reloads: nothing at all, and the file checked by a process of its own, which is the machine's share. */
const CONTROLS = ["no reload", "checked beside it"] as const;
/** What differs between a file and the one before it. */
const KINDS = ["nothing", "one tenant", "all tenants", "half of them gone", "all of them back"] as const;
type Kind = typeof KINDS[number];

/** The file as the `round`th reload of a kind finds it. */
function configText(kind: Kind, round: number): string {
  const config = parse(readFileSync("bench/bench.yaml", "utf8"));
  const count = kind === "half of them gone" ? TENANTS / 2 : TENANTS;
  for (let n = 1; n < count; n++) {
    const changed = kind === "all tenants" || kind === "one tenant" && n === 1;
    config.tenants.push({
      id: `tenant-${n}`,
      auth: {
        mode: "jwt",
        jwt: { algorithms: ["HS256"], keys: [{ secret: `a secret of tenant ${n} that is its own` }] },
      },
      origins: [`https://tenant-${n}.example`, `https://*.tenant-${n}.example`],
      limits: { max_sessions_total: 5000, max_users_per_room: 200 },
      policy: {
        rate_limit_rps: changed ? 100 + round : 100,
        ext_allowlist: ["room:*", ...Array.from({ length: 10 }, (_, i) => `chat:type-${i}`)],
        hot_allowlist: ["1:*", "2:1", "2:2"],
        ...policyOf(n),
      },
      hot_services: [{ id: 1, kind: "echo" }, { id: 2, kind: "state", tick_ms: 50 }],
    });
  }
  // Within the 1 MiB that a file may have.
  return stringify(config, { indent: 1, lineWidth: 0 });
}

/** What some tenants have besides: one in three quotas and rules, one in ten a schema of its own too. */
function policyOf(n: number): object {
  if (n % 3 !== 0 && n % 10 !== 0) return {};
  const flood = {
    id: "chat-flood",
    match: { lane: "ext", service: "chat:type-1" },
    rate: { per: "user", messages_per_second: 5 },
    then: ["reject", { mute_ms: 1000 }, { ban_ms: 60_000 }],
  };
  const shots = {
    id: "shot-rate",
    match: { service: "2:1" },
    rate: { per: "session", messages_per_second: 10 },
  };
  const quotas = {
    session: { messages_per_second: 50, bytes_per_second: 65_536 },
    user: { messages_per_second: 100 },
    tenant: { messages_per_second: 5000, outbound_bytes_per_second: 10_000_000 },
  };
  if (n % 10 !== 0) return { quotas, rules: [flood, shots] };
  const schema = {
    type: "object",
    required: ["msg"],
    additionalProperties: false,
    properties: {
      msg: { type: "string", minLength: 1, maxLength: 100 + n, pattern: `^[^<>]*$` },
      to: { enum: ["all", `team-${n}`] },
      tags: { type: "array", maxItems: 8, items: { type: "string", maxLength: 20 } },
    },
  };
  const shape = {
    id: "shape",
    match: { lane: "ext", service: "chat:type-2" },
    schema_text: JSON.stringify(schema),
  };
  return { quotas, rules: [flood, shots, shape] };
}

const running = new Set<ChildProcess>();

function start(command: readonly string[], env: Readonly<Record<string, string>> = {}): ChildProcess {
  const child = spawn(command[0]!, command.slice(1), {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  running.add(child);
  child.on("close", () => running.delete(child));
  return child;
}

/** The next line of a stream that fulfils `wanted`. */
function awaiting(child: ChildProcess, stream: "stdout" | "stderr") {
  const lines = createInterface({ input: child[stream]! })[Symbol.asyncIterator]();
  return async (wanted: (line: string) => boolean = () => true): Promise<string> => {
    for (;;) {
      const { value, done } = await lines.next();
      if (done) throw new Error("Cannot go on: the gateway has ended");
      if (wanted(value)) return value;
    }
  };
}

interface Reload {
  readonly kind: Kind | typeof CONTROLS[number];
  /** As the gateway says. */
  readonly ms: number;
  readonly longestPauseMs: number;
}

function commandOf(runtime: string): readonly string[] {
  const start = ["start", "--config", CONFIG, "--dev", "--log-format", "json"];
  if (runtime === "deno") {
    return ["deno", "run", "-A", "--no-prompt", "--preload", "./bench/loop_watch.ts", "main.ts", ...start];
  }
  return [BUN, "--preload", "./bench/loop_watch.ts", "main.ts", ...start];
}

async function conduct(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      runtime: { type: "string", default: "bun" },
      rounds: { type: "string", default: "5" },
      json: { type: "string", default: "dist/reload.json" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  mkdirSync("dist", { recursive: true });
  writeFileSync(CONFIG, configText("nothing", 0));
  const gateway = start(commandOf(values.runtime), { WSPRISM_LISTEN: "127.0.0.1:0" });
  const logged = awaiting(gateway, "stdout"), pauses = awaiting(gateway, "stderr");
  const { port } = JSON.parse(await logged((line) => line.includes('"listening"')));
  const pid = gateway.pid!;
  const rounds = Number(values.rounds);
  const generator = generate({ port, pid, seconds: 10 + (CONTROLS.length + KINDS.length) * rounds * 8 });
  await delay(3000);
  const longestPause = async () => {
    process.kill(pid, "SIGUSR2");
    return Number(await pauses((line) => /^[\d.]+$/.test(line)));
  };
  const reloads: Reload[] = [];
  const memory = [residentBytes(pid)];
  for (let round = 1; round <= rounds; round++) {
    for (const kind of [...CONTROLS, ...KINDS] as const) {
      if (kind !== "no reload" && kind !== "checked beside it") {
        writeFileSync(`${CONFIG}.next`, configText(kind, round));
        renameSync(`${CONFIG}.next`, CONFIG);
      }
      await delay(SETTLE_MS);
      await longestPause();
      let ms = 0;
      if (kind === "no reload") await delay(1500);
      else if (kind === "checked beside it") {
        const since = performance.now();
        await once(start(["nice", BUN, "main.ts", "check", "--dev", "--config", CONFIG]), "close");
        ms = performance.now() - since;
      } else {
        process.kill(pid, "SIGHUP");
        const line = JSON.parse(await logged((text) => text.includes('"configuration reloaded"')));
        if (line.added === undefined) throw new Error(JSON.stringify(line));
        ms = line.ms;
      }
      await delay(SETTLE_MS);
      reloads.push({ kind, ms, longestPauseMs: await longestPause() });
    }
    memory.push(residentBytes(pid));
  }
  generator.kill("SIGKILL");
  gateway.kill("SIGKILL");
  await once(gateway, "close");
  const machine = { cpu: cpus()[0]?.model ?? "", cpus: cpus().length };
  print(reloads, memory);
  const document = { at: new Date().toISOString(), machine, runtime: values.runtime, reloads, memory };
  writeFileSync(values.json, `${JSON.stringify(document, null, 2)}\n`);
}

/** Sessions of one tenant that echo, for so long. */
function generate({ port, pid, seconds }: { port: number; pid: number; seconds: number }): ChildProcess {
  const load: Load = {
    port,
    serverPid: pid,
    path: "/v1/ws?tenant=bench&ticket=dev:u%d",
    sessions: SESSIONS,
    groups: SESSIONS,
    init: [],
    readyText: '"type":"authed"',
    pace: { kind: "open", publishersPerGroup: 1, perSecond: PER_SECOND },
    message: { kind: "binary", prefix: [1, 1, 1, 0], payloadBytes: 64, answerStampAt: 0 },
    slow: null,
    probe: null,
    metricsPath: null,
    fanout: 1,
    sampleEvery: 1,
    warmupSeconds: 1,
    seconds,
  };
  return start([BUN, "bench/load.ts", JSON.stringify(load)]);
}

function print(reloads: readonly Reload[], memory: readonly number[]): void {
  const rows = [["the file changes in", "ms, median", "longest pause, ms: median", "max", "wanted"]];
  for (const kind of [...CONTROLS, ...KINDS] as const) {
    const own = reloads.filter((reload) => reload.kind === kind);
    const sorted = (key: "ms" | "longestPauseMs") =>
      own.map((reload) => reload[key]).toSorted((a, b) => a - b);
    const pauses = sorted("longestPauseMs");
    rows.push([
      kind,
      kind === "no reload" ? "" : sorted("ms")[own.length >> 1]!.toFixed(0),
      pauses[own.length >> 1]!.toFixed(1),
      pauses.at(-1)!.toFixed(1),
      (CONTROLS as readonly string[]).includes(kind) ? "" : pauses.at(-1)! <= PAUSE_MS ? "yes" : "NO",
    ]);
  }
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  for (const row of rows) {
    process.stdout.write(
      `${
        row.map((cell, at) => at === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[at]!)).join("  ")
      }\n`,
    );
  }
  process.stdout.write(`resident MiB: ${memory.map((bytes) => (bytes / 2 ** 20).toFixed(0)).join(" → ")}\n`);
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
