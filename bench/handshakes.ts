/// <reference path="./bun.d.ts" />
// Handshakes with signed tickets beside a bare upgrade, and a storm of bad ones while others chat (README.md,
// "Handshakes"). On Deno this file conducts: it mints, starts and ends the gateway, the control and the generators.
// Each generator is this file on Bun (`generate JOB`), a process of its own on raw sockets.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { availableParallelism, cpus, setPriority } from "node:os";
import { dirname } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { exportSPKI, generateKeyPair, SignJWT } from "jose";
import { parse, stringify } from "yaml";
import { Burst, clientFrame, OPCODE } from "./frames.ts";
import { Latency } from "./latency.ts";
import { cpuSeconds, residentBytes } from "./proc.ts";
import { microsSince, Session, type Tally } from "./session.ts";

const HELP = `deno task bench's flags, and bench/handshakes.ts [options]
  --quick       one round, and a storm of two seconds: a smoke test, not a result
  --json FILE   where the numbers go (dist/handshakes.json)
  --no-pin      do not give servers and generators a CPU each
`;

const BUN = "node_modules/bun/bin/bun.exe";
const CONFIG = "dist/handshakes.yaml";
const TICKETS = "dist/handshakes.tickets.json";
const SECRET = "a secret of the bench that nobody else knows";
const ALGORITHMS = ["HS256", "ES256"] as const;

/** Handshakes under way at the same time, in the rounds. */
const IN_FLIGHT = 64;
/** After a round, until the server is done with the sessions that have left it, in milliseconds. */
const SETTLE_MS = 500;
const START_MS = 15_000;
/** A handshake without an answer for so long has failed. */
const ANSWER_MS = 10_000;

const CHATTERS = 1000;
const ROOM = 20;
/** Between two messages of a chatter. */
const CHAT_MS = 4000;
const STORM_PER_SECOND = 2000;
/** One in so many has a good ticket. */
const GOOD_ONE_IN = 10;

/** Whom a generator measures, with one ticket per handshake. */
interface Target {
  readonly name: string;
  readonly pid: number;
  readonly port: number;
  /** What stands before the ticket. */
  readonly path: string;
  /** Key in the file of tickets. */
  readonly tickets: string;
}

type Job =
  | {
    readonly kind: "rounds";
    readonly targets: readonly Target[];
    readonly rounds: number;
    readonly warmup: number;
    readonly count: number;
  }
  | { readonly kind: "chat"; readonly target: Target }
  | { readonly kind: "storm"; readonly target: Target };

interface Round {
  readonly perSecond: number;
  readonly serverCpuMicros: number;
  readonly loadCpuMicros: number;
}

/** What the chatters saw since they were last asked. */
interface Chat {
  readonly p50Micros: number;
  readonly p99Micros: number;
  readonly samples: number;
  readonly residentBytes: number;
  readonly closed: number;
}

interface Storm {
  readonly seconds: number;
  readonly sent: number;
  readonly good: number;
  /** Good ones that were upgraded. */
  readonly admitted: number;
  readonly goodP99Micros: number;
  /** Answers to bad ones, by status; 0 is none. */
  readonly bad: Readonly<Record<string, number>>;
  readonly serverCpuShare: number;
  readonly residentBytes: number;
}

type Tickets = Readonly<Record<string, readonly string[]>>;

// The generator

interface Dialled {
  /** 0: there was no answer. */
  readonly status: number;
  readonly micros: number;
  readonly end: () => void;
}

function request(target: Target, ticket: string): Uint8Array {
  const lines = [
    `GET ${target.path}${ticket} HTTP/1.1`,
    `Host: 127.0.0.1:${target.port}`,
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
    "\r\n",
  ];
  return new TextEncoder().encode(lines.join("\r\n"));
}

