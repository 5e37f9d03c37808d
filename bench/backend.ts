// What a backend costs (README.md, "Backend"): an HTTP service against calling the backend directly, webhooks beside chat,
// publishing by the admin API, and a webhook that has nothing to tell. Starts gateways, the backend and the generators,
// each a process of its own, and ends them.

import { writeFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import {
  AUTHORIZATION,
  endAll,
  type Gateway,
  generate,
  LATENCIES,
  metric,
  PINNED,
  startBackend,
  startGateway,
} from "./backend_processes.ts";
import type {
  DirectLoad,
  DirectResult,
  IdleSeen,
  IdleWatch,
  Published,
  PublishLoad,
} from "./backend_spec.ts";
import { PUBLISH_WAYS } from "./backend_spec.ts";
import type { Load, LoadResult, MessageShape } from "./load_spec.ts";
import { median } from "./report.ts";

const PARTS = ["service", "webhook", "publish", "quiet"] as const;
type Part = typeof PARTS[number];

const HELP = `deno task bench's flags, and bench/backend.ts [options]
  --only NAME[,NAME]   only these: ${PARTS.join(" ")}
  --rounds N           measurements of each side (5)
  --seconds S          length of a measurement (4)
  --quick              one round of a second each: a smoke test, not a result
  --executable         the gateway as dist/wsprism instead of from source
  --json FILE          where the numbers go (dist/backend.json)
`;

const BUN = "node_modules/bun/bin/bun.exe";
/** Sessions, and connections of the direct caller. */
const CALLERS = 64;
/** Requests a second for the added latency, well below what either side can do. */
const CALM_PER_SECOND = 500;

/** Chat: rooms of 5, all of whom talk; each message is an event too. */
const CHATTERS = 200;
const CHAT_ROOMS = 40;
const EVENTS_PER_SECOND = 10_000;

const LISTENERS = 10_000;
const IDLE_SECONDS = 10;

interface Plan {
  readonly rounds: number;
  readonly seconds: number;
  readonly idleSeconds: number;
  readonly command: readonly string[];
}

/** A line of the report. */
interface Row {
  readonly part: Part;
  readonly title: string;
  readonly unit: string;
  readonly ours: number;
  /** Null where there is nothing to compare with. */
  readonly control: number | null;
  /** "ours/control", or what it is otherwise, with its rounds. */
  readonly judged: string;
  readonly values: readonly number[];
  readonly atMost: number | null;
}

function textLoad(gateway: Gateway, load: Partial<Load> & { message: MessageShape }): Load {
  return {
    port: gateway.port,
    serverPid: gateway.pid,
    path: "/v1/ws?tenant=bench&ticket=dev:u%d",
    sessions: CALLERS,
    groups: CALLERS,
    init: [],
    readyText: '"type":"authed"',
    pace: { kind: "idle", baselineSessions: 0 },
    slow: null,
    probe: null,
    metricsPath: null,
    fanout: 1,
    sampleEvery: 1,
    warmupSeconds: 1,
    seconds: 1,
    ...load,
  };
}

async function runLoad(load: Load): Promise<LoadResult> {
  const result = await generate<LoadResult>("bench/load.ts", load);
  if (result.strays > 0) throw new Error(`unexpected messages, such as ${result.firstStray}`);
  if (result.closed > 0) throw new Error("the gateway ended sessions");
  return result;
}

// (a) An HTTP service

async function service(plan: Plan): Promise<Row[]> {
  const backend = await startBackend();
  const gateway = await startGateway(plan.command, { backendPort: backend.port });
  const rows: Row[] = [];
  for (const ms of LATENCIES) {
    const sides: { most: number[][]; p50: number[][]; p99: number[][] } = { most: [], p50: [], p99: [] };
    for (let round = 0; round < plan.rounds; round++) {
      const direct = (perSecond: number | null) =>
        generate<DirectResult>(
          "bench/direct.ts",
          {
            port: backend.port,
            path: `/service/${ms}`,
            body: JSON.stringify({ data: "~".padEnd(64, "0") }),
            connections: CALLERS,
            perSecond,
            warmupSeconds: 1,
            seconds: plan.seconds,
          } satisfies DirectLoad,
        );
      const ours = (pace: Load["pace"]) => {
        const template = `{"v":1,"svc":"s${ms}","type":"ask","seq":1,"data":"@"}`;
        const message = { kind: "text", template, payloadBytes: 64 } as const;
        return runLoad(textLoad(gateway, { message, pace, seconds: plan.seconds }));
      };
      const most = [
        await ours({ kind: "closed", publishersPerGroup: 1, inFlight: 1 }),
        await direct(null),
      ] as const;
      const rate = { kind: "open", publishersPerGroup: 1, perSecond: CALM_PER_SECOND / CALLERS } as const;
      const calm = [await ours(rate), await direct(CALM_PER_SECOND)] as const;
      sides.most.push([most[0].received / most[0].seconds, most[1].perSecond]);
      sides.p50.push(calm.map(({ p50Micros }) => p50Micros / 1000));
      sides.p99.push(calm.map(({ p99Micros }) => p99Micros / 1000));
      progress(`service, ${ms} ms: round ${round + 1} of ${plan.rounds}`);
    }
    const title = (what: string) => `backend of ${ms} ms: ${what}`;
    rows.push(compared("service", title(`${CALLERS} callers`), "requests/s", sides.most));
    for (const name of ["p50", "p99"] as const) {
      rows.push(compared("service", title(`${name} at ${CALM_PER_SECOND}/s`), "ms", sides[name], "added"));
    }
  }
  await gateway.stop();
  await backend.stop();
  return rows;
}

// (b) Webhooks beside chat

async function webhook(plan: Plan): Promise<Row[]> {
  const backend = await startBackend();
  const p50: number[][] = [], p99: number[][] = [], cpu: number[][] = [];
  const rates: number[] = [], behind: number[] = [];
  for (let round = 0; round < plan.rounds; round++) {
    const measured: LoadResult[] = [];
    for (const told of [true, false]) {
      const gateway = await startGateway(plan.command, {
        backendPort: backend.port,
        free: true,
        ...(told ? { webhook: ["message.ext"] } : {}),
      });
      const before = await backend.events();
      const result = await runLoad(chatLoad(gateway, EVENTS_PER_SECOND, plan.seconds));
      if (told) {
        // What was sent, warming up included, is with the backend, or waits.
        rates.push(result.sent / result.seconds);
        const waits = await metric(gateway, "wsprism_webhook_queue_events");
        behind.push(waits);
        if (await backend.events() === before) throw new Error("no event came");
      }
      await gateway.stop();
      measured.push(result);
    }
    const pair = (of: (result: LoadResult) => number) => measured.map(of);
    p50.push(pair((one) => one.p50Micros / 1000));
    p99.push(pair((one) => one.p99BySecondMicros / 1000));
    cpu.push(pair((one) => one.serverCpuSeconds / one.seconds));
    progress(`webhook: round ${round + 1} of ${plan.rounds}`);
  }
  await backend.stop();
  return [
    compared("webhook", "chat p50", "ms", p50),
    { ...compared("webhook", "chat p99, a second's median", "ms", p99), atMost: 1.3 },
    compared("webhook", "CPUs of the gateway", "", cpu),
    alone("webhook", "events committed", "/s", rates),
    alone("webhook", "events that wait at the end", "", behind),
  ];
}

function chatLoad(gateway: Gateway, perSecond: number, seconds: number): Load {
  const template = '{"v":1,"svc":"chat","type":"send","room":"r%g","data":{"msg":"@"}}';
  return textLoad(gateway, {
    sessions: CHATTERS,
    groups: CHAT_ROOMS,
    init: ['{"v":1,"svc":"room","type":"join","room":"r%g"}'],
    readyText: '"type":"joined"',
    pace: { kind: "open", publishersPerGroup: CHATTERS / CHAT_ROOMS, perSecond: perSecond / CHATTERS },
    message: { kind: "text", template, payloadBytes: 64 },
    fanout: CHATTERS / CHAT_ROOMS,
    sampleEvery: 7,
    warmupSeconds: 2,
    seconds,
  });
}

// (c) Publishing

async function publish(plan: Plan): Promise<Row[]> {
  const gateway = await startGateway(plan.command, { backendPort: 1 });
  const rounds = await generate<Published[]>(
    "bench/publish.ts",
    {
      port: gateway.port,
      adminPort: gateway.adminPort,
      authorization: AUTHORIZATION,
      serverPid: gateway.pid,
      sessions: LISTENERS,
      rounds: plan.rounds,
      seconds: plan.seconds,
    } satisfies PublishLoad,
  );
  await gateway.stop();
  const titles = {
    all: "to all, one after the other",
    one: "to one user each, 32 at a time",
    batch: "batches of 1,000",
  };
  return PUBLISH_WAYS.flatMap((way) => {
    const own = rounds.filter((round) => round.way === way);
    const row = (what: string, unit: string, of: (round: Published) => number) =>
      alone("publish", `${titles[way]}: ${what}`, unit, own.map(of));
    return [
      row("requests", "/s", (round) => round.requestsPerSecond),
      row("deliveries", "/s", (round) => round.deliveriesPerSecond),
      row("p50", "ms", (round) => round.p50Micros / 1000),
      row("p99", "ms", (round) => round.p99Micros / 1000),
      row("CPUs of the gateway", "", (round) => round.serverCpuShare),
      row("CPUs of the generator", "", (round) => round.loadCpuShare),
    ];
  });
}

// (d) A webhook that has nothing to tell

async function quiet(plan: Plan): Promise<Row[]> {
  const idle: number[][] = [], resident: number[][] = [], chat: number[][] = [];
  for (let round = 0; round < plan.rounds; round++) {
    const measured: { idle: number; resident: number; chat: number }[] = [];
    for (const webhook of [["policy.denied"], undefined]) {
      const gateway = await startGateway(plan.command, {
        backendPort: 1,
        ...(webhook === undefined ? {} : { webhook }),
      });
      await delay(2000);
      const watch: IdleWatch = { pid: gateway.pid, seconds: plan.idleSeconds };
      const seen = await generate<IdleSeen>("bench/idle_watch.ts", watch);
      const load = await runLoad(chatLoad(gateway, EVENTS_PER_SECOND / 2, plan.seconds));
      await gateway.stop();
      measured.push({
        idle: seen.cpuSeconds / plan.idleSeconds * 1000,
        resident: seen.residentBytes / 2 ** 20,
        chat: load.serverCpuSeconds / load.sent * 1e6,
      });
    }
    idle.push(measured.map((one) => one.idle));
    resident.push(measured.map((one) => one.resident));
    chat.push(measured.map((one) => one.chat));
    progress(`quiet: round ${round + 1} of ${plan.rounds}`);
  }
  return [
    compared("quiet", "CPU while nothing happens", "ms/s", idle, "added"),
    compared("quiet", "resident memory", "MiB", resident, "added"),
    { ...compared("quiet", "CPU per message of chat", "µs", chat), atMost: 1.05 },
  ];
}

// The report

/** @param pairs ours and the control, of each round */
function compared(
  part: Part,
  title: string,
  unit: string,
  pairs: readonly (readonly number[])[],
  judged: "ours/control" | "added" = "ours/control",
): Row {
  const [ours, control] = [0, 1].map((side) => pairs.map((pair) => pair[side]!)) as [number[], number[]];
  const values = pairs.map(([one, other]) => judged === "added" ? one! - other! : one! / other!);
  return { part, title, unit, ours: median(ours), control: median(control), judged, values, atMost: null };
}

function alone(part: Part, title: string, unit: string, values: readonly number[]): Row {
  return { part, title, unit, ours: median(values), control: null, judged: "ours", values, atMost: null };
}

function table(rows: readonly Row[]): string {
  const cells = [
    ["part", "what", "ours", "control", "judged", "median", "min..max", "target"],
    ...rows.map(({ part, title, unit, ours, control, judged, values, atMost }) => {
      const met = atMost === null ? "" : `≤ ${atMost} ${median(values) <= atMost ? "ok" : "MISSED"}`;
      const range = `${amount(Math.min(...values))}..${amount(Math.max(...values))}`;
      const shown = control === null ? "" : `${amount(control)} ${unit}`;
      return [part, title, `${amount(ours)} ${unit}`, shown, judged, amount(median(values)), range, met];
    }),
  ];
  const widths = cells[0]!.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)));
  const line = (row: readonly string[]) =>
    row.map((cell, at) => at < 2 ? cell.padEnd(widths[at]!) : cell.padStart(widths[at]!)).join("  ")
      .trimEnd();
  return `${cells.map(line).join("\n")}\n`;
}

