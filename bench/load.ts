/// <reference path="./bun.d.ts" />
// The load generator: a process of its own that opens raw TCP sockets, speaks just enough WebSocket, does one
// `Load` (JSON, the only argument) and prints one `LoadResult`. Runs on Bun, whose `Bun.connect` was the
// cheapest per message of what TypeScript can use (README.md); the server under test has to be the busier one.

import { Burst, clientFrame, OPCODE } from "./frames.ts";
import { Latency } from "./latency.ts";
import type { Load, LoadResult } from "./load_spec.ts";
import { cpuSeconds, residentBytes } from "./proc.ts";
import { microsSince, Session, type Tally } from "./session.ts";

/** A socket with its session, and what the kernel has not taken yet. */
interface Wire {
  readonly session: Session;
  readonly burst: Burst;
  readonly publisher: boolean;
  socket: BunTcpSocket<Wire> | null;
  waiting: Uint8Array | null;
  ready: (() => void) | null;
}

/** Sessions opened at a time; more would meet the server's accept queue. */
const OPENING = 64;

/** Messages that an open loop sends at once, at most. */
const POURED = 512;

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

  constructor(load: Load) {
    this.#load = load;
    this.#tally = {
      received: 0,
      receivedBytes: 0,
      strays: 0,
      firstStray: "",
      latency: new Latency(),
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
      this.#wires.push({
        session: new Session(number, this.#tally, { watch, echo: publisher && echo }),
        burst: new Burst(load.message, { sender: number, copies }),
        publisher,
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
    this.#sending = true;
    if (pace.kind === "closed") { for (const wire of this.#publishers) this.#publish(wire, pace.inFlight); }
    else if (pace.kind === "open") this.#pour(pace.perSecond);
    await pause(warmupSeconds);
    const start = this.#read();
    this.#tally.latency.reset();
    await pause(seconds);
    const end = this.#read();
    this.#sending = false;
    return {
      seconds: end.at - start.at,
      sent: end.sent - start.sent,
      received: end.received - start.received,
      receivedBytes: end.bytes - start.bytes,
      serverCpuSeconds: end.serverCpu - start.serverCpu,
      loadCpuSeconds: end.loadCpu - start.loadCpu,
      p50Micros: this.#tally.latency.percentile(0.5),
      p99Micros: this.#tally.latency.percentile(0.99),
      samples: this.#tally.latency.samples,
      strays: this.#tally.strays,
      firstStray: this.#tally.firstStray,
      closed: this.#closed,
      bytesPerSession,
    };
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