/** One handshake, until the answer's first bytes; never rejects. */
function dial(target: Target, ticket: string): Promise<Dialled> {
  const start = performance.now();
  const { promise, resolve } = Promise.withResolvers<Dialled>();
  let opened: BunTcpSocket<null> | null = null;
  const done = (status: number) => {
    clearTimeout(timer);
    resolve({ status, micros: (performance.now() - start) * 1000, end: () => opened?.end() });
  };
  const timer = setTimeout(() => done(0), ANSWER_MS);
  Bun.connect<null>({
    hostname: "127.0.0.1",
    port: target.port,
    data: null,
    socket: {
      open: (socket) => {
        opened = socket;
        socket.write(request(target, ticket));
      },
      // "HTTP/1.1 " and the status; what follows the first answer is of no interest.
      data: (_socket, bytes) => done(Number(new TextDecoder("latin1").decode(bytes.subarray(9, 12)))),
      close: () => done(0),
      connectError: () => done(0),
    },
  }).catch(() => done(0));
  return promise;
}

/** Rounds in which the targets take turns; the first, with `warmup` handshakes, does not count. */
async function rounds(job: Job & { kind: "rounds" }, tickets: Tickets): Promise<Record<string, Round[]>> {
  const results: Record<string, Round[]> = {};
  for (let round = -1; round < job.rounds; round++) {
    for (const target of job.targets) {
      const own = tickets[target.tickets] ?? [];
      const from = round < 0 ? 0 : job.warmup + round * job.count;
      const measured = await oneRound(target, own.slice(from, from + (round < 0 ? job.warmup : job.count)));
      if (round >= 0) (results[target.name] ??= []).push(measured);
    }
  }
  return results;
}

