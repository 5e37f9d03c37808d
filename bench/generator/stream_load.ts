/// <reference path="../bun.d.ts" />
// The load generator for the doors beside WebSockets: clients on plain TCP, which publish, and readers of streams of events.
// It is told one `StreamLoad` as its argument, says "ready" when all are, and answers each line of stdin, a number of
// seconds, with what happened in them. What is counted costs as little as can be: messages have one length, or one tilde.

import { createInterface } from "node:readline";
import { familyCpuSeconds } from "../proc.ts";
import { Latency } from "./latency.ts";
import { pause } from "./pace.ts";
import { microsSince } from "./session.ts";

export interface StreamLoad {
  readonly tcpPort: number;
  readonly serverPid: number;
  /** Those on TCP; the first `publishers` of them publish. */
  readonly sessions: number;
  readonly publishers: number;
  readonly inFlight: number;
  /** Streams that read, beside them. */
  readonly streams: number;
  /** Where streams are served. */
  readonly httpPort: number;
  /** Hello and join, as the gateway wants them; a bare server wants neither. */
  readonly greets: boolean;
  readonly joins: boolean;
  /** "hot": bytes of one length; "chat": text. */
  readonly kind: "hot" | "chat";
  readonly sampleEvery: number;
}

const PAYLOAD = 64;
const ANSWER = 5 + PAYLOAD;
const TILDE = 0x7e;
const load: StreamLoad = JSON.parse(process.argv[2] ?? "");
const epoch = performance.now();
const latency = new Latency();
let received = 0, sent = 0, strays = 0;
let sending = false;

function frame(kind: number, body: Uint8Array): Uint8Array {
  const out = new Uint8Array(5 + body.length);
  new DataView(out.buffer).setUint32(0, body.length + 1, true);
  out[4] = kind;
  out.set(body, 5);
  return out;
}

const text = (value: unknown) => frame(1, new TextEncoder().encode(JSON.stringify(value)));

/** A message of a sender, stamped when it leaves: time and sender as u32, or as ten and four digits behind a tilde. */
function message(sender: number): Uint8Array {
  if (load.kind === "chat") {
    const stamp = `~${String(microsSince(epoch)).padStart(10, "0")}${String(sender).padStart(4, "0")}`;
    return text({ v: 1, svc: "chat", type: "send", room: "r", data: { msg: stamp.padEnd(PAYLOAD, ".") } });
  }
  const prefix = load.greets ? [1, 1, 0, 0] : [];
  const body = new Uint8Array(prefix.length + PAYLOAD);
  body.set(prefix);
  const view = new DataView(body.buffer, prefix.length);
  view.setUint32(0, microsSince(epoch), true);
  view.setUint32(4, sender, true);
  return frame(2, body);
}

interface Wire {
  readonly number: number;
  readonly ready: () => void;
  isReady: boolean;
  greeted: number;
  rest: Uint8Array;
  untilSample: number;
}

const NOTHING = new Uint8Array(0);

/** @returns how many messages of its own came back */
function take(wire: Wire, chunk: Uint8Array): number {
  const bytes = wire.rest.length === 0 ? chunk : concat(wire.rest, chunk);
  return load.kind === "hot" ? takeHot(wire, bytes) : takeText(wire, bytes);
}

function takeHot(wire: Wire, bytes: Uint8Array): number {
  let at = 0, own = 0;
  for (; at + ANSWER <= bytes.length; at += ANSWER) {
    if (bytes[at] !== PAYLOAD + 1) {
      strays++;
      break;
    }
    received++;
    const sender = bytes[at + 9]! | bytes[at + 10]! << 8;
    if (sender === wire.number) own++;
    if (--wire.untilSample > 0) continue;
    wire.untilSample = load.sampleEvery;
    const stamp = (bytes[at + 5]! | bytes[at + 6]! << 8 | bytes[at + 7]! << 16 | bytes[at + 8]! << 24) >>> 0;
    latency.add(microsSince(epoch) - stamp);
  }
  wire.rest = at < bytes.length ? bytes.slice(at) : NOTHING;
  return own;
}

function takeText(wire: Wire, bytes: Uint8Array): number {
  let at = bytes.indexOf(TILDE), end = 0, own = 0;
  for (; at >= 0 && at + 15 <= bytes.length; at = bytes.indexOf(TILDE, end)) {
    end = at + 15;
    received++;
    if (digits(bytes, at + 11, 4) === wire.number) own++;
    if (--wire.untilSample > 0) continue;
    wire.untilSample = load.sampleEvery;
    latency.add(microsSince(epoch) - digits(bytes, at + 1, 10));
  }
  wire.rest = at < 0 ? NOTHING : bytes.slice(at);
  return own;
}