function amount(value: number): string {
  const digits = Math.abs(value) >= 100 || Number.isInteger(value) ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

function progress(text: string): void {
  process.stderr.write(`${text}\n`);
}

const MEASURE: Readonly<Record<Part, (plan: Plan) => Promise<Row[]>>> = { service, webhook, publish, quiet };

async function conduct(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      only: { type: "string" },
      rounds: { type: "string", default: "5" },
      seconds: { type: "string", default: "4" },
      quick: { type: "boolean", default: false },
      executable: { type: "boolean", default: false },
      json: { type: "string", default: "dist/backend.json" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return void process.stdout.write(HELP);
  const names = values.only?.split(",") ?? PARTS;
  const parts = PARTS.filter((part) => names.includes(part));
  if (parts.length !== names.length) {
    throw new Error(`Cannot run "${values.only}": ${PARTS.join(", ")} are there`);
  }
  const plan: Plan = {
    rounds: values.quick ? 1 : Number(values.rounds),
    seconds: values.quick ? 1 : Number(values.seconds),
    idleSeconds: values.quick ? 2 : IDLE_SECONDS,
    command: values.executable ? ["dist/wsprism"] : [BUN, "main.ts"],
  };
  const rows: Row[] = [];
  const failures: string[] = [];
  for (const part of parts) {
    try {
      rows.push(...await MEASURE[part](plan));
    } catch (error) {
      failures.push(`${part}: ${error instanceof Error ? error.message : error}`);
      endAll();
    }
  }
  process.stdout.write(table(rows));
  for (const failure of failures) process.stdout.write(`failed: ${failure}\n`);
  process.exitCode = failures.length === 0 ? 0 : 1;
  const machine = { cpu: cpus()[0]?.model ?? "", cpus: availableParallelism(), pinned: PINNED };
  const document = { at: new Date().toISOString(), machine, ...plan, rows, failures };
  writeFileSync(values.json, `${JSON.stringify(document, null, 2)}\n`);
}

try {
  await conduct(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
} finally {
  endAll();
}
process.exit();