async function oneRound(target: Target, tickets: readonly string[]): Promise<Round> {
  const load = process.cpuUsage();
  const server = cpuSeconds(target.pid);
  const start = performance.now();
  let next = 0;
  const worker = async () => {
    for (let ticket = tickets[next++]; ticket !== undefined; ticket = tickets[next++]) {
      const { status, end } = await dial(target, ticket);
      if (status !== 101) throw new Error(`${target.name} answered a good ticket with ${status}`);
      end();
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
  const seconds = (performance.now() - start) / 1000;
  const own = process.cpuUsage(load);
  await delay(SETTLE_MS);
  return {
    perSecond: tickets.length / seconds,
    serverCpuMicros: (cpuSeconds(target.pid) - server) * 1e6 / tickets.length,
    loadCpuMicros: (own.user + own.system) / tickets.length,
  };
}

/** Opens the chatters, lets them talk, and answers each line on stdin with a `Chat`; the first when all are there. */
async function chat({ target }: Job & { kind: "chat" }, tickets: Tickets): Promise<void> {
  const shape = { kind: "text", template: "", payloadBytes: 64 } as const;
  const tally: Tally = {
    received: 0,
    receivedBytes: 0,
    strays: 0,
    firstStray: "",
    latency: new Latency(),
    probe: new Latency(),
    probeShape: null,
    gaps: 0,
    shape,
    opcode: OPCODE.text,
    sampleEvery: 1,
    readyText: '"type":"joined"',
    epoch: performance.now(),
  };
  let closed = 0;
  const says: (() => void)[] = [];
  for (const [number, ticket] of (tickets[target.tickets] ?? []).slice(0, CHATTERS).entries()) {
    const room = `r${Math.floor(number / ROOM)}`;
    const session = new Session(number, tally, { watch: false, echo: false, slow: false });
    const template = `{"v":1,"svc":"chat","type":"send","room":"${room}","data":{"msg":"@"}}`;
    const burst = new Burst({ ...shape, template }, { sender: number, copies: 1 });
    const join = new TextEncoder().encode(`{"v":1,"svc":"room","type":"join","room":"${room}"}`);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const socket = await Bun.connect<null>({
      hostname: "127.0.0.1",
      port: target.port,
      data: null,
      socket: {
        open: (socket) => {
          socket.write(request(target, ticket));
        },
        data: (socket, bytes) => {
          const before = session.state;
          session.take(bytes);
          if (before === "upgrading" && session.state !== before) {
            socket.write(clientFrame(OPCODE.text, join));
          }
          if (session.state === "ready") resolve();
          for (let pings = session.takePings(); pings > 0; pings--) {
            socket.write(clientFrame(OPCODE.pong, new Uint8Array(0)));
          }
        },
        close: () => {
          closed++;
          reject(new Error(`Cannot open chatter ${number}: the server closed it. ${tally.firstStray}`));
        },
      },
    });
    await promise;
    says.push(() => socket.write(burst.stamped(1, microsSince(tally.epoch))));
  }
  const start = performance.now();
  let said = 0;
  setInterval(() => {
    const due = Math.floor((performance.now() - start) * CHATTERS / CHAT_MS);
    // 27 has no factor in common with their number, and those who talk one after the other are in different rooms.
    for (; said < due; said++) says[said * 27 % CHATTERS]?.();
  }, 1);
  const answer = () => {
    const { latency } = tally;
    const [p50Micros, p99Micros] = [latency.percentile(0.5), latency.percentile(0.99)];
    const resident = residentBytes(target.pid);
    const seen: Chat = { p50Micros, p99Micros, samples: latency.samples, residentBytes: resident, closed };
    latency.reset();
    process.stdout.write(`${JSON.stringify(seen)}\n`);
  };
  answer();
  for await (const _line of createInterface({ input: process.stdin })) answer();
}

/** After a line on stdin, an open loop of handshakes; the good ones stay until its end. */
async function storm({ target }: Job & { kind: "storm" }, tickets: Tickets): Promise<Storm> {
  const own = tickets[target.tickets] ?? [];
  const latency = new Latency();
  const bad: Record<string, number> = {};
  const ends: (() => void)[] = [];
  let [good, admitted] = [0, 0];
  // The chatters' generator is on the same CPU, and has to notice at once what comes.
  setPriority(19);
  process.stdout.write("ready\n");
  await once(process.stdin, "data");
  const one = async (number: number) => {
    const isGood = number % GOOD_ONE_IN === 0;
    if (isGood) good++;
    const { status, micros, end } = await dial(target, own[number] ?? "");
    if (isGood && status === 101) {
      admitted++;
      latency.add(micros);
      ends.push(end);
      return;
    }
    if (!isGood) bad[status] = (bad[status] ?? 0) + 1;
    end();
  };
  const cpu = cpuSeconds(target.pid);
  const start = performance.now();
  const under: Promise<void>[] = [];
  while (under.length < own.length) {
    const due = Math.min(own.length, Math.floor((performance.now() - start) * STORM_PER_SECOND / 1000));
    while (under.length < due) under.push(one(under.length));
    await delay(1);
  }
  const seconds = (performance.now() - start) / 1000;
  await Promise.all(under);
  const serverCpuShare = (cpuSeconds(target.pid) - cpu) / ((performance.now() - start) / 1000);
  const resident = residentBytes(target.pid);
  for (const end of ends) end();
  return {
    seconds,
    sent: under.length,
    good,
    admitted,
    goodP99Micros: latency.percentile(0.99),
    bad,
    serverCpuShare,
    residentBytes: resident,
  };
}

async function generate(job: Job): Promise<void> {
  const tickets: Tickets = JSON.parse(readFileSync(TICKETS, "utf8"));
  if (job.kind === "chat") return await chat(job, tickets);
  const result = job.kind === "rounds" ? await rounds(job, tickets) : await storm(job, tickets);
  process.stdout.write(`${JSON.stringify(result)}\n`);
}

// The conductor

const running = new Set<ChildProcess>();

function start(
  command: readonly string[],
  options: { readonly cpu: number | null; readonly env?: Record<string, string> },
) {
  const whole = options.cpu === null ? command : ["taskset", "-c", `${options.cpu}`, ...command];
  const child = spawn(whole[0] ?? "", whole.slice(1), {
    env: { ...process.env, ...options.env },
    stdio: ["pipe", "pipe", "inherit"],
  });
  running.add(child);
  child.on("close", () => running.delete(child));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<string> => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`Cannot go on: ${command.slice(0, 2).join(" ")} ended`);
    return value;
  };
  return { child, next };
}

async function startGateway(cpu: number | null): Promise<{ pid: number; port: number }> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, "close");
  const command = [BUN, "main.ts", "start", "--config", CONFIG, "--log-level", "error"];
  const { child } = start(command, { cpu, env: { WSPRISM_LISTEN: `127.0.0.1:${port}` } });
  for (const begin = performance.now(); performance.now() - begin < START_MS; await delay(50)) {
    const response = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => null);
    await response?.body?.cancel();
    if (response?.ok) return { pid: child.pid ?? 0, port };
  }
  throw new Error(`The gateway is not ready on port ${port}`);
}

