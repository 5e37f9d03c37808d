// Calls of an extension without a gateway around it: the gateway's own side of it in this process, on Bun, and a real host
// behind its walls. Prints one JSON object. Started by extensions.ts.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { Extension } from "../src/extension/extension.ts";
import { ExtensionLog } from "../src/extension/extension_log.ts";
import { ExtensionMetrics } from "../src/extension/extension_metrics.ts";
import { LOOK_MS } from "../src/extension/host.ts";
import { HostPool } from "../src/extension/host_pool.ts";
import { launchHost } from "../src/extension/launch.ts";
import type { Program } from "../src/program/messages.ts";
import { Inflow } from "../src/outbound/inflow.ts";
import { RequestBroker } from "../src/extension/request_broker.ts";
import { SessionTexts } from "../src/extension/session_texts.ts";
import { prepareScript, prepareWasm } from "../src/program/source.ts";
import { SILENT } from "../src/log.ts";
import type { Context } from "../src/service/service.ts";
import { buildWasm } from "../tests/extension/assembly_script.ts";
import { Latency } from "./generator/latency.ts";
import { cpuSeconds, descendants, residentBytes } from "./proc.ts";

/** What is measured of a kind of extension. Times are in milliseconds or microseconds, as named. */
export interface CallsResult {
  readonly kind: "script" | "wasm";
  /** Until the first answer, of a host with one extension, and of a further extension in it. */
  readonly coldMs: number;
  readonly furtherMs: number;
  readonly callsPerSecond: number;
  /** CPU of both processes for one call. */
  readonly cpuMicros: number;
  readonly p50Micros: number;
  readonly p99Micros: number;
  /** Resident, of a host with one extension, and what each further one adds. */
  readonly hostBytes: number;
  readonly workerBytes: number;
}

const SCRIPT = "export default { onMessage(message) { return message.data; } };\n";
const IN_FLIGHT = 1000;
const LATENCY_CALLS = 5000;
const FURTHER = 4;
const INPUT = JSON.stringify({ svc: "x", type: "echo", room: null, seq: 1, data: { msg: "x".repeat(64) } });

/** As much of a session as calls carry. */
const session = {
  session: "s1",
  user: "ann",
  tenant: "bench",
  memberships: new Map(),
  active: null,
  claims: {},
  traceId: "0123456789abcdef",
} as unknown as Context;

class Bench {
  readonly #pool: HostPool;
  readonly #extensions: Extension[] = [];
  readonly #program: Program;
  readonly #looking: ReturnType<typeof setInterval>;

  constructor(program: Program) {
    this.#program = program;
    this.#pool = new HostPool({
      tenant: "bench",
      launch: launchHost,
      confinement: "required",
      hostMemoryMb: () => 2048,
      afterTurn: (task) => void setImmediate(task),
      log: SILENT,
    });
    this.#looking = setInterval(() => {
      this.#pool.look();
      for (const extension of this.#extensions) extension.look(performance.now());
    }, LOOK_MS);
  }

  /** @returns a started extension, and the milliseconds until its first answer */
  async start(): Promise<{ extension: Extension; ms: number }> {
    const name = `x${this.#extensions.length}`;
    const metrics = new ExtensionMetrics();
    const now = () => performance.now();
    const extension = new Extension({
      spec: {
        tenant: "bench",
        extension: name,
        role: "service",
        program: this.#program,
        options: null,
        env: {},
        limits: { cpuMs: 1000, memoryMb: 256, maxReplyBytes: 65_536, maxRequests: 1000, maxTimers: 100 },
      },
      timeoutMs: 10_000,
      maxPending: IN_FLIGHT * 2,
      tickMs: 1000,
      pool: this.#pool,
      texts: new SessionTexts(),
      broker: new RequestBroker({
        svc: name,
        publish: null,
        users: false,
        kv: null,
        fetch: null,
        actions: { perform: () => ({ ok: true, deliveries: 0 }) },
        share: new Inflow(now).share(),
        actionsPerSecond: 1,
        maxWaiting: 1,
        metrics,
        now,
      }),
      metrics,
      log: new ExtensionLog({
        tenant: "bench",
        extension: name,
        log: SILENT,
        linesPerSecond: 1,
        lines: metrics.lines,
        unixMs: Date.now,
        dropped: () => {},
        now,
      }),
      now,
    });
    this.#extensions.push(extension);
    const since = performance.now();
    extension.start();
    await call(extension);
    return { extension, ms: performance.now() - since };
  }

  stop(): void {
    clearInterval(this.#looking);
    this.#pool.stop();
  }
}