function digits(bytes: Uint8Array, at: number, count: number): number {
  let value = 0;
  for (let i = at; i < at + count; i++) value = value * 10 + bytes[i]! - 0x30;
  return value;
}

function concat(first: Uint8Array, second: Uint8Array): Uint8Array {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

interface Writable {
  write(bytes: Uint8Array): number;
}

function publish(socket: Writable, wire: Wire, count: number): void {
  for (let i = 0; i < count; i++) {
    const bytes = message(wire.number);
    if (socket.write(bytes) < bytes.length) throw new Error("the server does not read");
    sent++;
  }
}

const publishers: (() => void)[] = [];

/** A client on TCP. */
function dial(number: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const wire: Wire = {
      number,
      ready: resolve,
      isReady: false,
      greeted: 0,
      rest: NOTHING,
      untilSample: 1 + number % load.sampleEvery,
    };
    Bun.connect<Wire>({
      hostname: "127.0.0.1",
      port: load.tcpPort,
      data: wire,
      socket: {
        open(socket) {
          if (number < load.publishers) publishers.push(() => publish(socket, wire, load.inFlight));
          if (load.greets) {
            socket.write(
              text({ v: 1, svc: "sys", type: "hello", data: { tenant: "bench", ticket: `dev:u${number}` } }),
            );
            if (load.joins) socket.write(text({ v: 1, svc: "room", type: "join", room: "r" }));
            return;
          }
          wire.isReady = true;
          resolve();
        },
        data(socket, chunk) {
          if (!wire.isReady) {
            const said = new TextDecoder().decode(chunk);
            if (said.includes('"type":"authed"')) wire.greeted++;
            if (said.includes('"type":"joined"')) wire.greeted++;
            wire.isReady = wire.greeted >= (load.joins ? 2 : 1);
            if (wire.isReady) resolve();
            return;
          }
          const own = take(wire, chunk);
          if (own > 0 && sending) publish(socket, wire, own);
        },
        close: () => reject(new Error(`the server closed session ${number}`)),
        connectError: (_socket, error) => reject(error),
      },
    }).catch(reject);
  });
}

/** A reader of a stream. */
function stream(number: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const wire: Wire = {
      number: -1,
      ready: resolve,
      isReady: false,
      greeted: 0,
      rest: NOTHING,
      untilSample: 1 + number % load.sampleEvery,
    };
    let said = "";
    Bun.connect<Wire>({
      hostname: "127.0.0.1",
      port: load.httpPort,
      data: wire,
      socket: {
        open: (socket) =>
          void socket.write(new TextEncoder().encode(
            `GET /v1/sse?tenant=bench&ticket=dev:s${number} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n`,
          )),
        data(_socket, chunk) {
          if (wire.isReady) return void take(wire, chunk);
          said += new TextDecoder().decode(chunk);
          if (wire.greeted === 0 && said.includes('"type":"authed"')) {
            wire.greeted = 1;
            const { post, key } = JSON.parse(/data: (\{"post".*\})/.exec(said)![1]!) as {
              post: string;
              key: string;
            };
            void fetch(`http://127.0.0.1:${load.httpPort}${post}`, {
              method: "POST",
              headers: { authorization: `Bearer ${key}` },
              body: '{"v":1,"svc":"room","type":"join","room":"r"}',
            }).then((answer) => answer.text());
          }
          wire.isReady = said.includes('"type":"joined"');
          if (wire.isReady) resolve();
        },
        close: () => reject(new Error(`the server closed stream ${number}`)),
        connectError: (_socket, error) => reject(error),
      },
    }).catch(reject);
  });
}

try {
  for (let number = 0; number < load.sessions; number++) await dial(number);
  for (let number = 0; number < load.streams; number++) await stream(number);
  process.stdout.write("ready\n");
  for await (const line of createInterface({ input: process.stdin })) {
    const isFirst = !sending;
    sending = true;
    if (isFirst) {
      for (const begin of publishers) begin();
      await pause(1);
    }
    latency.reset();
    const before = {
      at: performance.now(),
      received,
      sent,
      cpu: familyCpuSeconds(load.serverPid),
      own: process.cpuUsage(),
    };
    await pause(Number(line));
    const own = process.cpuUsage(before.own);
    const result = {
      seconds: (performance.now() - before.at) / 1000,
      sent: sent - before.sent,
      received: received - before.received,
      serverCpuSeconds: familyCpuSeconds(load.serverPid) - before.cpu,
      loadCpuSeconds: (own.user + own.system) / 1e6,
      p50Micros: latency.percentile(0.5),
      p99Micros: latency.percentile(0.99),
      strays,
    };
    process.stdout.write(`${JSON.stringify(result)}\n`);
  }
  process.exit(0);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  process.exit(1);
}
