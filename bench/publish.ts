/// <reference path="./bun.d.ts" />
// Holds many sessions and publishes to them by the admin API: a process of its own on Bun, so that one clock says when a
// message was asked for and when it came. Does one `PublishLoad` (JSON, the only argument) and prints a list of
// `Published`.

import { PUBLISH_WAYS, type Published, type PublishLoad, type PublishWay } from "./backend_spec.ts";
import { clientFrame, OPCODE } from "./frames.ts";
import { HttpCaller } from "./http_caller.ts";
import { Latency } from "./latency.ts";
import { cpuSeconds } from "./proc.ts";
import { microsSince, Session, type Tally } from "./session.ts";

const OPENING = 64;
/** Requests under way at the same time. */
const UNDER_WAY: Readonly<Record<PublishWay, number>> = { all: 1, one: 32, batch: 2 };
const BATCH = 1000;
/** Before each round, and after it for what is still on its way. */
const SETTLE_MS = 500;

const PONG = clientFrame(OPCODE.pong, new Uint8Array(0));
const shape = { kind: "text", template: "", payloadBytes: 32 } as const;

class Publishing {
  readonly #load: PublishLoad;
  readonly #tally: Tally = {
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
    readyText: '"type":"authed"',
    epoch: performance.now(),
  };
  #user = 0;

  constructor(load: PublishLoad) {
    this.#load = load;
  }

  async run(): Promise<Published[]> {
    const { sessions, adminPort, rounds } = this.#load;
    for (let next = 0; next < sessions; next += OPENING) {
      await Promise.all(
        Array.from({ length: Math.min(OPENING, sessions - next) }, (_, i) => this.#dial(next + i)),
      );
    }
    const caller = await HttpCaller.open(adminPort, 32);
    const published: Published[] = [];
    for (let round = 0; round < rounds; round++) {
      for (const way of PUBLISH_WAYS) published.push(await this.#round(way, caller));
    }
    if (this.#tally.strays > 0) throw new Error(`Unexpected messages, such as ${this.#tally.firstStray}`);
    return published;
  }

  async #round(way: PublishWay, caller: HttpCaller): Promise<Published> {
    await pause(SETTLE_MS);
    const { serverPid, seconds } = this.#load;
    const tally = this.#tally;
    tally.latency.reset();
    const before = { received: tally.received, server: cpuSeconds(serverPid), own: process.cpuUsage() };
    const start = performance.now();
    const end = start + seconds * 1000;
    let requests = 0;
    const chain = () =>
      new Promise<void>((resolve) => {
        const ask = () => {
          if (performance.now() >= end) return resolve();
          const before = tally.received;
          caller.ask(this.#request(way, caller), () => {
            requests++;
            // To everybody: the next one once the last session has it, which is how many a second there can be.
            if (way === "all") this.#until(before + this.#load.sessions, ask);
            else ask();
          });
        };
        ask();
      });
    await Promise.all(Array.from({ length: UNDER_WAY[way] }, chain));
    const took = (performance.now() - start) / 1000;
    const own = process.cpuUsage(before.own);
    const serverCpu = cpuSeconds(serverPid) - before.server;
    await pause(SETTLE_MS);
    return {
      way,
      requestsPerSecond: requests / took,
      deliveriesPerSecond: (tally.received - before.received) / took,
      p50Micros: tally.latency.percentile(0.5),
      p99Micros: tally.latency.percentile(0.99),
      serverCpuShare: serverCpu / took,
      loadCpuShare: (own.user + own.system) / 1e6 / took,
    };
  }

  #until(received: number, then: () => void): void {
    if (this.#tally.received >= received) then();
    else setTimeout(() => this.#until(received, then), 0);
  }

  #request(way: PublishWay, caller: HttpCaller): Uint8Array {
    const { authorization } = this.#load;
    const body = way === "all"
      ? this.#message({ all: true })
      : way === "one"
      ? this.#message(this.#someone())
      : { messages: Array.from({ length: BATCH }, () => this.#message(this.#someone())) };
    return caller.request("/v1/tenants/bench/publish", JSON.stringify(body), { authorization });
  }

  #message(to: object): object {
    const stamp = `${microsSince(this.#tally.epoch)}`.padStart(10, "0");
    return { to, svc: "news", type: "flash", data: `~${stamp}00000000`.padEnd(shape.payloadBytes, ".") };
  }

  #someone(): object {
    this.#user = (this.#user + 7919) % this.#load.sessions;
    return { users: [`u${this.#user}`] };
  }

  #dial(number: number): Promise<void> {
    const { port } = this.#load;
    const session = new Session(number, this.#tally, { watch: false, echo: false, slow: false });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    Bun.connect<null>({
      hostname: "127.0.0.1",
      port,
      data: null,
      socket: {
        open: (socket) => {
          const lines = [
            `GET /v1/ws?tenant=bench&ticket=dev:u${number} HTTP/1.1`,
            `Host: 127.0.0.1:${port}`,
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
            "\r\n",
          ];
          socket.write(new TextEncoder().encode(lines.join("\r\n")));
        },
        data: (socket, bytes) => {
          session.take(bytes);
          for (let pings = session.takePings(); pings > 0; pings--) socket.write(PONG);
          if (session.state === "ready") resolve();
        },
        close: () => reject(new Error(`Cannot hold session ${number}: the server closed it`)),
        connectError: (_socket, error) => reject(error),
      },
    }).catch(reject);
    return promise;
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

try {
  process.stdout.write(`${JSON.stringify(await new Publishing(JSON.parse(process.argv[2] ?? "")).run())}\n`);
  process.exit(0);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  process.exit(1);
}