function call(extension: Extension): Promise<void> {
  return new Promise((resolve, reject) => {
    const now = extension.call("onMessage", INPUT, session, (outcome) => {
      if (outcome.kind === "value") resolve();
      else reject(new Error(`A call failed: ${JSON.stringify(outcome)}`));
    });
    if (now !== null) reject(new Error(`A call was refused: ${now.kind}`));
  });
}

/** Keeps so many calls under way for a while. @returns how many were answered in a second */
async function pipelined(extension: Extension, seconds: number): Promise<number> {
  let answered = 0;
  const end = performance.now() + seconds * 1000;
  const one = async () => {
    while (performance.now() < end) {
      await call(extension);
      answered++;
    }
  };
  const since = performance.now();
  await Promise.all(Array.from({ length: IN_FLIGHT }, one));
  return answered * 1000 / (performance.now() - since);
}

async function latency(extension: Extension): Promise<Latency> {
  const latency = new Latency();
  for (let i = 0; i < LATENCY_CALLS; i++) {
    const since = performance.now();
    await call(extension);
    latency.add((performance.now() - since) * 1000);
  }
  return latency;
}

async function measure(kind: "script" | "wasm", program: Program, seconds: number): Promise<CallsResult> {
  const bench = new Bench(program);
  try {
    const { extension, ms: coldMs } = await bench.start();
    const [host] = descendants(process.pid).slice(-1);
    await delay(500);
    const hostBytes = residentBytes(host!);
    const further: number[] = [];
    for (let i = 0; i < FURTHER; i++) further.push((await bench.start()).ms);
    await delay(500);
    const workerBytes = (residentBytes(host!) - hostBytes) / FURTHER;
    await pipelined(extension, 1);
    const cpu = () => process.cpuUsage().user / 1e6 + process.cpuUsage().system / 1e6 + cpuSeconds(host!);
    const before = cpu(), since = performance.now();
    const callsPerSecond = await pipelined(extension, seconds);
    const calls = callsPerSecond * (performance.now() - since) / 1000;
    const cpuMicros = (cpu() - before) * 1e6 / calls;
    const times = await latency(extension);
    return {
      kind,
      coldMs,
      furtherMs: further.toSorted((a, b) => a - b)[FURTHER >> 1]!,
      callsPerSecond,
      cpuMicros,
      p50Micros: times.percentile(0.5),
      p99Micros: times.percentile(0.99),
      hostBytes,
      workerBytes,
    };
  } finally {
    bench.stop();
  }
}

async function programOf(kind: "script" | "wasm", folder: string): Promise<Program> {
  writeFileSync(join(folder, "echo.ts"), SCRIPT);
  if (kind === "wasm") writeFileSync(join(folder, "echo.wasm"), await buildWasm("score.as"));
  const prepared = kind === "script"
    ? prepareScript({ root: folder, file: "echo.ts" })
    : prepareWasm({ root: folder, file: "echo.wasm", memoryMb: 64 });
  if (!prepared.ok) throw new Error(`Cannot prepare the ${kind}: ${prepared.msg}`);
  return prepared.program;
}

const [, , kind, seconds] = process.argv;
const folder = mkdtempSync(join(tmpdir(), "wsprism-bench-"));
try {
  if (kind !== "script" && kind !== "wasm") throw new Error("script or wasm?");
  const result = await measure(kind, await programOf(kind, folder), Number(seconds));
  process.stdout.write(`${JSON.stringify(result)}\n`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.exit();
