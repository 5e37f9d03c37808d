/// <reference path="./bun.d.ts" />
// The load generator: a process of its own that opens raw TCP sockets, speaks just enough WebSocket, does one
// `Load` (JSON, the only argument) and prints one `LoadResult`. Runs on Bun, whose `Bun.connect` was the
// cheapest per message of what TypeScript can use (README.md); the server under test has to be the busier one.

import { Burst, clientFrame, OPCODE } from "./frames.ts";
import { Latency } from "./latency.ts";
import type { Load, LoadResult, MessageShape, Slow } from "./load_spec.ts";
import { busySeconds, cpuSeconds, kernelBytes, residentBytes } from "./proc.ts";
import { microsSince, Session, type Tally } from "./session.ts";
import { SlowSocket } from "./slow_socket.ts";
import { Watch } from "./watch.ts";

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

/** Messages that an open loop sends at once, at most. */
const POURED = 512;

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
  #sent = 0;
  #closed = 0;
  #sending = false;
  #slowClosed = 0;
  readonly #slowSockets: SlowSocket[] = [];
  readonly #secondsP99: number[] = [];
  readonly #wholeLatency = new Latency();

  constructor(load: Load) {
    this.#load = load;
    this.#tally = {
      received: 0,
      receivedBytes: 0,
      strays: 0,
      firstStray: "",
      latency: new Latency(),
      probe: new Latency(),
      probeShape: load.probe?.message ?? null,
      gaps: 0,
      shape: load.message,
      opcode: load.message.kind === "text" ? OPCODE.text : OPCODE.binary,
      sampleEvery: load.sampleEvery,
      readyText: load.readyText,
      epoch: performance.now(),
    };
    this.#closedLoop = load.pace.kind === "closed";
    const publishing = load.pace.kind === "idle" ? 0 : load.pace.publishersPerGroup * load.groups;
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

  async run(): Promise<LoadResult> {
    const { pace, warmupSeconds, seconds } = this.#load;
    const bytesPerSession = pace.kind === "idle" ? await this.#openIdle(pace.baselineSessions) : 0;
    await this.#open(this.#wires.length);
    const watch = this.#startWatch();
    this.#sending = true;
    if (pace.kind === "closed") { for (const wire of this.#publishers) this.#publish(wire, pace.inFlight); }
    else if (pace.kind === "open") this.#pour(pace.perSecond);
    this.#startProbe();
    await pause(warmupSeconds);
    if (this.#load.slow?.settles) await this.#settle(watch);
    const start = this.#read();
    this.#tally.latency.reset();
    this.#tally.probe.reset();
    await this.#measure(seconds);
    const end = this.#read();
    await watch.stop();
    this.#sending = false;
    return {
      seconds: end.at - start.at,
      sent: end.sent - start.sent,
      received: end.received - start.received,
      receivedBytes: end.bytes - start.bytes,
      serverCpuSeconds: end.serverCpu - start.serverCpu,
      loadCpuSeconds: end.loadCpu - start.loadCpu,
      otherCpuSeconds: Math.max(
        0,
        end.busy - start.busy - (end.serverCpu - start.serverCpu) - (end.loadCpu - start.loadCpu),
      ),
      p50Micros: this.#wholeLatency.percentile(0.5),
      p99Micros: this.#wholeLatency.percentile(0.99),
      samples: this.#wholeLatency.samples,
      p99BySecondMicros: this.#secondsP99.toSorted((a, b) => a - b)[this.#secondsP99.length >> 1] ?? 0,
      probeP50Micros: this.#tally.probe.percentile(0.5),
      probeP99Micros: this.#tally.probe.percentile(0.99),
      probeSamples: this.#tally.probe.samples,
      strays: this.#tally.strays,
      firstStray: this.#tally.firstStray,
      closed: this.#closed,
      bytesPerSession,
      residentBytes: watch.residentBytes,
      residentBytesMax: watch.residentBytesMax,
      kernelBytesPerSlow: watch.kernelBytes / Math.max(1, this.#slowSockets.length),
      slowClosed: this.#slowClosed,
      outboxBytesMax: watch.outboxBytesMax,
      dropped: watch.dropped,
      slowConsumers: watch.slowConsumers,
      gaps: this.#tally.gaps,
    };
  }

  /** Waits `seconds`, and takes the latency of each apart. */
  async #measure(seconds: number): Promise<void> {
    const { latency } = this.#tally;
    const end = performance.now() + seconds * 1000;
    for (let left = seconds * 1000; left > 0; left = end - performance.now()) {
      await pause(Math.min(1000, left) / 1000);
      if (latency.samples > 0) this.#secondsP99.push(latency.percentile(0.99));
      this.#wholeLatency.addAll(latency);
      latency.reset();
    }
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
    const start = performance.now();
    let sent = 0;
    const send = () => {
      const due = Math.floor((performance.now() - start) * probe.perSecond / 1000);
      for (; sent < due; sent++) this.#write(wire, burst.stamped(1, microsSince(this.#tally.epoch)));
      setTimeout(send, 1);
    };
    send();
  }

  #read() {
    const own = process.cpuUsage();
    return {
      at: performance.now() / 1000,
      sent: this.#sent,
      received: this.#tally.received,
      bytes: this.#tally.receivedBytes,
      serverCpu: cpuSeconds(this.#load.serverPid),
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
    const before = await this.#settledBytes();
    await this.#open(this.#wires.length);
    return (await this.#settledBytes() - before) / (this.#wires.length - baselineSessions);
  }

  /** The server's memory, once it has not moved by 0.2 % for a second; after 10 s, whatever it is. */
  async #settledBytes(): Promise<number> {
    let before = residentBytes(this.#load.serverPid);
    for (let second = 0; second < 10; second++) {
      await pause(1);
      const now = residentBytes(this.#load.serverPid);
      if (second > 0 && Math.abs(now - before) < before * 0.002) return now;
      before = now;
    }
    return before;
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
          this.#write(wire, this.#request(wire.session.number));
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
    this.#write(wire, this.#request(wire.session.number));
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
    const own = wire.session.take(bytes);
    if (wire.ready !== null && wire.session.state === "ready") {
      wire.ready();
      wire.ready = null;
    }
    if (own > 0 && this.#sending && this.#closedLoop) this.#publish(wire, own);
    for (let pings = wire.session.takePings(); pings > 0; pings--) this.#write(wire, PONG);
  }

  #request(number: number): Uint8Array {
    const { path, init, groups, port } = this.#load;
    const expand = (text: string) =>
      text.replaceAll("%d", `${number}`).replaceAll("%g", `${number % groups}`);
    const lines = [
      `GET ${expand(path)} HTTP/1.1`,
      `Host: 127.0.0.1:${port}`,
      "Upgrade: websocket",
      "Connection: Upgrade",
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
      "Sec-WebSocket-Version: 13",
      "\r\n",
    ];
    const encoder = new TextEncoder();
    const parts: Uint8Array[] = [encoder.encode(lines.join("\r\n"))];
    for (const text of init) parts.push(clientFrame(OPCODE.text, encoder.encode(expand(text))));
    const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }

  #publish(wire: Wire, count: number): void {
    this.#sent += count;
    this.#write(wire, wire.burst.stamped(count, microsSince(this.#tally.epoch)));
  }

  /**
   * Open loop: each millisecond, what has fallen due since the last one, publishers taking turns. At most
   * `POURED` at once, so that a generator that falls behind goes on reading; `sent` then tells that it did.
   */
  #pour(perSecond: number): void {
    const start = performance.now();
    const perMilli = perSecond * this.#publishers.length / 1000;
    let poured = 0;
    const pour = () => {
      if (!this.#sending) return;
      const due = Math.min(Math.floor((performance.now() - start) * perMilli), poured + POURED);
      for (; poured < due; poured++) {
        const wire = this.#publishers[poured % this.#publishers.length];
        if (wire !== undefined) this.#publish(wire, 1);
      }
      setTimeout(pour, 1);
    };
    pour();
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

/** What a session sends: to its own group, where the message names that. */
function messageOf({ message, groups }: Load, number: number): MessageShape {
  if (message.kind !== "text") return message;
  return { ...message, template: message.template.replaceAll("%g", `${number % groups}`) };
}

function pause(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}

function fail(error: unknown): never {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  process.exit(1);
}

try {
  const result = await new Generator(JSON.parse(process.argv[2] ?? "")).run();
  process.stdout.write(`${JSON.stringify(result)}\n`);
  process.exit(0);
} catch (error) {
  fail(error);
}