/** bench.yaml with a tenant per algorithm, and the tickets for both, all different. */
async function prepare(counts: { readonly rounds: number; readonly storms: number; readonly each: number }) {
  const es256 = await generateKeyPair("ES256");
  const stranger = await generateKeyPair("ES256");
  const secret = new TextEncoder().encode(SECRET);
  const config = parse(readFileSync("bench/bench.yaml", "utf8"));
  const tenant = config.tenants[0];
  const keys = { HS256: { secret: SECRET }, ES256: { public_key: await exportSPKI(es256.publicKey) } };
  config.tenants = ALGORITHMS.map((algorithm) => ({
    ...structuredClone(tenant),
    id: algorithm,
    auth: { mode: "jwt", jwt: { algorithms: [algorithm], keys: [keys[algorithm]] } },
  }));
  const mint = (
    algorithm: string,
    key: Parameters<SignJWT["sign"]>[0],
    ticket: { user: string; exp: string },
  ) =>
    new SignJWT({ sub: ticket.user }).setProtectedHeader({ alg: algorithm }).setIssuedAt()
      .setExpirationTime(ticket.exp).sign(key);
  const good = (user: string) => mint("ES256", es256.privateKey, { user, exp: "1h" });
  // Bad ones: signed by a stranger (the dearest to refuse), expired, and no token at all.
  const bad = [
    (user: string) => mint("ES256", stranger.privateKey, { user, exp: "1h" }),
    (user: string) => mint("ES256", es256.privateKey, { user, exp: "-1h" }),
    (user: string) => Promise.resolve(`no.token.${user}`),
  ];
  const many = (count: number, one: (number: number) => Promise<string>) =>
    Promise.all(Array.from({ length: count }, (_, number) => one(number)));
  const tickets: Record<string, string[]> = {
    HS256: await many(counts.rounds, (n) => mint("HS256", secret, { user: `h${n}`, exp: "1h" })),
    ES256: await many(counts.rounds, (n) => good(`e${n}`)),
    chat: await many(CHATTERS, (n) => good(`c${n}`)),
  };
  for (let storm = 0; storm < counts.storms; storm++) {
    tickets[`storm${storm}`] = await many(counts.each, (n) => {
      const make = n % GOOD_ONE_IN === 0 ? good : bad[n % bad.length] ?? good;
      return make(`s${storm}-${n}`);
    });
  }
  mkdirSync("dist", { recursive: true });
  writeFileSync(CONFIG, stringify(config));
  writeFileSync(TICKETS, JSON.stringify(tickets));
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return ((sorted[(sorted.length - 1) >> 1] ?? 0) + (sorted[sorted.length >> 1] ?? 0)) / 2;
}

function printTable(rows: readonly (readonly string[])[]): void {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  for (const row of rows) {
    const cells = row.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)
    );
    process.stdout.write(`${cells.join("  ")}\n`);
  }
  process.stdout.write("\n");
}

function printRounds(results: Readonly<Record<string, readonly Round[]>>): void {
  const of = (name: string, key: keyof Round) => (results[name] ?? []).map((round) => round[key]);
  const ratio = (name: string, key: keyof Round) => {
    const control = of("control", key);
    return median(of(name, key).map((value, round) => value / (control[round] ?? 0))).toFixed(2);
  };
  printTable([
    ["handshakes", "per second", "/control", "server CPU µs", "/control", "generator CPU µs"],
    ...Object.keys(results).map((name) => [
      name,
      median(of(name, "perSecond")).toFixed(0),
      ratio(name, "perSecond"),
      median(of(name, "serverCpuMicros")).toFixed(0),
      ratio(name, "serverCpuMicros"),
      median(of(name, "loadCpuMicros")).toFixed(0),
    ]),
  ]);
}

interface Cycle {
  readonly quiet: Chat;
  readonly storm: Storm;
  readonly stormy: Chat;
  readonly after: Chat;
}

const mebibytes = (bytes: number) => (bytes / 1024 / 1024).toFixed(0);

