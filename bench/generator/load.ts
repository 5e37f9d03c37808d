/// <reference path="../bun.d.ts" />
// The load generator: a process of its own that opens raw TCP sockets, speaks just enough WebSocket, and measures one
// `Load` (the only argument) for as long and as often as stdin asks (load_spec.ts). Runs on Bun, whose `Bun.connect` was
// the cheapest per message of what TypeScript can use (README.md); the server under test has to be the busier one.

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { Burst, clientFrame, OPCODE } from "./frames.ts";
import { HttpCaller } from "./http_caller.ts";
import { Latency } from "./latency.ts";
import type { HttpPace, Load, LoadResult, Slow } from "./load_spec.ts";
import { pause, pour } from "./pace.ts";
import { messageOf, textFrame, upgradeRequest } from "./requests.ts";
import { busySeconds, familyCpuSeconds, kernelBytes } from "../proc.ts";
import { microsSince, newTally, Session, type Tally } from "./session.ts";
import { SlowSocket } from "./slow_socket.ts";
import { settledBytes, Watch } from "./watch.ts";

/** A socket with its session, and what the kernel has not taken yet. */
interface Wire {
  readonly session: Session;
  readonly burst: Burst;
  readonly publisher: boolean;
  readonly slow: boolean;
  socket: { write(bytes: Uint8Array): number } | null;
  waiting: Uint8Array | null;
  ready: (() => void) | null;
}

/** Sessions opened at a time; more would meet the server's accept queue. */
const OPENING = 64;

/** Between two looks at slow sockets, in milliseconds. */
const SLOW_MS = 1;
/** A slow reader that was kept from reading makes up for this long at most, in milliseconds. */
const SLOW_CREDIT_MS = 20;

/** How long slow sessions may take until something is dropped for them, in milliseconds. */
const SETTLE_MS = 60_000;

const PONG = clientFrame(OPCODE.pong, new Uint8Array(0));

class Generator {
  readonly #load: Load;
  readonly #tally: Tally;
  readonly #wires: Wire[] = [];
  readonly #publishers: Wire[];
  readonly #closedLoop: boolean;
  readonly #tickets: readonly string[] | null;
  #requests = 0;
  #bytesPerSession = 0;
  #watch: Watch | null = null;
  #sent = 0;
  #closed = 0;
  #sending = false;
  #slowClosed = 0;
  readonly #slowSockets: SlowSocket[] = [];

