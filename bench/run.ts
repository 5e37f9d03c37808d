// The bench: measures the gateway against bare servers of the same runtime, in interleaved rounds, and prints a
// table of ratios; `deno task bench --help` lists the options. Loopback only; every process that it starts, it ends,
// whether it succeeds, fails or is interrupted.

import { mkdirSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { dirname } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import type { Load, LoadResult, MessageShape, Pace } from "./load_spec.ts";
import { type Row, table, toRow } from "./report.ts";
import { Runner } from "./servers.ts";
import { type Measured, type Shape, type Side, type Work, works } from "./works.ts";

const HELP = `deno task bench [options]
  --only NAME[,NAME]   only these works: ${works.map((work) => work.name).join(" ")}
  --rounds N           pairs of measurements per work (5)
  --seconds S          length of a measurement (3; some works take longer)
  --quick              one round of one second: a smoke test, not a result
  --json FILE          where the numbers go (dist/bench.json)
  --target KIND        the gateway on Bun as "bun" (source) or "executable" (dist/wsprism)
  --profile DIR        CPU profiles of the gateway on Bun; the numbers then count the profiler too
  --no-pin             do not give server and generator a CPU each
`;

/** First byte, service and opcode of a hot frame, and its flags: see the wire protocol, "Hot lane". */
const HOT_PREFIX = { echo: [1, 1, 0, 0], relay: [1, 2, 0, 0], state: [1, 3, 0, 0] } as const;
/** An answer with SENDER_PRESENT has the header and a u32 before the payload; an echo has neither. */
const ANSWER_HEADER = { echo: 0, relay: 8, state: 8 } as const;
const PAYLOAD_BYTES = 64;
/** Attempts at a side's maximum, from which the rate of an open loop is taken. */
const PROBES = 3;
/** Share of a CPU that others may use before the numbers are doubtful. */
const OTHERS_MAX = 0.2;

interface Plan {
  readonly rounds: number;
  readonly seconds: number;
  /** Works do not take longer than `seconds`, unless they could not be done. */
  readonly quick: boolean;
}

class Bench {
  readonly #runner: Runner;
  readonly #plan: Plan;
  readonly #warnings = new Set<string>();
  /** The largest share of a CPU that others had. */
  #others = 0;

  constructor(runner: Runner, plan: Plan) {
    this.#runner = runner;
    this.#plan = plan;
  }

  get warnings(): readonly string[] {
    const percent = Math.round(this.#others * 100);
    return this.#others <= OTHERS_MAX
      ? [...this.#warnings]
      : [...this.#warnings, `the machine was not idle: up to ${percent} % of a CPU went to other processes`];
  }

  /** All rounds of a work, ours and the control in turn. @throws when a server or the generator fails. */
  async work(work: Work): Promise<Row[]> {
    const pace = work.halfOf === undefined ? null : await this.#half(work, work.halfOf);
    const paced = (side: Side): Side => pace === null ? side : { ...side, shape: { ...side.shape, pace } };
    const rounds: Measured[] = [];
    for (let round = 0; round < this.#plan.rounds; round++) {
      const ours = await this.#measure(work, paced(work.ours));
      const control = work.control === null ? ours : await this.#measure(work, paced(work.control));
      rounds.push({ ours, control });
      progress(`${work.name}: round ${round + 1} of ${this.#plan.rounds}`);
    }
    const note = work.note?.(publishedPerSecond(work, pace ?? work.ours.shape.pace)) ?? "";
    return work.lines.map((line) => toRow(line, { work: work.name, note, rounds }));
  }

  /** An open loop at half the rate that the slower side reaches with the closed loop `probe`. */
  async #half(work: Work, probe: Pace): Promise<Pace> {
    // Of each side the best, since a disturbed attempt is slower than the maximum and never faster.
    const rates = [work.ours, work.control].map(() => 0);
    for (let attempt = 0; attempt < Math.min(PROBES, this.#plan.rounds); attempt++) {
      for (const [index, side] of [work.ours, work.control].entries()) {
        if (side === null) throw new Error(`Cannot halve the rate of "${work.name}": it has no control`);
        const result = await this.#measure(work, { ...side, shape: { ...side.shape, pace: probe } }, 0);
        rates[index] = Math.max(rates[index] ?? 0, result.sent / result.seconds);
      }
    }
    const pace = work.ours.shape.pace;
    if (pace.kind !== "open") {
      throw new Error(`Cannot halve the rate of "${work.name}": its pace must be open`);
    }
    const publishers = pace.publishersPerGroup * Math.max(1, work.ours.shape.rooms);
    return { ...pace, perSecond: Math.min(pace.perSecond, Math.min(...rates) / 2 / publishers) };
  }

  async #measure(work: Work, side: Side, atLeast = work.seconds?.atLeast ?? 0): Promise<LoadResult> {
    const { seconds, quick } = this.#plan;
    const least = quick && work.seconds?.always !== true ? 0 : atLeast;
    const server = await this.#runner.server(side.server);
    const flood = side.flooded === undefined ? null : this.#runner.flood(server.port, side.flooded);
    try {
      const load = toLoad(side, {
        port: server.port,
        serverPid: server.pid,
        seconds: Math.max(seconds, least),
      });
      const result = await this.#runner.load(load);
      this.#judge(`${work.name}, ${side.server.kind}`, load, result);
      return result;
    } finally {
      await flood?.stop();
      await server.stop();
    }
  }

  /** Is the number about the server, and about the work it was meant to be? */
  #judge(what: string, load: Load, result: LoadResult): void {
    const warn = (text: string) => this.#warnings.add(`${what}: ${text}`);
    if (result.strays > 0) warn(`unexpected messages, such as ${JSON.stringify(result.firstStray)}`);
    if (result.closed + result.slowClosed > 0) warn("the server ended sessions");
    this.#others = Math.max(this.#others, result.otherCpuSeconds / result.seconds);
    if (load.pace.kind === "idle") return;
    if (load.pace.kind === "open" && load.pace.perSecond === 0) return;
    if (result.received === 0) throw new Error(`${what}: nothing was delivered (${result.sent} sent)`);
    const { seconds, serverCpuSeconds, loadCpuSeconds } = result;
    if (load.pace.kind === "open" && loadCpuSeconds > 0.75 * seconds) {
      warn(
        `the generator was busy (CPU ${
          Math.round(loadCpuSeconds / seconds * 100)
        } %): it delays what it measures`,
      );
    }
    if (load.pace.kind === "closed" && loadCpuSeconds > serverCpuSeconds && loadCpuSeconds > 0.9 * seconds) {
      const shares = [loadCpuSeconds, serverCpuSeconds].map((used) =>
        `${Math.round(used / seconds * 100)} %`
      );
      warn(
        `the generator was the bottleneck (CPU ${shares[0]}, server ${shares[1]}): look at CPU per message`,
      );
    }
    const due = load.pace.kind === "open"
      ? load.pace.perSecond * load.pace.publishersPerGroup * load.groups * seconds
      : 0;
    if (result.sent < due * 0.95) {
      warn(`the generator fell behind: ${result.sent} sent of ${Math.round(due)}`);
    }
    const expected = result.sent * (load.fanout ?? 0);
    // What is on its way at either end of the window belongs to no side of the sum.
    const underWay = load.pace.kind === "closed"
      ? load.pace.inFlight * load.pace.publishersPerGroup * load.groups * (load.fanout ?? 0)
      : expected * 0.05;
    if (expected > 0 && Math.abs(result.received - expected) > expected * 0.05 + underWay) {
      warn(`${result.received} deliveries of ${expected} expected`);
    }
  }
}

function toLoad(side: Side, at: { port: number; serverPid: number; seconds: number }): Load {
  const { shape } = side;
  const own = side.server.kind === "gateway";
  const slow = shape.slow ?? null;
  const readers = shape.rooms === 0 ? 1 : (shape.sessions - (slow?.count ?? 0)) / shape.rooms;
  return {
    ...at,
    path: own ? "/v1/ws?tenant=bench&ticket=dev:u%d" : "/?room=r%g",
    sessions: shape.sessions,
    groups: Math.max(1, shape.rooms),
    init: own && shape.rooms > 0 ? ['{"v":1,"svc":"room","type":"join","room":"r%g"}'] : [],
    readyText: own ? (shape.rooms > 0 ? '"type":"joined"' : '"type":"authed"') : null,
    pace: shape.pace,
    message: message(shape, own),
    slow,
    probe: shape.probe ?? null,
    metricsPath: isDisturbed(side) ? "/metrics" : null,
    fanout: fanout(shape, readers),
    sampleEvery: shape.sampleEvery,
    warmupSeconds: shape.sessions > 1000 || isDisturbed(side) ? 2 : 1,
  };
}

/** Gateways with settings of their own are watched more closely, both sides alike. */
function isDisturbed({ server }: Side): boolean {
  return server.kind === "gateway" && server.settings !== undefined;
}

/** Deliveries to those who read all that they get; null where their number is not fixed. */
function fanout({ service, slow }: Shape, readers: number): number | null {
  if (service === "state" || slow !== undefined && slow.bytesPerSecond > 0) return null;
  return service === "relay" ? readers - 1 : readers;
}

function message(shape: Shape, own: boolean): MessageShape {
  const payloadBytes = shape.payloadBytes ?? PAYLOAD_BYTES;
  if (!own) return { kind: "binary", prefix: [], payloadBytes, answerStampAt: 0 };
  if (shape.service !== "chat") {
    const prefix = HOT_PREFIX[shape.service];
    return {
      kind: "binary",
      prefix,
      payloadBytes,
      answerStampAt: ANSWER_HEADER[shape.service],
    };
  }
  const template = '{"v":1,"svc":"chat","type":"send","room":"r0","data":{"msg":"@"}}';
  return { kind: "text", template, payloadBytes };
}

function publishedPerSecond(work: Work, pace: Pace): { each: number; all: number } {
  if (pace.kind !== "open") return { each: 0, all: 0 };
  const publishers = pace.publishersPerGroup * Math.max(1, work.ours.shape.rooms);
  return { each: pace.perSecond, all: pace.perSecond * publishers };
}

/** Progress goes where a pipe does not take it for the report. */
function progress(text: string): void {
  process.stderr.write(`${text}\n`);
}

function readOptions(args: string[]) {
  const { values } = parseArgs({
    args,
    options: {
      only: { type: "string" },
      rounds: { type: "string" },
      seconds: { type: "string" },
      quick: { type: "boolean", default: false },
      json: { type: "string", default: "dist/bench.json" },
      target: { type: "string", default: "bun" },
      profile: { type: "string" },
      "no-pin": { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  const names = values.only?.split(",") ?? works.map((work) => work.name);
  const unknown = names.find((name) => !works.some((work) => work.name === name));
  if (unknown !== undefined) throw new Error(`Cannot run the work "${unknown}": there is none of that name`);
  const plan = {
    rounds: positive("--rounds", values.rounds ?? (values.quick ? "1" : "5")),
    seconds: positive("--seconds", values.seconds ?? (values.quick ? "1" : "3")),
    quick: values.quick,
  };
  const target = values.target;
  if (target !== "bun" && target !== "executable") {
    throw new Error(`Cannot run with --target "${target}": it must be "bun" or "executable"`);
  }
  return {
    names,
    plan,
    json: values.json,
    help: values.help,
    runner: { target, pinned: !values["no-pin"], profile: values.profile ?? null } as const,
  };
}

function positive(name: string, text: string): number {
  const number = Number(text);
  if (!(number > 0)) throw new Error(`Cannot run with ${name} "${text}": it must be a number above 0`);
  return number;
}

async function main(args: string[]): Promise<number> {
  const options = readOptions(args);
  if (options.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const runner = new Runner(options.runner);
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      runner.endAll();
      process.exit(130);
    });
  }
  const bench = new Bench(runner, options.plan);
  const rows: Row[] = [];
  const failures: string[] = [];
  for (const work of works.filter((work) => options.names.includes(work.name))) {
    try {
      rows.push(...await bench.work(work));
    } catch (error) {
      failures.push(`${work.name}: ${error instanceof Error ? error.message : error}`);
      progress(`failed: ${failures.at(-1)}`);
    }
  }
  runner.endAll();
  process.stdout.write(table(rows));
  for (const warning of bench.warnings) process.stdout.write(`warning: ${warning}\n`);
  for (const failure of failures) process.stdout.write(`failed: ${failure}\n`);
  mkdirSync(dirname(options.json), { recursive: true });
  const machine = { cpu: cpus()[0]?.model ?? "", cpus: availableParallelism(), pinned: runner.pinned };
  const document = { at: new Date().toISOString(), machine, ...options.plan, target: options.runner.target };
  writeFileSync(
    options.json,
    `${JSON.stringify({ ...document, rows, warnings: bench.warnings, failures }, null, 2)}\n`,
  );
  return failures.length === 0 ? 0 : 1;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 2;
}