function printCycles(cycles: readonly Cycle[]): void {
  const millis = (micros: number) => (micros / 1000).toFixed(1);
  const head = ["storm", "admitted", "p99 ms of these", "bad", "chat p50 ms", "p99 ms", "p99 / quiet"];
  printTable([
    [...head, "closed", "CPU", "RSS MiB quiet", "storm", "after"],
    ...cycles.map(({ quiet, storm, stormy, after }, number) => [
      `${number + 1} (${storm.sent} in ${storm.seconds.toFixed(1)} s)`,
      `${storm.admitted} of ${storm.good}`,
      millis(storm.goodP99Micros),
      Object.entries(storm.bad).map(([status, count]) => `${count} x ${status}`).join(", "),
      `${millis(quiet.p50Micros)} > ${millis(stormy.p50Micros)}`,
      `${millis(quiet.p99Micros)} > ${millis(stormy.p99Micros)}`,
      (stormy.p99Micros / quiet.p99Micros).toFixed(2),
      `${after.closed}`,
      storm.serverCpuShare.toFixed(2),
      ...[quiet, storm, after].map((at) => mebibytes(at.residentBytes)),
    ]),
  ]);
}

async function conduct(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      quick: { type: "boolean", default: false },
      json: { type: "string", default: "dist/handshakes.json" },
      "no-pin": { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  const plan = values.quick
    ? { rounds: 1, warmup: 500, count: 1000, storms: 1, seconds: 2 }
    : { rounds: 5, warmup: 2000, count: 4000, storms: 2, seconds: 10 };
  const pinned = !values["no-pin"] && availableParallelism() > 1;
  const [load, server] = pinned ? [0, availableParallelism() - 1] : [null, null];
  const each = plan.seconds * STORM_PER_SECOND;
  process.stderr.write("minting\n");
  await prepare({ rounds: plan.warmup + plan.rounds * plan.count, storms: plan.storms, each });

  const generator = (job: Job) =>
    start([BUN, "bench/handshakes.ts", "generate", JSON.stringify(job)], { cpu: load });
  const gateway = await startGateway(server);
  const bare = start([BUN, "bench/controls/bun_idle.ts"], { cpu: server });
  const control = { pid: bare.child.pid ?? 0, port: Number(await bare.next()) };
  const target = (name: string, tickets: string): Target => ({ name, ...gateway, tickets, path: path(name) });
  const path = (tenant: string) => `/v1/ws?tenant=${tenant}&ticket=`;
  const targets = [
    { name: "control", ...control, path: path("ES256"), tickets: "ES256" },
    ...ALGORITHMS.map((algorithm) => target(algorithm, algorithm)),
  ];
  process.stderr.write("handshakes\n");
  const { rounds: count, warmup, count: perRound } = plan;
  const results: Record<string, Round[]> = JSON.parse(
    await generator({ kind: "rounds", targets, rounds: count, warmup, count: perRound }).next(),
  );
  printRounds(results);
  bare.child.kill("SIGKILL");

  process.stderr.write("storm\n");
  const chatters = generator({ kind: "chat", target: target("ES256", "chat") });
  const ask = async (): Promise<Chat> => {
    chatters.child.stdin.write("\n");
    return JSON.parse(await chatters.next());
  };
  await chatters.next();
  await delay(2000);
  const cycles: Cycle[] = [];
  for (let number = 0; number < plan.storms; number++) {
    const storming = generator({ kind: "storm", target: target("ES256", `storm${number}`) });
    await storming.next();
    await ask();
    await delay(plan.seconds * 1000);
    const quiet = await ask();
    storming.child.stdin.write("\n");
    const storm: Storm = JSON.parse(await storming.next());
    const stormy = await ask();
    await delay(3000);
    cycles.push({ quiet, storm, stormy, after: await ask() });
  }
  printCycles(cycles);
  const machine = { cpu: cpus()[0]?.model ?? "", cpus: availableParallelism(), pinned };
  mkdirSync(dirname(values.json), { recursive: true });
  const document = { at: new Date().toISOString(), machine, ...plan, results, cycles };
  writeFileSync(values.json, `${JSON.stringify(document, null, 2)}\n`);
}

function endAll(): void {
  for (const child of running) child.kill("SIGKILL");
}

try {
  if (process.argv[2] === "generate") {
    await generate(JSON.parse(process.argv[3] ?? ""));
  } else {
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      process.on(signal, () => {
        endAll();
        process.exit(130);
      });
    }
    await conduct(process.argv.slice(2));
  }
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
} finally {
  endAll();
}
process.exit();
