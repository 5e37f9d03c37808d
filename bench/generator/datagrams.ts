// The load generator for datagrams, on Deno: sessions of WebTransport, each with one datagram on its way that comes back. It
// is told one `DatagramLoad` as its argument, says "ready", and answers each line of stdin, a number of seconds.

import { Buffer } from "node:buffer";
import { createHash, X509Certificate } from "node:crypto";
import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { Latency } from "./latency.ts";

/** The job. */
export interface DatagramLoad {
  readonly port: number;
  /** PEM. */
  readonly certificate: string;
  readonly sessions: number;
  /** Path and query, %d for a session's number. */
  readonly path: string;
  /** What stands before a payload on the way there. */
  readonly prefix: readonly number[];
}

const PAYLOAD_BYTES = 64;
/** After so long, a datagram is taken for lost, and another is sent. */
const LOST_MS = 250;

const load: DatagramLoad = JSON.parse(process.argv[2] ?? "");
const hash = createHash("sha256").update(new X509Certificate(load.certificate).raw).digest();
const latency = new Latency();
let received = 0, lost = 0, isOver = false;

async function session(number: number): Promise<void> {
  const transport = new WebTransport(
    `https://127.0.0.1:${load.port}${load.path.replace("%d", `${number}`)}`,
    { serverCertificateHashes: [{ algorithm: "sha-256", value: Uint8Array.from(hash) }] },
  );
  await transport.ready;
  const stream = await transport.createBidirectionalStream();
  const writer = stream.writable.getWriter();
  await writer.write(Uint8Array.of(1, 0, 0, 0, 5)); // a pong: what makes the stream known
  void stream.readable.pipeTo(new WritableStream()).catch(() => {});
  const reader = transport.datagrams.readable.getReader();
  const sender = transport.datagrams.writable.getWriter();
  const message = Buffer.alloc(load.prefix.length + PAYLOAD_BYTES);
  message.set(load.prefix);
  let sentAt = 0, turn = 0;
  const send = () => {
    sentAt = performance.now();
    message.writeUInt32LE(++turn, load.prefix.length);
    void sender.write(Uint8Array.from(message)).catch(() => {});
  };
  const watch = setInterval(() => {
    if (performance.now() - sentAt < LOST_MS) return;
    lost++;
    send();
  }, LOST_MS / 5);
  send();
  while (!isOver) {
    const { value, done } = await reader.read();
    if (done) break;
    if (Buffer.from(value).readUInt32LE(0) !== turn) continue; // one that was given up
    received++;
    latency.add(Math.round((performance.now() - sentAt) * 1000));
    send();
  }
  clearInterval(watch);
}

for (let number = 0; number < load.sessions; number++) void session(number);
await delay(1000);
process.stdout.write("ready\n");
for await (const line of createInterface({ input: process.stdin })) {
  latency.reset();
  received = lost = 0;
  const since = performance.now();
  await delay(Number(line) * 1000);
  const seconds = (performance.now() - since) / 1000;
  process.stdout.write(`${
    JSON.stringify({
      seconds,
      received,
      lost,
      p50Micros: latency.percentile(0.5),
      p99Micros: latency.percentile(0.99),
    })
  }\n`);
}
isOver = true;
process.exit(0);