  constructor(load: Load) {
    this.#load = load;
    this.#tally = newTally(load);
    this.#tickets = load.tickets === null ? null : JSON.parse(readFileSync(load.tickets, "utf8"));
    this.#closedLoop = load.pace.kind === "closed";
    const publishing = load.pace.kind === "closed" || load.pace.kind === "open"
      ? load.pace.publishersPerGroup * load.groups
      : 0;
    const copies = load.pace.kind === "closed" ? load.pace.inFlight : 1;
    const echo = this.#closedLoop && load.fanout === 1;
    for (let number = 0; number < load.sessions; number++) {
      const publisher = number < publishing;
      const watch = publisher && this.#closedLoop && !echo;
      const slow = number >= load.sessions - (load.slow?.count ?? 0);
      this.#wires.push({
        session: new Session(number, this.#tally, { watch, echo: publisher && echo, slow }),
        burst: new Burst(messageOf(load, number), { sender: number, copies }),
        publisher,
        slow,
        socket: null,
        waiting: null,
        ready: null,
      });
    }
    this.#publishers = this.#wires.slice(0, publishing);
  }

  /** Opens all sessions. */
  async open(): Promise<void> {
    const { baselineSessions } = this.#load;
    if (baselineSessions > 0) this.#bytesPerSession = await this.#openIdle(baselineSessions);
    await this.#open(this.#wires.length);
  }

  /** What happens in the next seconds; the first call begins to send, and warms up. */
  async measure(seconds: number): Promise<LoadResult> {
    const watch = this.#watch ?? await this.#begin();
    const { latency, probe } = this.#tally;
    const start = this.#read();
    const whole = new Latency();
    const secondsP99: number[] = [];
    latency.reset();
    probe.reset();
    const end = performance.now() + seconds * 1000;
    for (let left = seconds * 1000; left > 0; left = end - performance.now()) {
      await pause(Math.min(1000, left) / 1000);
      if (latency.samples > 0) secondsP99.push(latency.percentile(0.99));
      whole.addAll(latency);
      latency.reset();
    }
    const last = this.#read();
    await watch.look();
    const used = (key: "serverCpu" | "loadCpu" | "busy") => last[key] - start[key];
    return {
      seconds: last.at - start.at,
      sent: last.sent - start.sent,
      received: last.received - start.received,
      receivedBytes: last.bytes - start.bytes,
      requests: last.requests - start.requests,
      serverCpuSeconds: used("serverCpu"),
      loadCpuSeconds: used("loadCpu"),
      otherCpuSeconds: Math.max(0, used("busy") - used("serverCpu") - used("loadCpu")),
      p50Micros: whole.percentile(0.5),
      p99Micros: whole.percentile(0.99),
      samples: whole.samples,
      p99BySecondMicros: secondsP99.toSorted((a, b) => a - b)[secondsP99.length >> 1] ?? 0,
      probeP50Micros: probe.percentile(0.5),
      probeP99Micros: probe.percentile(0.99),
      strays: this.#tally.strays,
      closed: this.#closed,
      slowClosed: this.#slowClosed,
      bytesPerSession: this.#bytesPerSession,
      residentBytes: watch.residentBytes,
      residentBytesMax: watch.residentBytesMax,
      kernelBytes: watch.kernelTcpBytes,
      kernelBytesMax: watch.kernelTcpBytesMax,
      kernelBytesPerSlow: watch.kernelBytes / Math.max(1, this.#slowSockets.length),
      outboxBytesMax: watch.outboxBytesMax,
      dropped: watch.dropped,
      slowConsumers: watch.slowConsumers,
      gaps: this.#tally.gaps,
    };
  }

  /** The first message that nobody expected, for a warning. */
  get firstStray(): string {
    return this.#tally.firstStray;
  }

  async #begin(): Promise<Watch> {
    const { pace, warmupSeconds, slow } = this.#load;
    const watch = this.#watch = this.#startWatch();
    this.#sending = true;
    if (pace.kind === "closed") { for (const wire of this.#publishers) this.#publish(wire, pace.inFlight); }
    else if (pace.kind === "open") this.#pour(pace.perSecond * this.#publishers.length);
    else if (pace.kind === "http") await this.#ask(pace);
    this.#startProbe();
    await pause(warmupSeconds);
    if (slow?.settles) await this.#settle(watch);
    return watch;
  }

  #startWatch(): Watch {
    const { serverPid, port, metricsPath } = this.#load;
    const ports = new Set(this.#slowSockets.map((socket) => socket.port));
    return new Watch({
      serverPid,
      metricsUrl: metricsPath === null ? null : `http://127.0.0.1:${port}${metricsPath}`,
      kernelBytes: () => ports.size === 0 ? 0 : kernelBytes(port, ports),
    });
  }

  /** Until the gateway has begun to drop what waits for those who read nothing. */
  async #settle(watch: Watch): Promise<void> {
    const enough = (this.#load.slow?.count ?? 0) * 10;
    const start = performance.now();
    while (watch.dropped < enough) {
      if (performance.now() - start > SETTLE_MS) {
        throw new Error(
          `No session was slow enough: ${watch.dropped} messages dropped after ${SETTLE_MS} ms`,
        );
      }
      await pause(0.1);
    }
  }

  /** Sends the last session's probes. */
  #startProbe(): void {
    const { probe } = this.#load;
    const wire = this.#wires.at(-1);
    if (probe === null || wire === undefined) return;
    const burst = new Burst(probe.message, { sender: wire.session.number, copies: 1 });
    pour(probe.perSecond, () => this.#write(wire, burst.stamped(1, microsSince(this.#tally.epoch))));
  }

  /** Requests to the server, answered or waited for by the sessions of this process: one clock tells how long it took. */
  async #ask(pace: HttpPace): Promise<void> {
    const { sessions, groups } = this.#load;
    const caller = await HttpCaller.open(pace.port, pace.connections);
    let someone = 0;
    const item = () => {
      someone = (someone + 7919) % Math.max(1, sessions);
      const stamp = `~${`${microsSince(this.#tally.epoch)}`.padStart(10, "0")}00000000`.padEnd(64, ".");
      return pace.body.replace("@", stamp).replace("%u", `${someone}`).replace("%g", `${someone % groups}`);
    };
    const body = () =>
      pace.batch === 1 ? item() : `{"messages":[${Array.from({ length: pace.batch }, item)}]}`;
    const ask = (then: () => void) => {
      const since = performance.now();
      const wanted = this.#tally.received + sessions;
      caller.ask(caller.request(pace.path, body(), pace.headers), () => {
        this.#requests++;
        this.#tally.probe.add((performance.now() - since) * 1000);
        if (pace.untilDelivered) this.#until(wanted, then);
        else then();
      });
    };
    if (pace.perSecond !== null) return pour(pace.perSecond, () => ask(() => {}));
    const again = () => ask(again);
    for (let line = 0; line < pace.connections; line++) again();
  }

  #until(received: number, then: () => void): void {
    if (this.#tally.received >= received) then();
    else setTimeout(() => this.#until(received, then), 0);
  }

  #read() {
    const own = process.cpuUsage();
    return {
      at: performance.now() / 1000,
      sent: this.#sent,
      requests: this.#requests,
      received: this.#tally.received,
      bytes: this.#tally.receivedBytes,
      serverCpu: familyCpuSeconds(this.#load.serverPid),
      loadCpu: (own.user + own.system) / 1e6,
      busy: busySeconds(),
    };
  }

  /** Opens sessions up to number `until` and waits until each is ready. */
  async #open(until: number): Promise<void> {
    const wanted = this.#wires.slice(0, until).filter((wire) => wire.socket === null);
    for (let next = 0; next < wanted.length; next += OPENING) {
      await Promise.all(wanted.slice(next, next + OPENING).map((wire) => this.#dial(wire)));
    }
  }

  /** The first sessions warm the server up; the rest is charged with what its memory grew by. */
  async #openIdle(baselineSessions: number): Promise<number> {
    await this.#open(baselineSessions);
    const before = await settledBytes(this.#load.serverPid);
    await this.#open(this.#wires.length);
    return (await settledBytes(this.#load.serverPid) - before) / (this.#wires.length - baselineSessions);
  }

  #dial(wire: Wire): Promise<void> {
    if (wire.slow && this.#load.slow !== null) return this.#dialSlow(wire, this.#load.slow);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    wire.ready = resolve;
    Bun.connect<Wire>({
      hostname: "127.0.0.1",
      port: this.#load.port,
      data: wire,
      socket: {
        open: (socket) => {
          wire.socket = socket;
          this.#write(wire, upgradeRequest(this.#load, wire.session.number, this.#tickets));
        },
        data: (socket, bytes) => {
          try {
            this.#take(socket.data, bytes);
          } catch (error) {
            fail(error);
          }
        },
        drain: (socket) => {
          const rest = socket.data.waiting;
          socket.data.waiting = null;
          if (rest !== null) this.#write(socket.data, rest);
        },
        close: () => {
          this.#closed++;
          reject(
            new Error(
              `Cannot open session ${wire.session.number}: the server closed it. ${this.#tally.firstStray}`,
            ),
          );
        },
        connectError: (_socket, error) => reject(error),
      },
    }).catch(reject);
    return promise;
  }

  async #dialSlow(wire: Wire, slow: Slow): Promise<void> {
    const socket = await SlowSocket.connect(this.#load.port, slow);
    wire.socket = socket;
    this.#slowSockets.push(socket);
    this.#write(wire, upgradeRequest(this.#load, wire.session.number, this.#tickets));
    await new Promise<void>((resolve) => {
      wire.ready = resolve;
      this.#readSlowly(wire, socket).catch(fail);
    });
  }

  /** Reads freely until the session is ready, then as fast as it may. */
  async #readSlowly(wire: Wire, socket: SlowSocket): Promise<void> {
    const bytesPerSecond = this.#load.slow?.bytesPerSecond ?? 0;
    let before = performance.now();
    let credit = 0;
    for (;;) {
      await pause(SLOW_MS / 1000);
      const now = performance.now();
      const isReady = wire.ready === null;
      if (isReady && bytesPerSecond === 0) return;
      credit += (now - before) / 1000 * bytesPerSecond;
      credit = isReady ? Math.min(credit, bytesPerSecond * SLOW_CREDIT_MS / 1000) : 65_536;
      before = now;
      while (credit >= 1) {
        const bytes = socket.read(Math.floor(credit));
        if (bytes === null) {
          if (!isReady) throw new Error(`Cannot open session ${wire.session.number}: the server closed it`);
          this.#slowClosed++;
          socket.end();
          return;
        }
        if (bytes.length === 0) break;
        credit -= bytes.length;
        this.#take(wire, bytes);
        if (!isReady) break;
      }
    }
  }

  #take(wire: Wire, bytes: Uint8Array): void {
    const { state, number } = wire.session;
    const own = wire.session.take(bytes);
    // Not earlier: a gateway that still asks somebody about the ticket takes nothing behind the request.
    if (state === "upgrading" && wire.session.state !== state) {
      for (const text of this.#load.init) this.#write(wire, textFrame(this.#load, text, number));
    }
    if (wire.ready !== null && wire.session.state === "ready") {
      wire.ready();
      wire.ready = null;
    }
    if (own > 0 && this.#sending && this.#closedLoop) this.#publish(wire, own);
    for (let pings = wire.session.takePings(); pings > 0; pings--) this.#write(wire, PONG);
  }

  #publish(wire: Wire, count: number): void {
    this.#sent += count;
    this.#write(wire, wire.burst.stamped(count, microsSince(this.#tally.epoch)));
  }

  /** Open loop: publishers take turns. */
  #pour(perSecond: number): void {
    pour(perSecond, (number) => {
      const wire = this.#publishers[number % this.#publishers.length];
      if (wire !== undefined) this.#publish(wire, 1);
    });
  }

  #write(wire: Wire, bytes: Uint8Array): void {
    if (wire.waiting !== null) {
      const both = new Uint8Array(wire.waiting.length + bytes.length);
      both.set(wire.waiting);
      both.set(bytes, wire.waiting.length);
      wire.waiting = both;
      return;
    }
    const taken = wire.socket?.write(bytes) ?? 0;
    if (taken >= 0 && taken < bytes.length) wire.waiting = bytes.slice(taken);
  }
}

function fail(error: unknown): never {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  process.exit(1);
}

try {
  const generator = new Generator(JSON.parse(process.argv[2] ?? ""));
  await generator.open();
  process.stdout.write("ready\n");
  for await (const line of createInterface({ input: process.stdin })) {
    const result = await generator.measure(Number(line));
    process.stdout.write(`${JSON.stringify({ result, firstStray: generator.firstStray })}\n`);
  }
  process.exit(0);
} catch (error) {
  fail(error);
}
